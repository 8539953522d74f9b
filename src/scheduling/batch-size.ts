/**
 * How much work one framework process is given. One host alone takes everything: the framework's own
 * parallelism beats any splitting. Several hosts use guided self-scheduling (Polychronopoulos & Kuck
 * 1987): each batch is a share of what remains, so batches shrink towards the end and the last ones
 * even out what estimates got wrong. A process's start-up bounds it from below: splitting finer than
 * a few start-ups costs more than it evens out.
 */
import { expectedMs, type Run } from '../core/state.ts'

/** A batch takes this part of its worker's fair share of what remains. */
const guidedShare = 0.5
/** No smaller batch than this many start-ups of work per CPU, as long as the fair share allows. */
const startupsPerBatch = 2

/** Work to give to a worker with `cpus` out of `fleetCpus`, in estimated CPU-milliseconds. */
export function targetWorkMs(remainingMs: number, cpus: number, fleetCpus: number, startupMs: number): number {
  if (cpus >= fleetCpus) return Infinity
  const fairMs = (remainingMs * cpus) / fleetCpus
  return Math.max(fairMs * guidedShare, Math.min(fairMs, startupMs * cpus * startupsPerBatch))
}

/** Indexes of the queued tasks that make up the next batch: those that failed before first, then the longest. */
export function pickTasks(run: Run, targetMs: number, tasksMax: number): number[] {
  const picked: number[] = []
  let sumMs = 0
  let limit = tasksMax
  const take = (index: number): boolean => {
    const task = run.tasks[index]!
    if (task.state !== 'queued') return true
    const max = task.batchMax === 0 ? limit : Math.min(limit, task.batchMax)
    if (picked.length >= max) return false
    const workMs = expectedMs(run, task)
    // The first one is taken whatever it costs; one that would overshoot by more than half waits.
    if (picked.length > 0 && sumMs + workMs / 2 > targetMs) return false
    picked.push(index)
    sumMs += workMs
    limit = max
    return picked.length < limit
  }
  for (const index of run.again) if (!take(index)) return picked
  const again = run.again.length > 0 ? new Set(run.again) : undefined
  for (let at = run.queueHead; at < run.queue.length; at += 1) {
    const index = run.queue[at]!
    if (again?.has(index)) continue
    if (!take(index)) return picked
  }
  return picked
}
