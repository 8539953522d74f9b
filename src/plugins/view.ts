/**
 * What a plugin sees of the coordinator's state: objects with getters and without setters, made when they are asked for. They
 * show state as it is at the moment, also between two placements. Nothing that belongs to
 * state leaves them but numbers and strings; what is a structure there (a need, labels) is a frozen copy here. Making a
 * copy of state for every round, or checking afterwards that nobody wrote to it, would cost more than deciding.
 *
 * Those of runs and groups, of which much follows from the round, are thrown away after it. One of a worker shows nothing but
 * the worker, and is the same in every round and for every plugin: there are many, and all that are free are looked
 * at in every round. So they are frozen: no plugin finds on them what another, or it itself, has put there.
 */
import type { Need } from '../core/entities.ts'
import { scopesOf } from '../core/holdings.ts'
import type { Group, Run, State, Worker } from '../core/state.ts'
import { speedOf, type Fleets } from '../scheduling/fleet.ts'
import { choicesOf, type Choices } from '../scheduling/choices.ts'
import type { Placement, StrategyView } from '../scheduling/ordering.ts'
import { standingOf, totalsOf, type Standing, type Totals } from '../scheduling/share.ts'
import { agedPriority, remainingMs, urgency } from '../scheduling/urgency.ts'

const copies = new WeakMap<object, unknown>()

/** Once per object: what it is made from never changes. */
function frozenCopy<Value extends object>(value: Value): Value {
  let copy = copies.get(value) as Value | undefined
  if (copy === undefined) {
    copy = deepFreeze(structuredClone(value))
    copies.set(value, copy)
  }
  return copy
}

function deepFreeze<Value>(value: Value): Value {
  if (typeof value !== 'object' || value === null) return value
  for (const part of Object.values(value)) deepFreeze(part)
  return Object.freeze(value)
}

/** What the objects of one round have in common. */
class Seen {
  readonly view: StrategyView
  readonly fleets: Fleets
  readonly #waiting: readonly Run[]
  #runs: readonly PluginRun[] | undefined
  #byRun: ReadonlyMap<Run, PluginRun> | undefined
  #totals: Totals | undefined
  #choices: Choices | undefined

  constructor(view: StrategyView, fleets: Fleets, waiting: readonly Run[]) {
    this.view = view
    this.fleets = fleets
    this.#waiting = waiting
  }

  get state(): State {
    return this.view.state
  }

  get totals(): Totals {
    this.#totals ??= totalsOf(this.state)
    return this.#totals
  }

  get choices(): Choices {
    this.#choices ??= choicesOf(this.view, this.fleets)
    return this.#choices
  }

  get runs(): readonly PluginRun[] {
    this.#runs ??= this.#waiting.map((run) => new PluginRun(this, run))
    return this.#runs
  }

  /** Of one that waits. */
  run(run: Run): PluginRun {
    this.#byRun ??= new Map(this.#waiting.map((one, at) => [one, this.runs[at]!]))
    return this.#byRun.get(run)!
  }
}

const shownWorkers = new WeakMap<Worker, PluginWorker>()

function shownWorker(worker: Worker): PluginWorker {
  let shown = shownWorkers.get(worker)
  if (shown === undefined) {
    shown = new PluginWorker(worker)
    Object.freeze(shown)
    shownWorkers.set(worker, shown)
  }
  return shown
}

function shownOf(workers: readonly Worker[]): PluginWorker[] {
  const shown: PluginWorker[] = []
  for (const worker of workers) shown.push(shownWorker(worker))
  return shown
}

export class PluginWorker {
  readonly #worker: Worker

  constructor(worker: Worker) {
    this.#worker = worker
  }

  get id(): string {
    return this.#worker.id
  }
  get name(): string {
    return this.#worker.name
  }
  get host(): string {
    return this.#worker.capabilities.host
  }
  get os(): string {
    return this.#worker.capabilities.os
  }
  get arch(): string {
    return this.#worker.capabilities.arch
  }
  get cpus(): number {
    return this.#worker.capabilities.cpus
  }
  get cpusFree(): number {
    return this.#worker.capabilities.cpus - this.#worker.cpusUsed
  }
  get memoryBytes(): number {
    return this.#worker.capabilities.memoryBytes
  }
  get gpuCount(): number {
    return this.#worker.capabilities.gpus?.length ?? 0
  }
  /** How fast it runs tests, against the reference machine. */
  get speed(): number {
    return speedOf(this.#worker)
  }
  get labels(): Readonly<Record<string, string>> {
    return frozenCopy(this.#worker.capabilities.labels)
  }
  /** Batches on it now. */
  get batchCount(): number {
    return this.#worker.batches.size
  }

  /** The worker behind a view; undefined for anything else. */
  static of(seen: unknown): Worker | undefined {
    return typeof seen === 'object' && seen !== null && #worker in seen ? seen.#worker : undefined
  }
}

/** Tasks of one run that need the same of a worker. */
export class PluginGroup {
  readonly #seen: Seen
  readonly #shownRun: PluginRun
  readonly #run: Run
  readonly #group: Group

  constructor(seen: Seen, shownRun: PluginRun, run: Run, group: Group) {
    this.#seen = seen
    this.#shownRun = shownRun
    this.#run = run
    this.#group = group
  }

  get run(): PluginRun {
    return this.#shownRun
  }
  /** Its number within the run. */
  get kind(): number {
    return this.#group.kind
  }
  get need(): Need {
    return frozenCopy(this.#group.need)
  }
  get queuedTasks(): number {
    return this.#group.queuedCount
  }
  /** Estimated milliseconds of what is queued. */
  get queuedMs(): number {
    return this.#group.queuedMs
  }
  get batchCount(): number {
    return this.#group.batches.size
  }
  /** Workers that fit it, busy or not. */
  get fitting(): readonly PluginWorker[] {
    return shownOf(this.#seen.fleets.of(this.#run, this.#group).workers)
  }
  /** CPUs of the reference machine that it can count on. */
  get fleetCpus(): number {
    return this.#seen.fleets.of(this.#run, this.#group).cpus
  }
  /** Workers with room for it now, the best first. What is left of it may have to keep away from some: `batchOn` tells. */
  get free(): readonly PluginWorker[] {
    return shownOf(this.#seen.choices.workers(this.#run, this.#group))
  }

  /** The batch that it would have there now; undefined = none. Yield it, or one with fewer of its tasks. */
  batchOn(worker: PluginWorker): Placement | undefined {
    const there = PluginWorker.of(worker)
    return there && this.#seen.choices.batch(this.#run, this.#group, there)
  }

  static of(seen: unknown): Group | undefined {
    return typeof seen === 'object' && seen !== null && #group in seen ? seen.#group : undefined
  }
}

export class PluginRun {
  readonly #seen: Seen
  readonly #run: Run
  #groups: readonly PluginGroup[] | undefined

  constructor(seen: Seen, run: Run) {
    this.#seen = seen
    this.#run = run
  }

  get id(): string {
    return this.#run.id
  }
  get project(): string {
    return this.#run.spec.project
  }
  get suite(): string {
    return this.#run.spec.suite
  }
  get framework(): string {
    return this.#run.spec.framework
  }
  /** Who it counts for, as far as shares go. */
  get user(): string {
    return scopesOf(this.#run)[1].slice('user:'.length)
  }
  get labels(): Readonly<Record<string, string>> {
    return frozenCopy(this.#run.spec.labels)
  }
  get priority(): number {
    return this.#run.priority
  }
  get createdAtMs(): number {
    return this.#run.createdAtMs
  }
  get deadlineAtMs(): number | undefined {
    return this.#run.spec.deadlineAtMs
  }
  /** All its tasks, whatever became of them. */
  get taskCount(): number {
    return this.#run.tasks.length
  }
  get queuedTasks(): number {
    return this.#run.queuedCount
  }
  /** Estimated milliseconds of what is queued, on one CPU of the reference machine. */
  get queuedMs(): number {
    return this.#run.queuedMs
  }
  get batchCount(): number {
    return this.#run.batches.size
  }
  get workersMax(): number | undefined {
    return this.#run.spec.workersMax
  }
  /** Expected start-up of one process. */
  get startupMs(): number {
    return this.#run.startupMs ?? this.#run.spec.startupMs
  }
  /** Its priority, and one more for every minute that it has waited. */
  get agedPriority(): number {
    return agedPriority(this.#run, this.#seen.view.nowMs)
  }
  /** That, and up to 50 as its deadline comes near. */
  get urgency(): number {
    return urgency(this.#run, this.#seen.fleets, this.#seen.view.nowMs)
  }
  /** What is queued, on all workers that fit, from start-up to end. */
  get remainingMs(): number {
    return remainingMs(this.#run, this.#seen.fleets)
  }
  /** How much its project and user have against their weights; smaller = further below. The second breaks ties. */
  get share(): Standing {
    const { state, totals, view } = this.#seen
    return standingOf(state, this.#run, totals, view.nowMs)
  }
  get groups(): readonly PluginGroup[] {
    this.#groups ??= Object.freeze(this.#run.groups.map((group) => new PluginGroup(this.#seen, this, this.#run, group)))
    return this.#groups
  }

  static of(seen: unknown): Run | undefined {
    return typeof seen === 'object' && seen !== null && #run in seen ? seen.#run : undefined
  }
}

export class PluginView {
  readonly #seen: Seen

  constructor(view: StrategyView, fleets: Fleets, waiting: readonly Run[]) {
    this.#seen = new Seen(view, fleets, waiting)
  }

  get nowMs(): number {
    return this.#seen.view.nowMs
  }
  /** Those that this strategy is to place and that had work to hand out as the round began, the oldest first. */
  get runs(): readonly PluginRun[] {
    return this.#seen.runs.slice()
  }
  /** All that are connected. */
  get workers(): readonly PluginWorker[] {
    const { state, available } = this.#seen.view
    return shownOf([...state.workers.values()].filter(available))
  }
  /** CPUs and GPUs of the whole fleet. */
  get totals(): Totals {
    return { ...this.#seen.totals }
  }

  /** For the host only: objects as a plugin sees them. */
  static see(view: PluginView, run: Run, group: Group): { readonly run: PluginRun; readonly group: PluginGroup } {
    const seen = view.#seen.run(run)
    return { run: seen, group: seen.groups[group.kind]! }
  }

  static seeWorker(worker: Worker): PluginWorker {
    return shownWorker(worker)
  }
}

// Nobody gives all of them another getter.
for (const made of [PluginView, PluginRun, PluginGroup, PluginWorker, Seen]) {
  Object.freeze(made)
  Object.freeze(made.prototype)
}
