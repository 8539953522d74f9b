/**
 * State as plain JSON data and back. `restore(capture(state))` equals the state: a test proves it
 * over random histories, and the coordinator trims the log on the strength of it.
 */
import { assertReadable } from './format.ts'
import { captureBreakers, restoreBreakers, type BreakerData } from './breaker-state.ts'
import { captureLetters, restoreLetters, type LettersData } from './letter-state.ts'
import type { Limits } from './limits.ts'
import type { Kind } from './recovery-table.ts'
import { emptyState, Task, type Again, type Batch, type Run, type State, type Worker } from './state.ts'

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
/** What came with format 2 stands last, and only where there is any. */
type TaskRow = readonly [...KnownRow, Again?]

type RunData = Omit<Run, 'tasks' | 'batches' | 'workers'> & {
  readonly tasks: readonly TaskRow[]
  readonly batches: readonly string[]
  readonly workers: readonly (readonly [string, unknown])[]
}

type BatchData = Omit<Batch, 'retried'> & { readonly retried?: readonly (readonly [number, unknown])[] }
type WorkerData = Omit<Worker, 'batches' | 'recycledAtMs' | 'recycledMs'> & {
  readonly batches: readonly string[]
  readonly recycledAtMs?: number
  readonly recycledMs?: number
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
  readonly letters?: LettersData
  readonly breakers?: readonly BreakerData[]
}

export function capture(state: State): SnapshotData {
  return {
    version: state.format,
    epoch: state.epoch,
    lastToken: state.lastToken,
    atMs: state.atMs,
    runs: [...state.runs.values()].map((run) => ({
      ...run,
      queue: run.queue.slice(run.queueHead),
      queueHead: 0,
      tasks: run.tasks.map(taskRow),
      wakes: [...run.wakes],
      batches: [...run.batches],
      workers: [...run.workers],
    })),
    active: [...state.active],
    finished: state.finished,
    batches: [...state.batches.values()].map(batchData),
    workers: [...state.workers.values()].map((worker) => ({ ...worker, batches: [...worker.batches] })),
    recoveries: [...state.recoveries.values()].map((kind) => ({
      ...kind,
      levels: kind.levels.map((counts) => ({ ...counts })),
    })),
    recycles: state.recycles,
    letters: captureLetters(state.letters),
    breakers: captureBreakers(state.breakers),
  }
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
  return task.again === undefined ? row : [...row, { ...task.again }]
}

function taskFrom(row: TaskRow): Task {
  const task = new Task(row[0], row[7])
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
  task.again = row[13]
  return task
}

/** Limits are configuration, not history, so they come from outside. */
export function restore(data: SnapshotData, limits: Limits): State {
  assertReadable('the snapshot', data.version)
  const state = emptyState(limits)
  state.format = data.version
  state.epoch = data.epoch
  state.lastToken = data.lastToken
  state.atMs = data.atMs
  for (const runData of data.runs) {
    const run = {
      ...optionalRunFields,
      ...runData,
      tasks: runData.tasks.map(taskFrom),
      batches: new Set(runData.batches),
      workers: new Map(runData.workers),
      mishaps: runData.mishaps ?? [],
      barrenOn: runData.barrenOn ?? [],
      wakes: [...(runData.wakes ?? [])],
      laterCount: runData.laterCount ?? 0,
    } as Run
    state.runs.set(run.id, run)
    if (run.wakes.length > 0) state.waking.add(run.id)
    state.queuedCount += run.queuedCount
    if (run.key !== undefined) state.keys.set(run.key, run.id)
  }
  for (const id of data.active) state.active.add(id)
  for (const id of data.finished) {
    state.finished.push(id)
    state.finishedTasks += state.runs.get(id)!.tasks.length
  }
  for (const { retried, ...batch } of data.batches) {
    const map = retried === undefined ? undefined : new Map(retried)
    state.batches.set(batch.id, { ...batch, retried: map as Batch['retried'] })
  }
  for (const worker of data.workers) {
    state.workers.set(worker.id, {
      recycledAtMs: 0,
      recycledMs: 0,
      ...worker,
      recycling: worker.recycling,
      batches: new Set(worker.batches),
    })
    if (worker.recycling) state.recycling.add(worker.id)
  }
  for (const kind of data.recoveries ?? []) state.recoveries.set(kind.kind, kind)
  state.recycles = data.recycles ?? 0
  state.letters = restoreLetters(data.letters)
  state.breakers = restoreBreakers(data.breakers)
  return state
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
