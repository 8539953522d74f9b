/**
 * One cluster and its rounds: the load runs, the plan's faults strike and are mended, then everything
 * must be answered, come to rest within a bound, and be as the log says.
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { setTimeout as delay } from 'node:timers/promises'
import { Random } from '../sim/random.ts'
import type { Violation } from '../sim/violations.ts'
import { checkRuns, checkSubmissions, checkUninterrupted, checkViews, comesToRest } from './checks.ts'
import { Cluster } from './cluster.ts'
import { Executions, type Again } from './executions.ts'
import { Faults } from './faults.ts'
import type { Ground, Mend } from './ground.ts'
import { Load } from './load.ts'
import { LogWatch } from './log-watch.ts'
import { type Fault, type Round } from './plan.ts'
import { writeSuite, type Suite } from './suite.ts'

export type RoundResult = {
  readonly failovers: number
  readonly runs: number
  readonly submissions: number
  readonly again: Again
  /** Tasks put back, by cause. */
  readonly requeues: ReadonlyMap<string, number>
  readonly entries: number
  /** The longest time without an entry while submissions came all the time. */
  readonly gapMs: number
  /** From mending everything to rest. */
  readonly restMs: number
  readonly tookMs: number
  readonly violations: readonly Violation[]
  readonly done: readonly string[]
}

/** From the mending of everything. */
const answeredWithinMs = 180_000
const restWithinMs = 90_000
const underWayWithinMs = 120_000
const lookEveryMs = 50

export class Session implements AsyncDisposable {
  readonly #cluster: Cluster
  readonly #executions: Executions
  readonly #seed: number
  readonly #files: number
  #suite: Suite = new Map()
  #watch: LogWatch | undefined
  #load: Load | undefined
  #rounds = 0

  constructor(ground: Ground, root: string, seed: number, files: number) {
    this.#cluster = new Cluster(ground, root)
    this.#executions = new Executions(path.join(root, 'logs', 'executions.jsonl'))
    this.#seed = seed
    this.#files = files
  }

  async start(): Promise<void> {
    const project = this.#project
    mkdirSync(project)
    await this.#cluster.start()
    this.#suite = writeSuite(project, this.#executions.file, this.#files, new Random(this.#seed, 'suite'))
    this.#watch = await LogWatch.open(this.#cluster)
    this.#watch.follow()
  }

  get #project(): string {
    return path.join(this.#cluster.root, 'project')
  }

  async round(round: Round): Promise<RoundResult> {
    this.#rounds += 1
    const cluster = this.#cluster
    const watch = this.#watch!
    const { ledger } = watch
    const [terms, entries] = [ledger.terms.size, ledger.position]
    watch.requeues.clear()
    watch.writtenAtMs.length = 0
    const stalls = monitorEventLoopDelay()
    stalls.enable()
    const begunMs = performance.now()
    const faults = new Faults(cluster)
    const load = new Load(cluster, this.#project, new Random(this.#seed, `load ${this.#rounds}`))
    this.#load = load
    load.begin(this.#rounds, round.clients, round.submitEveryMs)
    await this.#underWay(watch, entries)
    const underWayMs = Date.now()
    const mends = round.faults.map((fault) => carryOut(faults, fault, round.mendedAtMs))
    await Promise.all([delay(round.mendedAtMs), ...mends])
    await this.#allRun()
    const mendedMs = performance.now()
    const mendedAtMs = Date.now()
    if (!(await load.end(answeredWithinMs))) load.stop()
    await comesToRest(cluster, watch, restWithinMs)
    const restMs = performance.now() - mendedMs
    await this.#check(load, watch)
    this.#executions.read()
    const runs = load.runs.flatMap(({ report }) => (report ? [report.run] : []))
    const again = this.#executions.check(runs, ledger, faults.freezes, (worker) => watch.nameOf(worker))
    this.#checkDeaths(watch)
    const gapMs = longestGapMs(watch.writtenAtMs.filter((atMs) => atMs >= underWayMs && atMs <= mendedAtMs))
    checkUninterrupted(round, again, watch, Math.max(gapMs, stalls.max / 1e6))
    const result = {
      failovers: ledger.terms.size - terms,
      runs: load.runs.length,
      submissions: load.submissions.length,
      again,
      requeues: new Map(watch.requeues),
      entries: ledger.position - entries,
      gapMs,
      restMs,
      tookMs: performance.now() - begunMs,
      violations: watch.violations.all,
      done: faults.done,
    }
    const file = path.join(cluster.root, 'logs', `round-${this.#rounds}.json`)
    writeFileSync(
      file,
      JSON.stringify({ round, ...result, clients: load.runs, submissions: load.submissions }, null, 1),
    )
    return result
  }

  /** Faults that strike while a client is still starting meet nobody. */
  async #underWay(watch: LogWatch, sincePosition: number): Promise<void> {
    const lastMs = performance.now() + underWayWithinMs
    const runs = () => [...watch.ledger.runs.values()]
    while (!runs().some((run) => run.submittedAt > sincePosition && run.spec.framework === 'node')) {
      if (performance.now() > lastMs) throw new Error(`no run was submitted within ${underWayWithinMs / 1000} s`)
      await delay(lookEveryMs)
    }
  }

  async #check(load: Load, watch: LogWatch): Promise<void> {
    checkRuns(load.runs, this.#suite, watch)
    checkSubmissions(load.submissions, watch)
    if (watch.violations.first === undefined) await checkViews(this.#cluster, load, watch)
  }

  /** Whatever a fault has ended is there again, and nothing is between. */
  async #allRun(): Promise<void> {
    await this.#cluster.ground.heal()
    for (const { program } of this.#cluster.members.values()) if (!program.running) program.start()
  }

  /** Of our own programs; what etcd does on a full disk is its own affair. */
  #checkDeaths(watch: LogWatch): void {
    for (const [name, { program }] of this.#cluster.members) {
      for (const words of program.deaths.splice(0)) {
        if (!name.startsWith('m')) watch.violations.found('no process ends by itself', words)
      }
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#load?.stop()
    await this.#watch?.[Symbol.asyncDispose]()
    await this.#cluster[Symbol.asyncDispose]()
  }
}

/** Strikes at its time, and is mended at its own or at everybody's, whichever comes first. */
async function carryOut(faults: Faults, fault: Fault, mendedAtMs: number): Promise<void> {
  await delay(fault.atMs)
  const begunMs = performance.now()
  const mend: Mend = await faults.strike(fault)
  const untilMs = Math.min(fault.atMs + fault.forMs, mendedAtMs) - fault.atMs
  await delay(Math.max(0, untilMs - (performance.now() - begunMs)))
  await mend()
}

function longestGapMs(timesMs: readonly number[]): number {
  return timesMs.reduce((longest, atMs, at) => Math.max(longest, atMs - (timesMs[at - 1] ?? atMs)), 0)
}
