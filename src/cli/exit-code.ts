/** From a finished run to the exit code; documented in docs/reference/cli.md. */
import type { RunView } from '../protocol/run-view.ts'

export function exitCodeOf(run: RunView, interrupted: boolean): number {
  if (interrupted) return 130
  if (run.accounted !== run.planned || run.verdict === undefined) return 3
  switch (run.verdict) {
    case 'passed':
      return 0
    case 'failed':
      return 1
    case 'timed-out':
      return 124
    case 'incomplete':
      return 3
    case 'cancelled':
      return 130
    case 'empty':
      return 5
  }
}

/** Worst first; a verdict that can't be relied on is worse than a red one. */
const ranking = [3, 2, 1, 124, 130, 5]

/** Of several suites. One that isn't run because another is red is never worse than that one. */
export function worstOf(codes: readonly number[]): number {
  return ranking.find((code) => codes.includes(code)) ?? 0
}
