/** What of a run has not begun, and what becomes of it when the run is stopped. */
import type { TaskIndex } from './entities.ts'
import type { Event } from './events.ts'
import type { Run } from './state.ts'

/** Queued, or blocked by others. `kinds`: only of these groups. */
export function waitingTasks(run: Run, kinds?: ReadonlySet<number>): TaskIndex[] {
  const waiting: TaskIndex[] = []
  if (run.queuedCount + run.byState.blocked === 0) return waiting
  for (let index = 0; index < run.tasks.length; index += 1) {
    const { state, kind } = run.tasks[index]!
    if ((state === 'queued' || state === 'blocked') && (kinds === undefined || kinds.has(kind))) waiting.push(index)
  }
  return waiting
}

/** Cancellation takes the queue at once; what runs ends through its batch. */
export function cancelEvents(run: Run, who: string, why: string, drain: boolean): readonly Event[] {
  const events: Event[] = [{ type: 'run.cancelled', run: run.id, who, why, drain }]
  const queued = waitingTasks(run)
  if (queued.length > 0) events.push({ type: 'task.ended', run: run.id, tasks: queued, state: 'cancelled', why })
  return events
}
