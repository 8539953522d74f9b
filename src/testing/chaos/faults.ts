/** Faults carried out on real processes and networks. Roles are looked up at the moment of the strike. */
import type { Cluster } from './cluster.ts'
import { etcdPorts } from './cluster.ts'
import { nowMs, type Freeze } from './executions.ts'
import type { Mend } from './ground.ts'
import { coordinatorHosts, hosts, type Fault } from './plan.ts'

const drainWithinMs = 30_000
const nothing: Mend = async () => undefined

export class Faults {
  readonly #cluster: Cluster
  readonly freezes: Freeze[] = []
  /** What was done to whom, for people. */
  readonly done: string[] = []

  constructor(cluster: Cluster) {
    this.#cluster = cluster
  }

  /** Resolves once it has struck, with what undoes it. */
  async strike(fault: Fault): Promise<Mend> {
    const { ground } = this.#cluster
    switch (fault.type) {
      case 'kill':
        return this.#kill(await this.#process(fault.who), fault.tree === true)
      case 'freeze':
        return this.#freeze(await this.#process(fault.who), fault.tree === true)
      case 'drain':
        return this.#drain(await this.#process(fault.who))
      case 'transfer':
        return this.#transfer()
      case 'full-disk': {
        const name = await this.#process(fault.who)
        const { disk, program } = this.#cluster.member(name)
        this.#did(`the disk of ${name} is full`)
        return disk.fill(program.running ? program.tree() : [])
      }
      case 'loss': {
        const host = await this.#host(fault.who)
        this.#did(`${host} loses ${fault.share * 100} % of its packets`)
        return ground.lose(host, fault.share)
      }
      case 'slow': {
        const host = await this.#host(fault.who)
        this.#did(`${host} sends ${fault.kbit} kbit/s`)
        return ground.slow(host, fault.kbit)
      }
      case 'cut':
        return this.#cut(fault)
    }
  }

  #did(words: string): void {
    this.done.push(`${new Date().toISOString().slice(11, 23)} ${words}`)
  }

  async #kill(name: string, tree: boolean): Promise<Mend> {
    const program = this.#cluster.program(name)
    if (!program.running) return nothing
    this.#did(`${name} is killed${tree ? ' with all it started' : ''}`)
    await program.kill(tree)
    return async () => this.#startAgain(name)
  }

  #startAgain(name: string): void {
    const program = this.#cluster.program(name)
    if (program.running) return
    this.#did(`${name} is started again`)
    program.start()
  }

  #freeze(name: string, tree: boolean): Mend {
    const program = this.#cluster.program(name)
    if (!program.running) return nothing
    this.#did(`${name} is frozen${tree ? ' with all it started' : ''}`)
    const freeze: Freeze = { worker: name, fromMs: nowMs(), toMs: Infinity }
    const thaw = program.freeze(tree)
    if (name.startsWith('w')) this.freezes.push(freeze)
    return async () => {
      thaw()
      freeze.toMs = nowMs()
      this.#did(`${name} goes on`)
    }
  }

  async #drain(name: string): Promise<Mend> {
    const program = this.#cluster.program(name)
    if (!program.running) return nothing
    this.#did(`${name} is told to end`)
    if (!(await program.terminate(drainWithinMs))) {
      program.deaths.push(`${name} did not end within ${drainWithinMs / 1000} s of SIGTERM`)
    }
    return async () => this.#startAgain(name)
  }

  /** That nobody can take over right now, or that it takes too long, is an answer too. */
  async #transfer(): Promise<Mend> {
    const leader = (await this.#cluster.leader()) ?? 'c1'
    const asked = this.#cluster.ask(leader, '/cluster/transfer', { method: 'POST', body: {}, withinMs: 10_000 })
    const said = await asked.then(
      ({ status }) => `answered ${status}`,
      (error: Error) => error.message,
    )
    this.#did(`${leader} is asked to hand over: ${said}`)
    return nothing
  }

  async #cut(fault: Extract<Fault, { type: 'cut' }>): Promise<Mend> {
    const port = fault.only === 'all' ? {} : { port: etcdPorts[fault.only] }
    const one = async (side: string): Promise<string | undefined> =>
      side === 'others' || side === 'coordinators' ? undefined : this.#host(side)
    const [from, named] = [await one(fault.from), await one(fault.to)]
    // A role may turn out to be that very host: then it is the next one.
    const to = named !== undefined && named === from ? nextTo(named) : named
    const pairs = this.#side(fault.from, from, to).flatMap((a) =>
      this.#side(fault.to, to, from).flatMap((b) => (a === b ? [] : [[a, b] as const])),
    )
    this.#did(`${fault.how}: ${pairs.map(([a, b]) => `${a}${fault.oneWay ? '→' : '↔'}${b}`).join(' ')} (${fault.only})`)
    return this.#cluster.ground.block(
      pairs.flatMap(([a, b]) => {
        const there = { from: a, to: b, how: fault.how, ...port }
        return fault.oneWay ? [there] : [there, { ...there, from: b, to: a }]
      }),
    )
  }

  #side(side: string, host: string | undefined, other: string | undefined): readonly string[] {
    if (host !== undefined) return [host]
    return (side === 'coordinators' ? coordinatorHosts : hosts).filter((one) => one !== other)
  }

  /** The name of a process. */
  async #process(who: string): Promise<string> {
    const { coordinators } = this.#cluster
    switch (who) {
      case 'leader':
        return (await this.#cluster.leader()) ?? coordinators[0]!
      case 'follower': {
        const leader = (await this.#cluster.leader()) ?? coordinators[0]
        return coordinators.find((name) => name !== leader && this.#cluster.program(name).running) ?? coordinators[1]!
      }
      case 'etcd-leader':
        return (await this.#cluster.etcdLeader()) ?? 'm1'
      default:
        return who
    }
  }

  async #host(who: string): Promise<string> {
    return hosts.includes(who) ? who : this.#cluster.member(await this.#process(who)).host
  }
}

function nextTo(host: string): string {
  return hosts[(hosts.indexOf(host) + 1) % coordinatorHosts.length]!
}
