/**
 * The last words of a run, the same in every reporter for people: counts and time, the ledger, and
 * whatever was not as it should be, each with what to do about it. What is zero is not mentioned.
 */
import type { RunSummary } from './reporter.ts'
import type { Paint, Style } from './terminal.ts'
import { counted, fitMiddle, formatCount, formatPercent, spread } from './text-fit.ts'
import { formatDuration } from '../../stdx/duration.ts'
import { taskNoun, testLabel } from './wording.ts'

const columnsMax = 100
const namesMax = 10

/** Lines without line ends. */
export function finalBlock(summary: RunSummary, columns: number, paint: Paint): string[] {
  const room = Math.min(columns, columnsMax)
  return [
    ...totalLines(summary, room, paint),
    ...ledgerLines(summary, paint),
    ...troubleLines(summary, columns, paint),
    ...detailLines(summary, columns, paint),
  ]
}

function totalLines({ run }: RunSummary, room: number, paint: Paint): string[] {
  const parts: [Style, string][] = []
  const add = (style: Style, count: number, word: string): void => {
    if (count > 0) parts.push([style, `${formatCount(count)} ${word}`])
  }
  const noun = taskNoun(run.framework)
  // A suite of plain commands has files, but no tests in them.
  const counts = run.tests.total > 0 ? run.tests : run.tasks
  const unit = run.tests.total > 0 ? '' : `${noun}s `
  add('green', counts.passed, `${unit}passed`)
  add('red', counts.failed, `${unit}failed`)
  add('yellow', counts.flaky, `${unit}flaky`)
  add('dim', counts.skipped, `${unit}skipped`)
  if (parts.length === 0) parts.push(['yellow', run.planned === 0 ? 'no tests found' : 'no test was run'])
  const left = `  ${parts.map(([, text]) => text).join(' · ')}`
  const painted = `  ${parts.map(([style, text]) => paint(style, text)).join(' · ')}`
  const right = timeText(run)
  return spread(left, right, room) === undefined
    ? [painted, `  ${paint('dim', right)}`]
    : [spread(painted, paint('dim', right), room) ?? painted]
}

function timeText(run: RunSummary['run']): string {
  if (run.wallMs === undefined) return ''
  const optimum = run.optimumRatio === undefined ? '' : ` · ${formatPercent(run.optimumRatio)} of optimum`
  return `${formatDuration(run.wallMs)}${optimum}`
}

function ledgerLines({ run }: RunSummary, paint: Paint): string[] {
  const noun = taskNoun(run.framework)
  if (run.planned === run.accounted) {
    return [`  ${paint('dim', `planned ${counted(run.planned, noun)} = ${formatCount(run.accounted)} accounted`)}`]
  }
  const missing = run.planned - run.accounted
  const text =
    missing > 0
      ? `PLANNED ${counted(run.planned, noun)} BUT ONLY ${formatCount(run.accounted)} ACCOUNTED FOR: ${formatCount(missing)} MISSING`
      : `PLANNED ${counted(run.planned, noun)} BUT ${formatCount(run.accounted)} ACCOUNTED FOR`
  return [
    `  ${paint(['bold', 'red'], text)}`,
    `  This result is not complete: don't rely on it. 'muster show ${run.run}' says what each ${noun} did.`,
  ]
}

function troubleLines(summary: RunSummary, columns: number, paint: Paint): string[] {
  const { run, failures, unfinished } = summary
  const noun = taskNoun(run.framework)
  const lines: string[] = []
  if (summary.place !== undefined) lines.push(`  ${paint('yellow', summary.place)}`)
  for (const message of run.errors) lines.push(`  ${paint('red', 'error outside any file:')} ${message.split('\n')[0]}`)
  const broken = failures.filter(
    (one) => one.name.length === 0 && one.errors[0]?.type !== 'lost' && one.errors[0]?.type !== 'timed-out',
  )
  if (broken.length > 0) {
    const names = broken.map((one) => one.file)
    lines.push(...named('red', `${counted(broken.length, noun)} failed outside of tests`, names, columns, paint))
  }
  const groups: [count: number, state: string, style: Style, what: string, advice: string][] = [
    [run.tasks.lost, 'lost', 'red', 'lost', `run 'muster rerun ${run.run} --lost'`],
    [run.tasks.timedOut, 'timed-out', 'red', 'timed out', 'allow more with --timeout, or look for what it waits for'],
    [run.tasks.cancelled, 'cancelled', 'yellow', 'cancelled', `run 'muster rerun ${run.run}'`],
  ]
  for (const [count, state, style, what, advice] of groups) {
    if (count === 0) continue
    const files = unfinished.filter((one) => one.state === state)
    const reasons = [...new Set(files.flatMap((one) => (one.why === undefined ? [] : [one.why])))]
    const why = reasons.length === 1 ? ` (${reasons[0]})` : ''
    lines.push(
      ...named(
        style,
        `${counted(count, noun)} ${what}${why}: ${advice}`,
        files.map((one) => one.file),
        columns,
        paint,
      ),
    )
  }
  for (const [why, files] of Map.groupBy(summary.notRun, (one) => one.why)) {
    const names = files.map((one) => one.file)
    lines.push(...named('yellow', `${counted(files.length, noun)} not run: ${why}`, names, columns, paint))
  }
  if (run.rerun > 0) {
    lines.push(`  ${paint('yellow', `${counted(run.rerun, noun)} run again because a worker or process was lost`)}`)
  }
  if (run.deadLetters !== undefined) {
    const words = `${counted(run.deadLetters, noun)} got no verdict: see 'muster dead-letters list --run ${run.run}'`
    lines.push(`  ${paint('yellow', words)}`)
  }
  const known = run.verdict === 'passed' || run.verdict === 'failed' || run.verdict === undefined
  const told = run.tasks.lost + run.tasks.timedOut > 0 && run.verdict !== 'cancelled'
  if (run.reason !== undefined && !known && !told) lines.push(`  ${paint('yellow', `${run.verdict}: ${run.reason}`)}`)
  return lines
}

function named(style: Style, title: string, names: readonly string[], columns: number, paint: Paint): string[] {
  const lines = [`  ${paint(style, title)}`]
  for (const name of names.slice(0, namesMax)) lines.push(`    ${fitMiddle(name, columns - 4)}`)
  if (names.length > namesMax) lines.push(paint('dim', `    … and ${formatCount(names.length - namesMax)} more`))
  return lines
}

function detailLines(summary: RunSummary, columns: number, paint: Paint): string[] {
  const { run, flaky, slowest } = summary
  const lines: string[] = []
  const row = (title: string, text: string): void => {
    lines.push(`  ${paint('dim', title.padEnd(9))} ${text}`)
  }
  for (const [at, test] of flaky.slice(0, namesMax).entries()) {
    const words = `  passed after ${test.failedTries} failed ${test.failedTries === 1 ? 'try' : 'tries'}`
    const tries = columns < 70 ? '' : words
    row(
      at === 0 ? 'flaky' : '',
      `${paint('yellow', fitMiddle(testLabel(test), columns - 13 - tries.length))}${paint('dim', tries)}`,
    )
  }
  if (flaky.length > namesMax) row('', paint('dim', `… and ${formatCount(flaky.length - namesMax)} more`))
  if (run.planned > 3) {
    for (const [at, file] of slowest.entries()) {
      const time = formatDuration(file.durationMs)
      row(at === 0 ? 'slowest' : '', `${fitMiddle(file.file, columns - 14 - time.length)}  ${paint('dim', time)}`)
    }
  }
  if (run.workers.length > 1) {
    const shares = run.workers.map((worker) => `${worker.name} ${formatCount(worker.tasks)}`)
    row('workers', fitMiddle(shares.join(' · '), columns - 13))
  }
  row('run', `${run.run}  ${paint('dim', `muster show ${run.run}`)}`)
  return lines
}
