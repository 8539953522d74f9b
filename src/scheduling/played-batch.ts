/**
 * What becomes of a played batch: it starts up, then runs its tasks in their order on as many lanes as it has CPUs, as a
 * framework does, and reports each as it is done. Tasks pass, unless the script says how an attempt goes: one that crashes
 * or runs out of time takes its process with it. All of it is known when it begins, unless somebody stops it.
 */
import type { BatchId, RunId, TaskIndex, WorkerId } from '../core/entities.ts'
import type { Event, TaskReport } from '../core/events.ts'
import type { Input } from '../core/input.ts'
import type { Worker } from '../core/state.ts'
import { Moments } from './moments.ts'

/** How one attempt of a task goes, and what it takes on this worker. */
export type Attempted = {
  readonly outcome: 'passed' | 'failed' | 'skipped' | 'crashed' | 'timed-out'
  readonly durationMs: number
  /** Of one that failed; default 1. */
  readonly failedTests?: number
}

/** How work goes. */
export type Script = {
  /** How long a task takes on this worker, by itself on one lane. */
  readonly taskMs: (run: RunId, task: TaskIndex, worker: Worker) => number
  /** How an attempt goes, of which `before` have come to an end; undefined: it passes, and takes `taskMs`. */
  readonly attempt?: (run: RunId, task: TaskIndex, worker: Worker, before: number) => Attempted | undefined
  readonly startupMs: (run: RunId, worker: Worker) => number
  /** A batch reports so often at most, its tasks together; absent: each task by itself. For very many tasks. */
  readonly reportsMax?: number
}

export type PlayedBatch = {
  readonly batch: BatchId
  readonly run: RunId
  readonly worker: WorkerId
  readonly tasks: readonly TaskIndex[]
  readonly cpus: number
  readonly fromMs: number
  readonly toMs: number
}

/** `over`: tasks of the run of which an attempt has come to its end with it. */
export type Happening = {
  readonly input: Input
  readonly over?: { readonly run: RunId; readonly tasks: readonly TaskIndex[] }
}

export type Timed = Happening & { readonly atMs: number }

export type Assigned = Extract<Event, { type: 'batch.assigned' }>

/** What a batch does until it ends. */
export type UnderWay = {
  readonly event: Assigned
  readonly atMs: number
  readonly startupMs: number
  readonly turns: readonly Turn[]
}

type Turn = Attempted & { readonly task: TaskIndex; readonly fromMs: number; readonly toMs: number }

/** What runs may go on for so long when its run is cancelled and is to finish what it began. */
const drainMaxMs = 10_000

const plainEnd = { exitCode: 0, signal: null, interrupted: [], timedOut: [], errors: [] }

/** `before`: how many attempts of a task have come to an end. */
export function beginBatch(
  script: Script,
  event: Assigned,
  worker: Worker,
  nowMs: number,
  before: (task: TaskIndex) => number,
): UnderWay {
  const startupMs = script.startupMs(event.run, worker)
  return { event, atMs: nowMs, startupMs, turns: turnsOf(script, event, worker, nowMs + startupMs, before) }
}

/** Which task runs when, lane by lane, if nothing ends the process. */
function turnsOf(
  { attempt, taskMs }: Script,
  { run, tasks, cpus }: Assigned,
  worker: Worker,
  beginMs: number,
  before: (task: TaskIndex) => number,
): Turn[] {
  const lanes = new Moments<undefined>()
  for (let lane = 0; lane < Math.min(cpus, tasks.length); lane += 1) lanes.add(beginMs, undefined)
  return tasks.map((task) => {
    const attempted: Attempted = attempt?.(run, task, worker, before(task)) ?? {
      outcome: 'passed',
      durationMs: taskMs(run, task, worker),
    }
    const fromMs = lanes.firstMs!
    const toMs = fromMs + attempted.durationMs
    lanes.take()
    lanes.add(toMs, undefined)
    return { task, ...attempted, fromMs, toMs }
  })
}

/** Everything that its worker will say of it, if nobody stops it. */
export function saidOf({ event, atMs, startupMs, turns }: UnderWay, partsMax?: number): readonly Timed[] {
  const { worker, run, batch, token } = event
  const about = { worker, batch, token } as const
  const beginMs = atMs + startupMs
  const fatal = fatalOf(turns)
  const toMs = fatal?.toMs ?? turns.reduce((last, turn) => Math.max(last, turn.toMs), beginMs)
  const said: Timed[] = []
  for (const part of together(turns, beginMs, toMs, partsMax)) {
    const reports = part.map(reportOf).filter((report) => report !== undefined)
    if (reports.length === 0) continue
    const doneMs = part.reduce((last, turn) => Math.max(last, turn.toMs), 0)
    const over = { run, tasks: reports.map((one) => one.task) }
    said.push({ atMs: doneMs, input: { type: 'report', ...about, reports }, over })
  }
  const wallMs = toMs - atMs
  if (!fatal) {
    const input = { type: 'end', ...about, ...plainEnd, reason: 'completed', startupMs, wallMs } as const
    return [...said, { atMs: toMs, input }]
  }
  const reason = fatal.outcome === 'crashed' ? 'crashed' : 'timed-out'
  // By what has begun the core tells who may be to blame.
  for (const { task, fromMs } of turns)
    if (fromMs < toMs) said.push({ atMs: fromMs, input: { type: 'start', ...about, tasks: [task] } })
  const underWay = turns.filter((turn) => turn.fromMs < toMs && turn.toMs > toMs).map((turn) => turn.task)
  const { task } = fatal
  const which =
    reason === 'crashed'
      ? { exitCode: null, signal: 'SIGKILL', interrupted: [task, ...underWay] }
      : { exitCode: null, interrupted: underWay, timedOut: [task] }
  const input = { type: 'end', ...about, ...plainEnd, ...which, reason, startupMs, wallMs } as const
  return [...said, { atMs: toMs, input, over: { run, tasks: [task] } }]
}

/** The first turn that ends the process. */
function fatalOf(turns: readonly Turn[]): Turn | undefined {
  let fatal: Turn | undefined
  for (const turn of turns) {
    if (turn.outcome !== 'crashed' && turn.outcome !== 'timed-out') continue
    if (fatal === undefined || turn.toMs < fatal.toMs) fatal = turn
  }
  return fatal
}

const counts = { passed: [1, 0, 0, 0], skipped: [0, 0, 0, 1] } as const

function reportOf({ task, outcome, durationMs, failedTests = 1 }: Turn): TaskReport | undefined {
  if (outcome === 'crashed' || outcome === 'timed-out') return undefined
  return { task, outcome, durationMs, counts: outcome === 'failed' ? [0, failedTests, 0, 0] : counts[outcome] }
}

/** Those that are done by `toMs`, in the order in which they are: one by one, or those of a part of the time together. */
function together(
  turns: readonly Turn[],
  fromMs: number,
  toMs: number,
  partsMax = Infinity,
): Iterable<readonly Turn[]> {
  const done = turns.filter((turn) => turn.toMs <= toMs)
  if (done.length <= partsMax) return done.map((turn) => [turn])
  const parts = Array.from({ length: partsMax }, (): Turn[] => [])
  const spanMs = Math.max(1, toMs - fromMs)
  for (const turn of done)
    parts[Math.min(partsMax - 1, Math.floor(((turn.toMs - fromMs) * partsMax) / spanMs))]!.push(turn)
  return parts
}

/** Its run was cancelled: the process ends at once, or when the tasks that have begun are done. */
export function stopBatch({ event, atMs, startupMs, turns }: UnderWay, drain: boolean, nowMs: number): Timed {
  let toMs = nowMs
  if (drain)
    for (const turn of turns)
      if (turn.fromMs <= nowMs && turn.toMs > nowMs) toMs = Math.min(Math.max(toMs, turn.toMs), nowMs + drainMaxMs)
  const { worker, batch, token } = event
  const spent = { startupMs: Math.min(startupMs, toMs - atMs), wallMs: toMs - atMs }
  return { atMs: toMs, input: { type: 'end', worker, batch, token, ...plainEnd, reason: 'cancelled', ...spent } }
}
