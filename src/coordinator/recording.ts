/**
 * The recorded queue for `muster replay`: finished runs in state, older ones from history, and from history also what state
 * doesn't keep of a run that is over (attempts without a report, pauses, files added later) and when workers came and went.
 */
import { dependenciesAmong } from '../core/dependencies.ts'
import type { RunId, TaskDependency, WorkerId } from '../core/entities.ts'
import type { WorkerJoined } from '../core/events.ts'
import { Refused } from '../core/input.ts'
import type { Run, State } from '../core/state.ts'
import type { AuditRow, RecordedRow } from '../history/history.ts'
import type { RecordedRun, RecordedWorker, Recording } from '../scheduling/recording.ts'
import {
  cutShort,
  isFromOutside,
  meanwhileOf,
  plainSpecOf,
  runFromHistory,
  triesOf,
  unmeasuredOf,
} from './recorded-history.ts'
import { choicesFrom, type Seen } from './seen-by-history.ts'

export type RecordingQuery = {
  /** From this run's submission on. */
  readonly run?: RunId
  /** Only that run. */
  readonly only?: boolean
  readonly sinceMs?: number
}

export function recordingOf(
  state: State,
  query: RecordingQuery,
  strategy: string,
  { workers: seen, choices, rows, behind: behindWhy = 'that history has not taken in yet' }: Seen,
  nowMs: number,
): Recording {
  const { run: id, sinceMs, only = false } = query
  const known = new Map(rows?.runs.map((row) => [row.run, row]))
  const first = id === undefined ? undefined : (state.runs.get(id)?.createdAtMs ?? known.get(id)?.createdAtMs)
  if (id !== undefined && first === undefined)
    throw new Refused(
      'not_found',
      `no run ${id} is known, neither here nor in history; muster runs lists those that are`,
    )
  const fromMs = first ?? sinceMs ?? 0
  const isWanted = (run: RunId, createdAtMs: number) => (only ? run === id : createdAtMs >= fromMs)
  const left = new Map<string, number>()
  const leave = (why: string) => void left.set(why, (left.get(why) ?? 0) + 1)
  const runs: RecordedRun[] = []
  const kept: Run[] = []
  const speeds = speedsOf(state, seen)
  for (const run of state.runs.values()) {
    if (!isWanted(run.id, run.createdAtMs)) continue
    if (run.state !== 'finished') leave('not finished')
    else if (run.startedAtMs === undefined || (run.reports.length === 0 && !isStopped(run)))
      leave('without a measured file')
    else {
      kept.push(run)
      runs.push(recordedRun(run, speeds, known.get(run.id)))
    }
  }
  const behind = rows ? kept.filter((run) => !known.has(run.id)).length - rows.beyond : 0
  for (const row of known.values()) {
    if (state.runs.has(row.run) || !isWanted(row.run, row.createdAtMs)) continue
    const run = runFromHistory(row)
    if ('why' in run) leave(run.why)
    else runs.push(run)
  }
  runs.sort((a, b) => a.submittedAtMs - b.submittedAtMs || (a.run < b.run ? -1 : 1))
  const leftOut = [...left].map(([why, count]) => `${runsOf(count)} ${why}`)
  if (rows && rows.beyond > 0) leftOut.push(`${runsOf(rows.beyond)} further back: more than can be played at once`)
  if (behind > 0)
    leftOut.push(`crashes, time limits, pauses and when files were added, of ${runsOf(behind)} ${behindWhy}`)
  if (!rows && !only) leftOut.push(...withoutHistory(state, sinceMs, nowMs))
  const startMs = runs[0]?.submittedAtMs ?? fromMs
  const toMs = runs.reduce((last, run) => Math.max(last, run.endedAtMs), startMs)
  const workers = workersOf(state, kept, seen, startMs, toMs)
  const shares = state.shares.size === 0 ? {} : { shares: [...state.shares] }
  const chosen = choices === undefined ? {} : { schedulers: choicesFrom(choices, startMs, toMs) }
  return { fromMs: startMs, toMs, strategy, ...chosen, runs, workers, ...shares, leftOut }
}

function withoutHistory(state: State, sinceMs: number | undefined, nowMs: number): string[] {
  const leftOut = ['crashes, time limits, pauses, changes of scheduler and when files were added: history is away']
  const oldest = [...state.runs.values()].reduce((least, run) => Math.min(least, run.createdAtMs), Infinity)
  if (sinceMs !== undefined && oldest > sinceMs)
    leftOut.push(
      `what came before ${new Date(oldest === Infinity ? nowMs : oldest).toISOString()}: no older run is kept`,
    )
  return leftOut
}

function runsOf(count: number): string {
  return count === 1 ? '1 run' : `${count} runs`
}

/** By somebody. Of what had not ended by then, it is known how long it was expected to take. */
function isStopped({ cancelled }: Run): boolean {
  return cancelled !== undefined && isFromOutside(cancelled.who)
}

function recordedRun(run: Run, speeds: ReadonlyMap<WorkerId, number>, row: RecordedRow | undefined): RecordedRun {
  const durationsMs: (number | null)[] = run.tasks.map(() => null)
  /** One report, and it passed: most tasks. */
  const plain = new Uint8Array(run.tasks.length)
  const odd = new Set<number>()
  // Every attempt cost its time.
  for (const { worker, tasks, outcomes, durationsMs: tookMs } of run.reports) {
    const speed = speeds.get(worker) ?? 1
    for (let at = 0; at < tasks.length; at += 1) {
      const task = tasks[at]!
      durationsMs[task] = (durationsMs[task] ?? 0) + tookMs[at]! * speed
      if (plain[task] === 1 || outcomes[at] !== 'passed') odd.add(task)
      plain[task] = 1
    }
  }
  const tries = triesOf(row?.tries ?? reportedTries(run, odd, speeds))
  const estimatesMs = run.tasks.map((task) => (task.estimateMs < 0 ? null : task.estimateMs))
  const about = { estimatesMs, tries, cut: cutShort(row?.tries ?? []), longestMs: run.endedAtMs! - run.startedAtMs! }
  const unmeasured = unmeasuredOf(durationsMs, about)
  const dependencies = dependenciesOf(run)
  const spec = plainSpecOf(run.spec)
  // When it was, only history knows: a run that is told to stop is soon over.
  const cancels = isStopped(run) ? { cancels: [{ atMs: run.endedAtMs!, drain: run.cancelled!.drain }] } : {}
  return {
    run: run.id,
    who: run.who,
    // What it was given later is known only to history.
    spec: row ? spec : { ...spec, priority: run.priority },
    submittedAtMs: run.createdAtMs,
    startedAtMs: run.startedAtMs!,
    endedAtMs: run.endedAtMs!,
    files: run.tasks.map((task) => task.file),
    estimatesMs,
    kinds: run.tasks.map((task) => task.kind),
    durationsMs: durationsMs.map((ms) => ms ?? 0),
    ...(unmeasured.length === 0 ? {} : { unmeasured }),
    startupMs: run.startupMs ?? run.spec.startupMs,
    ...(row ? meanwhileOf(row.events) : cancels),
    ...(tries.length === 0 ? {} : { tries }),
    ...(dependencies.length === 0 ? {} : { dependencies }),
  }
}

/** What state tells of them: attempts that ended without a report are not among it. */
function reportedTries(
  run: Run,
  odd: ReadonlySet<number>,
  speeds: ReadonlyMap<WorkerId, number>,
): RecordedRow['tries'] {
  const tries: [task: number, outcome: string, ms: number, failedTests: number][] = []
  if (odd.size === 0) return tries
  for (const { worker, tasks, outcomes, durationsMs } of run.reports)
    for (const [at, task] of tasks.entries()) {
      // How many tests failed it tells of the last one only.
      const failedTests = run.tasks[task]!.counts?.[1] ?? 1
      if (odd.has(task)) tries.push([task, outcomes[at]!, durationsMs[at]! * (speeds.get(worker) ?? 1), failedTests])
    }
  return tries
}

function dependenciesOf(run: Run): readonly TaskDependency[] {
  if (run.pastDependencies === undefined) return []
  return dependenciesAmong(
    run,
    run.tasks.map((_, index) => index),
  )
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
