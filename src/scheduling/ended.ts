/** Where, when and how a task's attempts ended, as far as state still knows. */
import type { Run } from '../core/state.ts'
import type { TaskIndex } from '../core/entities.ts'

export type Attempt = {
  /** passed, failed or skipped when it was reported; otherwise how its batch ended. */
  readonly outcome: string
  readonly worker: string
  readonly name: string
  readonly batch: string
  readonly atMs: number
  readonly durationMs?: number
  readonly message?: string
}

/** Oldest first. Those without a report are known until the run is finished; dead letters keep them. */
export function attemptsOf(run: Run, index: TaskIndex): readonly Attempt[] {
  const attempts: Attempt[] = []
  const nameOf = (worker: string) => run.workers.get(worker)?.name ?? worker
  for (const { batch, worker, atMs, tasks, outcomes, durationsMs } of run.reports) {
    const at = tasks.indexOf(index)
    if (at < 0) continue
    const durationMs = durationsMs[at]!
    attempts.push({ outcome: outcomes[at]!, worker, name: nameOf(worker), batch, atMs, durationMs })
  }
  for (const { attempt, tasks } of run.mishaps) {
    if (!tasks.includes(index)) continue
    const { batch, worker, reason, message, atMs } = attempt
    const text = message === undefined ? {} : { message: message.split('\n')[0]! }
    attempts.push({ outcome: reason, worker, name: nameOf(worker), batch, atMs, ...text })
  }
  return attempts.sort((a, b) => a.atMs - b.atMs)
}
