/**
 * When batches are expected to end, as intervals: what is left of their tasks' estimates at their worker's speed, give or
 * take what estimates may be off by. For people; of decisions only one rests on them, which may as well be wrong (soon.ts).
 */
import { expectedMs, type Batch, type Run, type State } from '../core/state.ts'
import { uncertaintyOf } from './batch-size.ts'
import { speedOf } from './fleet.ts'

/** Milliseconds since the epoch. */
export type Interval = { readonly fromMs: number; readonly toMs: number }

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
  return { fromMs: Math.round(nowMs + leftMs * (1 - off)), toMs: Math.round(nowMs + toMs) }
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
  return { fromMs: Math.max(one.fromMs, other.fromMs), toMs: Math.max(one.toMs, other.toMs) }
}

export function sooner(one: Interval, other: Interval): Interval {
  return { fromMs: Math.min(one.fromMs, other.fromMs), toMs: Math.min(one.toMs, other.toMs) }
}

export function moment(atMs: number): Interval {
  return { fromMs: atMs, toMs: atMs }
}
