/**
 * Where a task that is tried again may run. What it avoids is honoured for as long as another worker that fits
 * is connected, be it busy or not, and for a bounded time while none is; then it runs wherever
 * it can, because somewhere is better than nowhere. The same for the worker that it waits for to be recycled.
 */
import type { Avoid } from '../core/entities.ts'
import { avoids } from '../core/fit.ts'
import type { Run, Task, Worker } from '../core/state.ts'

export type Whereabouts = {
  readonly fitting: readonly Worker[]
  readonly nowMs: number
  /** Whether something fits that isn't avoided; tasks put back by one event share what they avoid. */
  readonly elsewhere: Map<Avoid, boolean>
}

export function whereabouts(fitting: readonly Worker[], nowMs: number): Whereabouts {
  return { fitting, nowMs, elsewhere: new Map() }
}

export function mayRunOn(where: Whereabouts, task: Task, worker: Worker): boolean {
  const { avoid, on } = task.again ?? {}
  if (on !== undefined && on.worker !== worker.id && on.untilMs > where.nowMs) {
    return !where.fitting.some((one) => one.id === on.worker)
  }
  if (avoid === undefined || !avoids(avoid, worker)) return true
  if (avoid.untilMs > where.nowMs) return false
  let elsewhere = where.elsewhere.get(avoid)
  if (elsewhere === undefined) {
    elsewhere = where.fitting.some((one) => !avoids(avoid, one))
    where.elsewhere.set(avoid, elsewhere)
  }
  return !elsewhere
}

/** Said of a batch in which something runs where it would rather not; empty when nothing does. */
export function givenUp(run: Run, tasks: readonly number[], worker: Worker): string {
  let count = 0
  for (const index of tasks) {
    const { again } = run.tasks[index]!
    if (again?.avoid !== undefined && avoids(again.avoid, worker)) count += 1
  }
  if (count === 0) return ''
  const which = tasks.length === 1 ? 'it' : `${count} of them`
  return `${which} should run elsewhere, but no other worker that fits came in time`
}
