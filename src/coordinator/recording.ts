/**
 * The recorded queue for `muster replay`, from finished runs in state and from what history saw of workers. It reaches
 * back as far as finished runs are kept in state (200 runs or 200 000 tasks, unless limits say otherwise): what they
 * needed and how long each file took is known whole only there.
 */
import type { RunId, WorkerId } from '../core/entities.ts'
import type { WorkerJoined } from '../core/events.ts'
import { Refused } from '../core/input.ts'
import type { Run, State } from '../core/state.ts'
import type { AuditRow } from '../history/history.ts'
import type { RecordedRun, RecordedWorker, Recording } from '../scheduling/recording.ts'

export type RecordingQuery = {
  /** From this run's submission on. */
  readonly run?: RunId
  /** Only that run. */
  readonly only?: boolean
  readonly sinceMs?: number
}

/** `seen`: worker.joined, worker.drained and worker.left, oldest first; none when history is away. */
export function recordingOf(
  state: State,
  query: RecordingQuery,
  strategy: string,
  seen: readonly AuditRow[],
  nowMs: number,
): Recording {
  const { run: id, sinceMs, only = false } = query
  const first = id === undefined ? undefined : state.runs.get(id)
  if (id !== undefined && !first)
    throw new Refused('not_found', `no run ${id}; muster runs lists those that are kept, and no others can be replayed`)
  const fromMs = first?.createdAtMs ?? sinceMs ?? 0
  const wanted = [...state.runs.values()].filter((run) => (only ? run === first : run.createdAtMs >= fromMs))
  const leftOut: string[] = []
  const unfinished = wanted.filter((run) => run.state !== 'finished').length
  if (unfinished > 0) leftOut.push(`${runsOf(unfinished)} not finished`)
  const speeds = speedsOf(state, seen)
  const finished = wanted.filter((run) => run.state === 'finished')
  const measured = finished.filter((run) => run.reports.length > 0 && run.startedAtMs !== undefined)
  if (measured.length < finished.length)
    leftOut.push(`${runsOf(finished.length - measured.length)} without a measured file`)
  const oldest = [...state.runs.values()].reduce((least, run) => Math.min(least, run.createdAtMs), Infinity)
  if (sinceMs !== undefined && oldest > sinceMs)
    leftOut.push(
      `what came before ${new Date(oldest === Infinity ? nowMs : oldest).toISOString()}: no older run is kept`,
    )
  const runs = measured
    .map((run) => recordedRun(run, speeds))
    .sort((a, b) => a.submittedAtMs - b.submittedAtMs || (a.run < b.run ? -1 : 1))
  const startMs = runs[0]?.submittedAtMs ?? fromMs
  const toMs = runs.reduce((last, run) => Math.max(last, run.endedAtMs), startMs)
  return { fromMs: startMs, toMs, strategy, runs, workers: workersOf(state, measured, seen, startMs, toMs), leftOut }
}

function runsOf(count: number): string {
  return count === 1 ? '1 run' : `${count} runs`
}

function recordedRun(run: Run, speeds: ReadonlyMap<WorkerId, number>): RecordedRun {
  const durationsMs = run.tasks.map(() => 0)
  // Every attempt cost its time.
  for (const { worker, tasks, durationsMs: tookMs } of run.reports)
    tasks.forEach((task, at) => (durationsMs[task]! += tookMs[at]! * (speeds.get(worker) ?? 1)))
  const { traceparent: _, ...spec } = run.spec
  return {
    run: run.id,
    who: run.who,
    spec: { ...spec, context: '', paths: [], args: [], priority: run.priority },
    submittedAtMs: run.createdAtMs,
    startedAtMs: run.startedAtMs!,
    endedAtMs: run.endedAtMs!,
    files: run.tasks.map((task) => task.file),
    estimatesMs: run.tasks.map((task) => (task.estimateMs < 0 ? null : task.estimateMs)),
    kinds: run.tasks.map((task) => task.kind),
    durationsMs,
    startupMs: run.startupMs ?? run.spec.startupMs,
  }
}

function speedsOf(state: State, seen: readonly AuditRow[]): ReadonlyMap<WorkerId, number> {
  const speeds = new Map<WorkerId, number>()
  const note = (worker: WorkerId, speed: number | undefined) => {
    if (speed !== undefined && speed > 0) speeds.set(worker, speed)
  }
  for (const row of seen)
    if (row.type === 'worker.joined') {
      const { worker, capabilities } = JSON.parse(row.event) as WorkerJoined
      note(worker, capabilities.speed)
    }
  for (const { id, capabilities } of state.workers.values()) note(id, capabilities.speed)
  return speeds
}

/** As history saw them come and go; those that it did not see were there all the time, as far as state or a run tells of them. */
function workersOf(
  state: State,
  runs: readonly Run[],
  seen: readonly AuditRow[],
  fromMs: number,
  toMs: number,
): readonly RecordedWorker[] {
  const stays = new Map<string, { -readonly [K in keyof RecordedWorker]: RecordedWorker[K] }>()
  const now = new Map<WorkerId, string>()
  for (const { type, atMs, position, event } of seen) {
    const { worker } = JSON.parse(event) as { readonly worker: WorkerId }
    const key = now.get(worker)
    if (type !== 'worker.joined') {
      // One that is drained takes nothing any more.
      if (key !== undefined) stays.get(key)!.leftAtMs ??= atMs
      if (type === 'worker.left') now.delete(worker)
      continue
    }
    const { name, capabilities } = JSON.parse(event) as WorkerJoined
    if (key !== undefined) {
      // It says again what it offers.
      Object.assign(stays.get(key)!, { name, capabilities })
      continue
    }
    const stay = `${worker} ${position}`
    now.set(worker, stay)
    stays.set(stay, { worker, name, capabilities, joinedAtMs: atMs })
  }
  const workers: RecordedWorker[] = [...stays.values()]
  const known = new Set(workers.map((one) => one.worker))
  for (const { id, name, capabilities } of state.workers.values())
    if (!known.has(id)) workers.push({ worker: id, name, capabilities, joinedAtMs: fromMs })
  for (const { id } of state.workers.values()) known.add(id)
  for (const run of runs) {
    for (const [worker, { name, host, cpus }] of run.workers) {
      if (known.has(worker)) continue
      known.add(worker)
      // It had what the run asked for.
      const labels = { ...run.spec.labels }
      const capabilities = {
        os: 'linux',
        arch: 'x64',
        cpus,
        memoryBytes: Number.MAX_SAFE_INTEGER,
        host,
        labels,
        tools: {},
      }
      workers.push({ worker, name, capabilities, joinedAtMs: fromMs })
    }
  }
  return workers.filter((one) => one.joinedAtMs < toMs && (one.leftAtMs ?? Infinity) > fromMs)
}
