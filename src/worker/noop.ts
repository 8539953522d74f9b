/**
 * The framework `none`: every task passes at once and nothing is started. It measures what Muster
 * itself costs (the bench, load tests) with the real messages, the real spool and the real acks.
 */
import type { Assign } from '../protocol/worker-messages.ts'
import { BatchReporter } from './batch-reporter.ts'
import type { FromExecutor } from './thread-messages.ts'

export function runNoop(assign: Assign, post: (message: FromExecutor) => void): void {
  const beganMs = performance.now()
  const reporter = new BatchReporter(assign, post)
  for (const task of assign.tasks) reporter.started(task)
  assign.files.forEach((file, index) => {
    reporter.reported(assign.tasks[index]!, { file, outcome: 'passed', durationMs: 0, tests: [] })
  })
  reporter.ended({
    reason: 'completed',
    exitCode: 0,
    signal: null,
    startupMs: 0,
    wallMs: performance.now() - beganMs,
    interrupted: [],
    timedOut: [],
    errors: [],
  })
}
