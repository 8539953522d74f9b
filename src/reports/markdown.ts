/**
 * A run as Markdown for GitHub's job summary (and anything else that renders GitHub's dialect).
 * It never grows above the given size: failures are added while they fit, and what didn't fit is
 * counted. Text from tests is fenced or escaped; it can't break out of its place.
 */
import { stripVTControlCharacters } from 'node:util'
import type { Failure, RunView } from '../protocol/run-view.ts'
import { formatDuration } from '../stdx/duration.ts'
import { escapedName } from '../stdx/plain-text.ts'
import type { Digest } from './digest.ts'
import { errorMessage, errorTrace } from './error-text.ts'

const traceCharsMax = 4000
const encoder = new TextEncoder()

export function markdownSummary(
  run: RunView,
  digest: Pick<Digest, 'failures' | 'flaky' | 'slowest' | 'unfinished' | 'notRun'>,
  bytesMax: number,
): string {
  const text = new Limited(bytesMax - 400)
  text.add(head(run))
  for (const message of run.errors) text.add(`**Error outside any file:** ${inline(message)}\n\n`)
  section(text, 'Failures', digest.failures, (failure) => failureText(failure))
  section(
    text,
    'Not finished',
    digest.unfinished,
    (file) =>
      `- ${code(escapedName(file.file))}: ${inline(file.state)}${file.why === undefined ? '' : ` (${inline(file.why)})`}\n`,
  )
  section(text, 'Not run', digest.notRun, (file) => `- ${code(escapedName(file.file))}: ${inline(file.why)}\n`)
  section(
    text,
    'Flaky',
    digest.flaky,
    (test) => `- ${label(test)}: passed after ${test.failedTries} failed ${test.failedTries === 1 ? 'try' : 'tries'}\n`,
  )
  section(
    text,
    'Slowest files',
    digest.slowest,
    (file) => `- ${code(escapedName(file.file))}: ${formatDuration(file.durationMs)}\n`,
  )
  return text.toString()
}

function head(run: RunView): string {
  const { tests, tasks } = run
  const mark = run.verdict === 'passed' ? '✅' : '❌'
  const time = run.wallMs === undefined ? '' : ` in ${formatDuration(run.wallMs)}`
  const lines = [
    `## ${mark} muster · ${inline(run.suite)} · ${inline(run.verdict ?? run.state)}${time}\n`,
    '| | passed | failed | flaky | skipped | total |',
    '|---|--:|--:|--:|--:|--:|',
    `| tests | ${tests.passed} | ${tests.failed} | ${tests.flaky} | ${tests.skipped} | ${tests.total} |`,
    `| files | ${tasks.passed} | ${tasks.failed} | ${tasks.flaky} | ${tasks.skipped} | ${run.planned} |\n`,
    run.planned === run.accounted
      ? `planned ${run.planned} files = ${run.accounted} accounted`
      : `**PLANNED ${run.planned} FILES BUT ${run.accounted} ACCOUNTED FOR: this result is not complete.**`,
  ]
  const troubles = [
    [tasks.lost, 'lost'],
    [tasks.timedOut, 'timed out'],
    [tasks.cancelled, 'cancelled'],
  ].filter(([count]) => count !== 0)
  if (troubles.length > 0) lines.push(`· **${troubles.map(([count, what]) => `${count} ${what}`).join(', ')}**`)
  lines.push(`· run ${code(run.run)} · ${inline(run.framework)} ${inline(run.frameworkVersion)}\n\n`)
  return lines.join('\n')
}

function section<T>(text: Limited, title: string, items: readonly T[], render: (item: T) => string): void {
  if (items.length === 0) return
  if (!text.add(`### ${title}\n\n`)) return
  for (const [index, item] of items.entries()) {
    if (text.add(render(item))) continue
    text.force(`\n… and ${items.length - index} more that don't fit here\n`)
    break
  }
  text.add('\n')
}

function failureText(failure: Failure): string {
  const place = failure.line === undefined ? '' : ` (line ${failure.line})`
  const first = errorMessage(failure.errors).split('\n')[0] ?? ''
  const trace = errorTrace(failure.errors)
  const cut = trace.length > traceCharsMax ? `${trace.slice(0, traceCharsMax)}\n…` : trace
  return `<details><summary>${html(labelText(failure))}${place}: ${html(first)}</summary>\n\n${fenced(cut)}\n</details>\n`
}

function label(test: { file: string; name: readonly string[]; project?: string }): string {
  return code(labelText(test))
}

function labelText(test: { file: string; name: readonly string[]; project?: string }): string {
  return escapedName([test.file, ...(test.project ? [`[${test.project}]`] : []), ...test.name].join(' › '))
}

/** A fence longer than any run of backticks within. */
function fenced(text: string): string {
  const longest = Math.max(2, ...Array.from(text.matchAll(/`+/g), (run) => run[0].length))
  const fence = '`'.repeat(longest + 1)
  return `${fence}text\n${text}\n${fence}\n`
}

function html(text: string): string {
  return oneLine(text).replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
}

function inline(text: string): string {
  return html(text).replace(/[\\`*_[\]|~]/g, '\\$&')
}

function code(text: string): string {
  return `<code>${html(text).replaceAll('|', '&#124;')}</code>`
}

function oneLine(text: string): string {
  return stripVTControlCharacters(text).replace(/\s*[\r\n]+\s*/g, ' ')
}

/** Text up to a number of UTF-8 bytes. A piece goes in whole or not at all. */
class Limited {
  readonly #pieces: string[] = []
  #bytesLeft: number

  constructor(bytesMax: number) {
    this.#bytesLeft = bytesMax
  }

  add(piece: string): boolean {
    const bytes = encoder.encode(piece).length
    if (bytes > this.#bytesLeft) return false
    this.#bytesLeft -= bytes
    this.#pieces.push(piece)
    return true
  }

  /** For the short word about what didn't fit; the caller keeps room for it. */
  force(piece: string): void {
    this.#pieces.push(piece)
  }

  toString(): string {
    return this.#pieces.join('')
  }
}
