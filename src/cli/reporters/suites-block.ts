/** The last words of a command that ran several suites: a line for each, the sum, and where the reports are. */
import type { RunView } from '../../protocol/run-view.ts'
import { formatDuration } from '../../stdx/duration.ts'
import type { Paint, Style } from './terminal.ts'
import { counted, fitEnd, formatCount, width } from './text-fit.ts'
import { taskNoun } from './wording.ts'

export type SuiteEnd = {
  readonly name: string
  /** Undefined when nobody knows how it ended; `why` says more. */
  readonly run: RunView | undefined
  readonly exitCode: number
  /** Why it wasn't run, or how it went wrong. */
  readonly why?: string | undefined
}

/** Lines without line ends. */
export function suitesBlock(
  ends: readonly SuiteEnd[],
  wallMs: number,
  files: readonly string[],
  columns: number,
  paint: Paint,
): string[] {
  const nameColumns = Math.max(...ends.map((one) => width(one.name)))
  const rows = ends.map((one) => {
    const [style, mark] = markOf(one)
    const name = `${one.name}${' '.repeat(nameColumns - width(one.name))}`
    const time = one.why !== undefined || one.run?.wallMs === undefined ? '' : `  ${formatDuration(one.run.wallMs)}`
    const room = columns - nameColumns - width(time) - 7
    return `  ${paint(style, mark)} ${name}  ${paint(style, fitEnd(wordsOf(one), room))}${paint('dim', time)}`
  })
  const red = ends.filter((one) => one.exitCode !== 0 && one.why === undefined).length
  const without = ends.filter((one) => one.why !== undefined).length
  const passed = ends.filter((one) => one.exitCode === 0).length
  const sum = [
    counted(ends.length, 'suite'),
    ...(passed > 0 ? [`${formatCount(passed)} passed`] : []),
    ...(red > 0 ? [`${formatCount(red)} did not pass`] : []),
    ...(without > 0 ? [`${formatCount(without)} not run`] : []),
    formatDuration(wallMs),
  ]
  return [
    ...rows,
    `  ${paint('bold', sum.join(' · '))}`,
    ...(files.length > 0 ? [`  ${paint('dim', 'reports'.padEnd(9))} ${files.join(', ')}`] : []),
  ]
}

function markOf({ exitCode, why }: SuiteEnd): [Style, string] {
  if (why !== undefined) return ['yellow', '-']
  return exitCode === 0 ? ['green', '✓'] : ['red', '✗']
}

function wordsOf({ run, why }: SuiteEnd): string {
  if (why !== undefined) return `not run: ${why}`
  if (run === undefined) return 'nothing is known'
  const hasTests = run.tests.total > 0
  const counts = hasTests ? run.tests : run.tasks
  const unit = hasTests ? '' : `${taskNoun(run.framework)}s `
  const shown = [
    [counts.passed, 'passed'],
    [counts.failed, 'failed'],
    [counts.flaky, 'flaky'],
    [counts.skipped, 'skipped'],
    [run.tasks.timedOut, 'timed out'],
    [run.tasks.lost, 'lost'],
    [run.tasks.cancelled, 'cancelled'],
  ] as const
  const words = shown.flatMap(([count, what]) => (count > 0 ? [`${formatCount(count)} ${unit}${what}`] : []))
  const id = run.verdict === 'passed' ? [] : [run.run]
  return [...(words.length > 0 ? words : ['no test was run']), ...id].join(' · ')
}
