/**
 * The machines of one simulation: coordinators, workers and clients on their hosts, the log between
 * them, and what can be done to them. Processes come and go; hosts stay.
 */
import type { Event } from '../../core/events.ts'
import type { WorkerPorts } from '../../worker/protocol.ts'
import { simShares } from './asks.ts'
import { Checker } from './checker.ts'
import { Counters } from './counters.ts'
import { noTrouble, type LogTrouble } from './log-access.ts'
import { LogStore } from './log-store.ts'
import { Members } from './members.ts'
import { Network } from './network.ts'
import { PhysicalWatch } from './physical.ts'
import type { Plan } from './plan.ts'
import { Host, SimProcess } from './process.ts'
import { Random } from './random.ts'
import type { Sabotage } from './sabotage.ts'
import { SimClient } from './sim-client.ts'
import { SimCoordinator } from './sim-coordinator.ts'
import { simLimits } from './sim-limits.ts'
import { SimWorker } from './sim-worker.ts'
import { Timeline } from './timeline.ts'
import { Trace } from './trace.ts'
import { showEntry } from './show.ts'
import { rareState, witnessOf } from './witness.ts'

/** How long a supervisor takes to start what has exited. */
const restartMs = 200

export class Cluster {
  readonly timeline = new Timeline()
  readonly count = new Counters()
  readonly store = new LogStore()
  readonly network: Network
  readonly checker: Checker
  readonly physical: PhysicalWatch
  readonly trace: Trace
  readonly coordinatorNames: readonly string[]
  readonly workerNames: readonly string[]
  /** Coordinators that start as the version before this one. */
  readonly old: Set<string>
  /** Workers on which no framework starts. */
  readonly broken = new Set<string>()
  readonly troubles = new Map<symbol, { readonly who: string; readonly trouble: LogTrouble }>()
  readonly #plan: Plan
  readonly #sabotage: Sabotage
  readonly #random: Random
  readonly #members: Members
  readonly #hosts = new Map<string, Host>()
  readonly #coordinators = new Map<string, SimCoordinator>()
  readonly #workers = new Map<string, SimWorker>()
  readonly #clients: SimClient[] = []
  /** Host → by how many faults it is kept down, or paused. */
  readonly #down = new Map<string, number>()
  readonly #paused = new Map<string, number>()
  readonly #starts = new Map<string, number>()
  readonly #cpusOf = new Map<string, number>()
  /** Workers that left for good: drained, or turned away. */
  readonly #retired = new Set<string>()

  constructor(plan: Plan, sabotage: Sabotage, traced: boolean) {
    this.#plan = plan
    this.#sabotage = sabotage
    this.trace = new Trace(this.timeline, traced)
    this.#random = new Random(plan.seed, 'cluster')
    this.network = new Network(this.timeline, this.#random.fork('network'))
    this.checker = new Checker(simLimits, 1 + (Math.abs(plan.seed) % 7), simShares)
    this.#members = new Members(this.timeline)
    this.physical = new PhysicalWatch(
      this.checker.violations,
      this.checker.ledger,
      () => this.timeline.nowMs,
      (worker) => this.#cpusOf.get(worker) ?? 0,
      (what) => this.count.reached(what),
    )
    this.coordinatorNames = Array.from({ length: plan.coordinators }, (_, at) => `c${at + 1}`)
    this.workerNames = plan.workers.map((_, at) => `w${at + 1}`)
    this.old = new Set(plan.old)
    this.store.onWritten = ({ entry, byProcess }) => {
      this.timeline.mark(entry.bytes.length)
      this.trace.note('log', () => `${entry.position} (epoch ${entry.epoch}, ${byProcess}): ${showEntry(entry)}`)
      this.checker.written(entry)
      for (const event of this.checker.lastEvents) this.#written(event)
      for (const coordinator of this.#coordinators.values()) coordinator.access.written(entry)
    }
    this.store.onHole = (position, byProcess) => {
      const words = `${byProcess} appends at ${position}, and the log ends at ${this.store.lastPosition}`
      this.checker.violations.found('positions are contiguous', words)
    }
    this.store.onClaimed = (leadership) => {
      this.trace.note('log', () => `epoch ${leadership.epoch} is claimed by ${leadership.owner}`)
      for (const coordinator of this.#coordinators.values()) coordinator.access.claimed(leadership)
    }
    this.store.onTrimmed = (below) => {
      this.trace.note('log', () => `trimmed below ${below}`)
      this.count.reached('log trimmed')
      this.checker.trimmed(below, this.store.snapshots.at(-1)?.position ?? 0)
    }
    for (const name of this.coordinatorNames) this.#startCoordinator(name)
    for (const name of this.workerNames) this.#startWorker(name)
    for (let at = 1; at <= plan.clients; at += 1) this.#clients.push(this.#newClient(`u${at}`))
  }

  #written(event: Event): void {
    if (event.type === 'task.reported') this.physical.recorded(event)
    const state = rareState(event)
    if (state !== undefined) this.count.reached(state)
  }

  // ---- who is there ----

  host(name: string): Host {
    let host = this.#hosts.get(name)
    if (!host) {
      host = new Host(name, this.#random.fork(`host ${name}`))
      this.#hosts.set(name, host)
      this.network.add(host)
    }
    return host
  }

  coordinators(): SimCoordinator[] {
    return [...this.#coordinators.values()].filter((one) => !one.process.dead)
  }

  workers(): SimWorker[] {
    return [...this.#workers.values()].filter((one) => !one.process.dead)
  }

  worker(name: string): SimWorker | undefined {
    const worker = this.#workers.get(name)
    return worker?.process.dead === true ? undefined : worker
  }

  client(index: number): SimClient {
    return this.#clients[index - 1]!
  }

  clients(): readonly SimClient[] {
    return this.#clients
  }

  // ---- starting ----

  #process(name: string): SimProcess {
    const start = (this.#starts.get(name) ?? 0) + 1
    this.#starts.set(name, start)
    const host = this.host(name)
    const process = new SimProcess(
      `${name}.${start}`,
      host,
      this.timeline,
      this.#random.fork(`${name}.${start}`),
      (error) => {
        const text = error instanceof Error ? (error.stack ?? error.message) : String(error)
        this.checker.violations.found('no machine breaks', `${name}: ${text}`)
      },
    )
    if ((this.#paused.get(name) ?? 0) > 0) process.pause()
    return process
  }

  #startCoordinator(name: string): void {
    const process = this.#process(name)
    const old = this.old.has(name)
    if (old) this.count.reached('older binary present')
    this.trace.note(name, () => `starts${old ? ', an older version' : ''}`)
    const coordinator = new SimCoordinator({
      name,
      process,
      network: this.network,
      store: this.store,
      members: this.#members,
      random: this.#random.fork(`coordinator ${process.name}`),
      limits: simLimits,
      shares: simShares,
      alone: this.#plan.coordinators === 1,
      old,
      bare: this.#plan.bare?.includes(name) === true,
      checker: this.checker,
      count: this.count,
      sabotage: this.#sabotage,
      trace: (words) => this.trace.note(name, words),
      onExit: (error) => {
        if (!old) this.checker.violations.found('no coordinator gives up', `${name}: ${String(error)}`)
        this.timeline.after(restartMs, () => this.#ensure(name))
      },
    })
    this.#coordinators.set(name, coordinator)
    this.applyTroubles()
  }

  #startWorker(name: string): void {
    const process = this.#process(name)
    const cpus = this.#plan.workers[Number(name.slice(1)) - 1]!
    const id = process.name
    this.#cpusOf.set(id, cpus)
    this.trace.note(name, () => `starts as ${id}, ${cpus} CPUs`)
    const { sabotage } = { sabotage: this.#sabotage }
    const worker = new SimWorker({
      id,
      process,
      cpus,
      addresses: this.coordinatorNames,
      network: this.network,
      random: this.#random.fork(`worker ${id}`),
      witness: witnessOf(name, this),
      count: (what) => this.count.reached(what),
      onExit: (why) => {
        if (why === 'drained') this.#retired.add(name)
        this.count.reached(`worker left: ${why.split(':')[0]}`)
        if (why !== 'drained') this.timeline.after(restartMs, () => this.#ensure(name))
      },
      wrapPorts: (ports: WorkerPorts) => sabotage.workerPorts?.(ports) ?? ports,
      wrapMessage: (message, held) => sabotage.toWorker?.(message, held) ?? message,
      trace: (words) => this.trace.note(name, words),
    })
    this.#workers.set(name, worker)
  }

  #newClient(name: string): SimClient {
    return new SimClient({
      process: this.#process(name),
      addresses: this.coordinatorNames,
      network: this.network,
      random: this.#random.fork(`client ${name}`),
      checker: this.checker,
      count: (what) => this.count.reached(what),
      trace: (words) => this.trace.note(name, words),
      workerOf: (index) => this.#workers.get(`w${index}`)?.id,
    })
  }

  // ---- what is done to them ----

  /** Starts what should be there and isn't. */
  #ensure(name: string): void {
    if ((this.#down.get(name) ?? 0) > 0) return
    if (name.startsWith('c')) {
      if (this.#coordinators.get(name)?.process.dead !== false) this.#startCoordinator(name)
    } else if (this.#workers.get(name)?.process.dead !== false && !this.#retired.has(name)) this.#startWorker(name)
  }

  /** Ends the process; the returned function lets it start again. */
  kill(name: string, powerLoss: boolean): () => void {
    this.trace.note(name, () => (powerLoss ? 'loses power' : 'is killed'))
    const machine = name.startsWith('c') ? this.#coordinators.get(name) : this.#workers.get(name)
    this.#down.set(name, (this.#down.get(name) ?? 0) + 1)
    if (powerLoss) this.host(name).up = false
    if (machine && !machine.process.dead) machine.process.kill()
    return () => {
      this.#down.set(name, (this.#down.get(name) ?? 1) - 1)
      if (powerLoss) {
        this.host(name).up = true
        this.network.changed()
      }
      this.#ensure(name)
    }
  }

  /** Ends it in order; the returned function lets it start again, and sees to it that it has ended. */
  restart(name: string): () => void {
    const coordinator = this.#coordinators.get(name)
    this.#down.set(name, (this.#down.get(name) ?? 0) + 1)
    if (coordinator && !coordinator.process.dead) coordinator.leave()
    return () => {
      this.#down.set(name, (this.#down.get(name) ?? 1) - 1)
      // Who doesn't end when told to is ended, after a while.
      const again = (waits: number): void => {
        if (coordinator?.process.dead === false && waits > 0) {
          this.timeline.after(100, () => again(waits - 1))
          return
        }
        if (coordinator?.process.dead === false) coordinator.process.kill()
        this.#ensure(name)
      }
      again(30)
    }
  }

  pause(name: string): () => void {
    this.trace.note(name, () => 'is paused')
    this.#paused.set(name, (this.#paused.get(name) ?? 0) + 1)
    this.#machine(name)?.process.pause()
    return () => {
      const left = (this.#paused.get(name) ?? 1) - 1
      this.#paused.set(name, left)
      if (left > 0) return
      this.trace.note(name, () => 'goes on')
      const worker = this.#workers.get(name)
      if (worker) this.physical.heldUp(worker.id)
      this.#machine(name)?.process.resume()
    }
  }

  #machine(name: string): SimCoordinator | SimWorker | undefined {
    return this.#coordinators.get(name) ?? this.#workers.get(name)
  }

  transfer(to: string): void {
    for (const coordinator of this.coordinators()) {
      const { seat, process, name } = coordinator
      process.enter(() => {
        if (seat.role !== 'leading') return
        this.trace.note(name, () => `is asked to hand over to ${to}`)
        seat.transfer(to === name ? undefined : to, (error) => {
          this.count.reached(error ? 'transfer failed' : 'transfer done')
          this.trace.note(name, () => `handing over: ${error ? error.message : 'done'}`)
        })
      })
    }
  }

  applyTroubles(): void {
    for (const coordinator of this.#coordinators.values()) {
      const sum: Record<string, number> = { ...noTrouble }
      for (const { who, trouble } of this.troubles.values()) {
        if (who !== '*' && who !== coordinator.name) continue
        for (const [key, value] of Object.entries(trouble)) sum[key] = Math.max(sum[key] ?? 0, value)
      }
      Object.assign(coordinator.access.trouble, sum)
    }
  }

  /** Everybody is brought back who left for good: progress needs workers. */
  recall(): void {
    this.old.clear()
    for (const coordinator of this.coordinators()) if (coordinator.old) this.kill(coordinator.name, false)()
    this.#retired.clear()
    for (const name of [...this.coordinatorNames, ...this.workerNames]) this.#ensure(name)
  }
}
