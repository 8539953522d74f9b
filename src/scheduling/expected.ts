/**
 * When batches are expected to end, as intervals: what is left of their tasks' estimates at their worker's speed, give or
 * take what estimates may be off by. For people; of decisions only one rests on them, which may as well be wrong (soon.ts).
 */
import { expectedMs, type Batch, type Run, type State, type Worker } from '../core/state.ts'
import { uncertaintyOf } from './batch-size.ts'
import { speedOf, type View } from './fleet.ts'

/** Milliseconds since the epoch. */
export type Interval = {
  readonly fromMs: number
  readonly toMs: number
  /** It rests on a guess for files without history, which they have outrun: when is not known. */
  readonly outrun?: true
}

/** Of a worker that nobody hears from: what it holds is let go when it is given up. */
export type Silence = {
  /** When it was heard from last; absent on a coordinator that workers don't talk to: then it is given up by then. */
  readonly sinceMs?: number
  readonly givenUpAtMs: number
}

/** A view that knows more of workers, for what is said of them. */
export type WatchedView = View & {
  /** Undefined of one that is there. */
  readonly silence?: (worker: Worker, nowMs: number) => Silence | undefined
}

export function silenceOf(view: WatchedView, batch: Batch, nowMs: number): Silence | undefined {
  const worker = view.state.workers.get(batch.worker)
  return worker && view.silence?.(worker, nowMs)
}

/** When what the batch holds is expected to be free: of a silent worker's nothing, before it is given up. */
export function batchFrees(view: WatchedView, batch: Batch, nowMs: number): Interval {
  const ends = batchEnds(view.state, batch, nowMs)
  const silence = silenceOf(view, batch, nowMs)
  return silence ? later({ fromMs: ends.fromMs, toMs: ends.toMs }, moment(Math.round(silence.givenUpAtMs))) : ends
}

/** When its tasks are expected to be over: of a silent worker's all may have to be done again elsewhere. */
export function batchWorkEnds(view: WatchedView, batch: Batch, nowMs: number): Interval {
  const frees = batchFrees(view, batch, nowMs)
  const silence = silenceOf(view, batch, nowMs)
  if (!silence) return frees
  const run = view.state.runs.get(batch.run)!
  const againMs = (run.startupMs ?? run.spec.startupMs) + batch.expectedMs * (1 + uncertaintyOf(run))
  return { fromMs: frees.fromMs, toMs: Math.round(frees.toMs + againMs) }
}

/** Beyond so many tasks no single one decides when the batch ends. */
const lookedAtMax = 1000

export function batchEnds(state: State, batch: Batch, nowMs: number): Interval {
  const run = state.runs.get(batch.run)!
  const worker = state.workers.get(batch.worker)
  const speed = worker ? speedOf(worker) : 1
  const startupMs = run.startupMs ?? run.spec.startupMs
  const beforeMs = batch.begun ? 0 : Math.max(0, startupMs - (nowMs - batch.assignedAtMs))
  const { longestMs, longestOpenMs } = longestOf(run, batch)
  const elapsedMs = nowMs - batch.assignedAtMs
  // By its reports, or by the clock where that says less.
  const byReportsMs = beforeMs + Math.max(batch.openMs / batch.cpus, longestOpenMs) / speed
  const byClockMs = startupMs + Math.max(batch.expectedMs / batch.cpus, longestMs) / speed - elapsedMs
  const leftMs = Math.max(0, Math.min(byReportsMs, byClockMs))
  const off = uncertaintyOf(run)
  // One that is over its time may end at any moment, or be as far off again.
  const toMs = leftMs > 0 ? leftMs * (1 + off) : byReportsMs * off
  const interval = { fromMs: Math.round(nowMs + leftMs * (1 - off)), toMs: Math.round(nowMs + toMs) }
  return leftMs === 0 && hasUnknown(run, batch) ? { ...interval, outrun: true } : interval
}

/** Whether a task without a report yet has no history. */
function hasUnknown(run: Run, batch: Batch): boolean {
  return batch.tasks.some((index) => {
    const task = run.tasks[index]!
    const isOpen = task.batch === batch.id && (task.state === 'assigned' || task.state === 'running')
    return isOpen && (task.estimateMs < 0 || task.guessed)
  })
}

/** Of its tasks, and of those without a report: more CPUs don't make one file faster. */
function longestOf(run: Run, batch: Batch): { readonly longestMs: number; readonly longestOpenMs: number } {
  let longestMs = 0
  let longestOpenMs = 0
  if (batch.tasks.length > lookedAtMax) return { longestMs, longestOpenMs }
  for (const index of batch.tasks) {
    const task = run.tasks[index]!
    const workMs = expectedMs(run, task)
    longestMs = Math.max(longestMs, workMs)
    if (task.batch !== batch.id || (task.state !== 'assigned' && task.state !== 'running')) continue
    longestOpenMs = Math.max(longestOpenMs, workMs)
  }
  return { longestMs, longestOpenMs }
}

export function later(one: Interval, other: Interval): Interval {
  const interval = { fromMs: Math.max(one.fromMs, other.fromMs), toMs: Math.max(one.toMs, other.toMs) }
  return one.outrun || other.outrun ? { ...interval, outrun: true } : interval
}

export function sooner(one: Interval, other: Interval): Interval {
  const fromMs = Math.min(one.fromMs, other.fromMs)
  // Of one of which nobody knows when, the other says until when at the latest.
  if (one.outrun && !other.outrun) return { fromMs, toMs: other.toMs }
  if (other.outrun && !one.outrun) return { fromMs, toMs: one.toMs }
  const interval = { fromMs, toMs: Math.min(one.toMs, other.toMs) }
  return one.outrun ? { ...interval, outrun: true } : interval
}

export function moment(atMs: number): Interval {
  return { fromMs: atMs, toMs: atMs }
}

/** Undefined when nobody can say it of any of them. */
export function firstOf<T>(list: readonly T[], at: (one: T) => Interval | undefined): Interval | undefined {
  let first: Interval | undefined
  for (const one of list) {
    const open = at(one)
    if (open) first = first ? sooner(first, open) : open
  }
  return first
}

/** Undefined when nobody can say it of one of them. */
export function lastOf<T>(list: readonly T[], at: (one: T) => Interval | undefined): Interval | undefined {
  let last: Interval | undefined
  for (const one of list) {
    const open = at(one)
    if (!open) return undefined
    last = last ? later(last, open) : open
  }
  return last
}
