/**
 * State as plain JSON data and back. `restore(capture(state))` equals the state: a test proves it
 * over random histories, and the coordinator trims the log on the strength of it.
 */
import { noteMoment } from './due.ts'
import type { Need, TaskIndex } from './entities.ts'
import { assertReadable } from './format.ts'
import { addFollower, packDependencies, pastFromData, pastToData } from './dependencies.ts'
import { emptyGroup } from './group.ts'
import { emptyHeld, freeNeed, noteFree, takeHoldings } from './holdings.ts'
import { captureBreakers, restoreBreakers, type BreakerData } from './breaker-state.ts'
import { captureLetters, restoreLetters, type LettersData } from './letter-state.ts'
import type { Limits } from './limits.ts'
import type { Kind } from './recovery-table.ts'
import type { Shares } from './shares.ts'
import { emptySpent } from './spent.ts'
import {
  emptyState,
  Task,
  type Again,
  type Aptitude,
  type Batch,
  type ChosenScheduler,
  type Group,
  type Run,
  type SchedulerFaults,
  type Spent,
  type State,
  type UserToken,
  type Worker,
} from './state.ts'

type KnownRow = readonly [
  string,
  Task['state'],
  number,
  number,
  number,
  number,
  number,
  number,
  string | null,
  number,
  number,
  Task['counts'] | null,
  string | null,
]
/** What came later stands last, and only where there is any: `again` with format 2, `kind` and `guessed` with 3. */
type TaskRow = readonly [...KnownRow, (Again | null)?, number?, true?]

type GroupData = Omit<Group, 'kind' | 'need' | 'batches' | 'openMs' | 'queueHead'>
/** Before format 3 a run had one group, and what is in it now stood in the run itself. */
type OldRunData = Partial<GroupData> & { readonly queueHead?: number }

type RunData = Omit<Run, 'tasks' | 'batches' | 'workers' | 'groups' | 'dependencies' | 'pastDependencies' | 'after'> & {
  readonly tasks: readonly TaskRow[]
  readonly batches: readonly string[]
  readonly workers: readonly (readonly [string, unknown])[]
  readonly groups?: readonly GroupData[]
  readonly dependencies?: {
    readonly open: readonly (readonly [TaskIndex, number])[]
    readonly dependents: readonly (readonly [TaskIndex, TaskIndex[]])[]
  }
  readonly pastDependencies?: readonly number[]
  readonly after?: readonly string[]
} & OldRunData

type BatchData = Omit<Batch, 'retried' | 'kind' | 'grant'> & {
  readonly retried?: readonly (readonly [number, unknown])[]
  readonly kind?: number
  readonly grant?: Batch['grant']
}
/** What its batches hold follows from them. */
type WorkerData = Omit<Worker, 'batches' | 'recycledAtMs' | 'recycledMs' | 'held' | 'warm'> & {
  readonly batches: readonly string[]
  readonly recycledAtMs?: number
  readonly recycledMs?: number
  readonly warm?: string[]
}

export type SnapshotData = {
  /** The state's format: a coordinator that reads the log reads its snapshots. */
  readonly version: number
  readonly epoch: number
  readonly lastToken: number
  readonly atMs: number
  readonly runs: readonly RunData[]
  readonly active: readonly string[]
  readonly finished: readonly string[]
  readonly batches: readonly BatchData[]
  readonly workers: readonly WorkerData[]
  readonly recoveries?: readonly Kind[]
  readonly recycles?: number
  /** CPU time that projects and users have had. */
  readonly spent?: readonly (readonly [string, Spent['slots']])[]
  readonly aptitudes?: readonly (readonly [string, Aptitude])[]
  readonly schedulers?: readonly (readonly [string, ChosenScheduler])[]
  readonly schedulerFaults?: readonly (readonly [string, SchedulerFaults])[]
  readonly userTokens?: readonly (readonly [string, UserToken])[]
  readonly letters?: LettersData
  readonly breakers?: readonly BreakerData[]
}

export function capture(state: State): SnapshotData {
  return {
    version: state.format,
    epoch: state.epoch,
    lastToken: state.lastToken,
    atMs: state.atMs,
    runs: [...state.runs.values()].map((run) => runData(run, state.format)),
    active: [...state.active],
    finished: state.finished,
    batches: [...state.batches.values()].map(batchData),
    workers: [...state.workers.values()].map(workerData),
    recoveries: [...state.recoveries.values()].map((kind) => ({
      ...kind,
      levels: kind.levels.map((counts) => ({ ...counts })),
    })),
    recycles: state.recycles,
    spent: spentData(state),
    aptitudes: [...state.aptitudes],
    schedulers: [...state.schedulers],
    schedulerFaults: [...state.schedulerFaults],
    userTokens: [...state.userTokens],
    letters: captureLetters(state.letters),
    breakers: captureBreakers(state.breakers),
  }
}

/** In the order of their names: in which order they came up depends on where the coordinator began to read. */
function spentData(state: State): [string, Spent['slots']][] {
  const scopes = [...state.spent].filter(([, { slots }]) => slots.length > 0)
  return scopes
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([scope, { slots }]) => [scope, slots.map((slot) => ({ ...slot }))])
}

/** A snapshot of an older format is read by older members too: they know no groups. */
function runData({ dependencies, pastDependencies, groups, ...run }: Run, format: number): RunData {
  return {
    ...run,
    tasks: run.tasks.map(taskRow),
    batches: [...run.batches],
    workers: [...run.workers],
    ...(format < 3
      ? { ...groupData(groups[0]!), queueHead: 0, queuedMs: run.queuedMs }
      : { groups: groups.map(groupData) }),
    ...(dependencies === undefined
      ? {}
      : { dependencies: { open: [...dependencies.open], dependents: [...dependencies.dependents] } }),
    ...(pastDependencies === undefined ? {} : { pastDependencies: pastToData(pastDependencies) }),
  }
}

function groupData(group: Group): GroupData {
  const { kind: _, need: __, batches: ___, openMs: ____, queueHead, ...rest } = group
  const { queue, wakes, barrenOn } = group
  return { ...rest, queue: queue.slice(queueHead), wakes: [...wakes], barrenOn: [...barrenOn] }
}

function workerData(worker: Worker): WorkerData {
  const { held: _, ...rest } = worker
  return { ...rest, batches: [...worker.batches] }
}

function batchData(batch: Batch): BatchData {
  const { retried, ...rest } = batch
  return retried === undefined ? rest : { ...rest, retried: [...retried] }
}

function taskRow(task: Task): TaskRow {
  const row: KnownRow = [
    task.file,
    task.state,
    task.version,
    task.attempts,
    task.failures,
    task.losses,
    task.crashes,
    task.estimateMs,
    task.batch ?? null,
    task.batchMax,
    task.durationMs,
    task.counts ?? null,
    task.why ?? null,
  ]
  const again = task.again === undefined ? null : { ...task.again }
  if (task.guessed) return [...row, again, task.kind, true]
  if (task.kind > 0) return [...row, again, task.kind]
  return again === null ? row : [...row, again]
}

function taskFrom(row: TaskRow): Task {
  const task = new Task(row[0], row[7], row[14] ?? 0, row[15] ?? false)
  task.state = row[1]
  task.version = row[2]
  task.attempts = row[3]
  task.failures = row[4]
  task.losses = row[5]
  task.crashes = row[6]
  task.batch = row[8] ?? undefined
  task.batchMax = row[9]
  task.durationMs = row[10]
  task.counts = row[11] ?? undefined
  task.why = row[12] ?? undefined
  task.again = row[13] ?? undefined
  return task
}

/** Limits and shares are configuration, not history, so they come from outside. */
export function restore(data: SnapshotData, limits: Limits, shares?: Shares): State {
  assertReadable('the snapshot', data.version)
  const state = emptyState(limits, shares)
  state.format = data.version
  state.epoch = data.epoch
  state.lastToken = data.lastToken
  state.atMs = data.atMs
  for (const one of data.runs) {
    const run = runFrom(one)
    state.runs.set(run.id, run)
    for (const group of run.groups) for (const { atMs } of group.wakes) noteMoment(state, run, group, atMs)
    state.queuedCount += run.queuedCount
    if (run.key !== undefined) state.keys.set(run.key, run.id)
  }
  for (const run of state.runs.values()) if (run.state !== 'finished') addFollower(state, run)
  for (const id of data.active) state.active.add(id)
  for (const id of data.finished) {
    state.finished.push(id)
    state.finishedTasks += state.runs.get(id)!.tasks.length
  }
  for (const worker of data.workers) {
    const one: Worker = {
      recycledAtMs: 0,
      recycledMs: 0,
      warm: [],
      ...worker,
      recycling: worker.recycling,
      cpusUsed: 0,
      batches: new Set(worker.batches),
      held: emptyHeld(),
    }
    state.workers.set(one.id, one)
    noteFree(state, one)
    if (worker.recycling) state.recycling.add(worker.id)
  }
  for (const [scope, slots] of data.spent ?? [])
    state.spent.set(scope, { ...emptySpent(), slots: slots.map((slot) => ({ ...slot })) })
  for (const { retried, ...one } of data.batches) {
    const map = retried === undefined ? undefined : new Map(retried)
    const batch: Batch = { ...one, kind: one.kind ?? 0, grant: one.grant, retried: map as Batch['retried'] }
    state.batches.set(batch.id, batch)
    const run = state.runs.get(batch.run)!
    const group = run.groups[batch.kind]!
    group.batches.add(batch.id)
    group.openMs += batch.openMs
    takeHoldings(state, run, batch)
  }
  for (const kind of data.recoveries ?? []) state.recoveries.set(kind.kind, kind)
  state.recycles = data.recycles ?? 0
  for (const [key, known] of data.aptitudes ?? []) state.aptitudes.set(key, known)
  for (const [project, chosen] of data.schedulers ?? []) state.schedulers.set(project, chosen)
  for (const [strategy, faults] of data.schedulerFaults ?? []) state.schedulerFaults.set(strategy, faults)
  for (const [id, token] of data.userTokens ?? []) state.userTokens.set(id, token)
  state.letters = restoreLetters(data.letters)
  state.breakers = restoreBreakers(data.breakers)
  return state
}

function runFrom(data: RunData): Run {
  const { queue = [], queueHead: _, again = [], wakes = [], laterCount = 0, ...newer } = data
  const { barren = 0, barrenOn = [], groups, dependencies: waits, pastDependencies, after = [], ...rest } = newer
  const dependencies = waits && { open: new Map(waits.open), dependents: new Map(waits.dependents) }
  const isOver = data.state === 'finished'
  const needs: readonly Need[] = data.spec.needs ?? [freeNeed]
  const { queuedCount, queuedMs } = data
  const given = groups ?? [{ queue, again, wakes, laterCount, queuedCount, queuedMs, barren, barrenOn }]
  return {
    ...optionalRunFields,
    ...rest,
    tasks: data.tasks.map(taskFrom),
    batches: new Set(data.batches),
    workers: new Map(data.workers) as Run['workers'],
    mishaps: data.mishaps ?? [],
    groups: needs.map((need, kind) => ({ ...emptyGroup(need, kind), ...given[kind]!, wakes: [...given[kind]!.wakes] })),
    dependencies: isOver ? undefined : dependencies,
    // Snapshots of before they were packed hold them as those of a run that waits.
    pastDependencies: pastDependencies
      ? pastFromData(pastDependencies)
      : isOver
        ? packDependencies(dependencies)
        : undefined,
    after: [...after],
  } as Run
}

/** JSON drops undefined fields; the object's shape should not depend on where it came from. */
const optionalRunFields = {
  key: undefined,
  startedAtMs: undefined,
  endedAtMs: undefined,
  verdict: undefined,
  why: undefined,
  cancelled: undefined,
  startupMs: undefined,
  wallMs: undefined,
  lowerBoundMs: undefined,
}
