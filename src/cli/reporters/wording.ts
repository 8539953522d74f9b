/**
 * Sentences that several reporters for people share: the header, why a run waits, names of tests,
 * what the unit of planning is called.
 */
import type { RunView } from '../../protocol/run-view.ts'
import { escapedName } from '../../stdx/plain-text.ts'
import type { RunInfo } from './reporter.ts'
import { counted, formatPercent, formatSeconds, width } from './text-fit.ts'

/** What a task is to the user. */
export function taskNoun(framework: string): string {
  return framework === 'go' ? 'package' : 'file'
}

/** On one line where it fits, else broken between its parts. */
export function headerText(info: RunInfo, columns: number): string {
  const parts = ['muster', `${info.framework} ${info.frameworkVersion}`.trimEnd()]
  if (info.suite !== undefined && info.suite !== info.framework) parts.push(info.suite)
  parts.push(counted(info.planned, taskNoun(info.framework)), info.where)
  if (info.predictedMs !== undefined) {
    const known = info.knownRatio === undefined ? '' : ` (${formatPercent(info.knownRatio)} known)`
    parts.push(`predicted ${formatSeconds(info.predictedMs)} from history${known}`)
  }
  const lines: string[] = []
  for (const part of parts) {
    const line = lines.at(-1)
    if (line !== undefined && width(line) + width(part) + 3 <= columns) lines[lines.length - 1] = `${line} · ${part}`
    else lines.push(lines.length === 0 ? part : `  ${part}`)
  }
  return lines.join('\n')
}

/** Undefined once the run is under way. */
export function waitingLine(run: RunView | undefined, nowMs: number): string | undefined {
  if (!run) return undefined
  // Why it is paused, a notice has said.
  if (run.state === 'paused') return `paused; 'muster resume ${run.run}' goes on`
  if (run.state === 'finished' || run.state === 'cancelling') return undefined
  if (run.queuePosition !== undefined && run.queuePosition > 0) {
    const place = run.queuePosition === 1 ? 'next in the queue' : `number ${run.queuePosition} in the queue`
    return `waiting: ${place}${expectedStart(run, nowMs)}${because(run)}`
  }
  const begun = run.running > 0 || run.accounted > 0 || run.workers.length > 0
  if (begun) return undefined
  return run.reason === undefined ? undefined : `waiting: ${run.reason}`
}

/** Why nothing runs although there is work left, in the middle of a run. */
export function haltedBy(run: RunView): string | undefined {
  return run.running === 0 && run.queued > 0 && run.reason !== undefined ? `waiting: ${run.reason}` : undefined
}

function because(run: RunView): string {
  return run.reason === undefined ? '' : ` (${run.reason})`
}

function expectedStart(run: RunView, nowMs: number): string {
  if (run.expectedStartMs === undefined) return ''
  // An instant, or a time from now: no wait is as long as the years since 1970.
  const waitMs = run.expectedStartMs > 1e11 ? run.expectedStartMs - nowMs : run.expectedStartMs
  if (waitMs >= 1000) return `, expected to start in ${formatSeconds(waitMs)}`
  // By its estimate, what is in the way should be over.
  return run.reason === undefined ? ', expected to start now' : ', expected to start as soon as it can'
}

/** `src/a.test.ts › describe › title`, with the framework's project in front of the name; on one line, whatever is in the names. */
export function testLabel(test: {
  readonly file: string
  readonly name: readonly string[]
  readonly project?: string | undefined
}): string {
  const project = test.project === undefined || test.project === '' ? [] : [`[${test.project}]`]
  return escapedName([test.file, ...project, ...test.name].join(' › '))
}
