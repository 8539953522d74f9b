/**
 * What is known of a run while it goes: the fold of its feed messages. Reporters for people read it;
 * it prints nothing and knows no terminal.
 */
import type { FeedMessage, RunView, RunningTask } from '../../protocol/run-view.ts'
import type { RunInfo } from './reporter.ts'
import type { Clock } from './clock.ts'

export type Running = RunningTask & { readonly sinceMs: number }
export type FileTests = { passed: number; failed: number; flaky: number; skipped: number }

export class Progress {
  readonly #clock: Clock
  readonly startedAtMs: number
  info: RunInfo | undefined
  run: RunView | undefined
  /** By task index, in order of start. */
  readonly running = new Map<number, Running>()
  /** Tests seen live per task of the attempt under way. */
  readonly #tests = new Map<number, FileTests>()

  constructor(clock: Clock) {
    this.#clock = clock
    this.startedAtMs = clock.now()
  }

  apply(message: FeedMessage): void {
    const nowMs = this.#clock.now()
    switch (message.type) {
      case 'snapshot':
        this.run = message.run
        this.running.clear()
        for (const task of message.running) {
          // Another host's clock: believed only as far as it is plausible here.
          const sinceMs = Math.min(nowMs, Math.max(task.startedAtMs, this.startedAtMs))
          this.running.set(task.task, { ...task, sinceMs })
        }
        break
      case 'run':
      case 'end':
        this.run = message.run
        if (message.type === 'end') this.running.clear()
        break
      case 'task-started':
        // Tests come without the detour over the log, so some were seen before the start of their file.
        for (const task of message.tasks) this.running.set(task.task, { ...task, sinceMs: nowMs })
        break
      case 'task-ended':
        this.running.delete(message.task)
        break
      case 'test': {
        // The file itself failed, not one of its tests.
        if (message.name.length === 0) break
        const tests = this.testsOf(message.task)
        if (message.status === 'failed') tests.failed += 1
        else if (message.status !== 'passed') tests.skipped += 1
        else if (message.flaky) tests.flaky += 1
        else tests.passed += 1
        this.#tests.set(message.task, tests)
        break
      }
      case 'output':
      case 'notice':
        break
    }
  }

  testsOf(task: number): FileTests {
    return this.#tests.get(task) ?? { passed: 0, failed: 0, flaky: 0, skipped: 0 }
  }

  /** The task has been shown; its live counts are of no more use. */
  forget(task: number): void {
    this.#tests.delete(task)
  }

  elapsedMs(): number {
    return this.#clock.now() - this.startedAtMs
  }

  /** Expected time to the end, or undefined while nothing can be said. */
  remainingMs(): number | undefined {
    const { run } = this
    if (!run || run.startedAtMs === undefined || run.planned === 0) return undefined
    const spentMs = Math.max(0, this.#clock.now() - Math.max(run.startedAtMs, this.startedAtMs))
    const done = run.accounted / run.planned
    if (done >= 1) return undefined
    const predictedMs = run.predictedMs ?? this.info?.predictedMs
    if (predictedMs !== undefined && predictedMs > spentMs) return predictedMs - spentMs
    return done > 0.05 && spentMs > 2000 ? (spentMs * (1 - done)) / done : undefined
  }
}
