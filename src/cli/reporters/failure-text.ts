/**
 * A failure as people read it: one headline (which test, and the assertion's first line at the right
 * where there is room), then what was expected and received, then the few stack lines that are the
 * project's own. Everything that a test wrote is stripped of control codes first.
 */
import { diff, stripVTControlCharacters } from 'node:util'
import type { TestError } from '../../protocol/results.ts'
import { plainText } from '../../stdx/plain-text.ts'
import type { Paint } from './terminal.ts'
import { fitEnd, spread, width } from './text-fit.ts'
import { testLabel } from './wording.ts'

export type ShownFailure = {
  readonly file: string
  readonly name: readonly string[]
  readonly project?: string | undefined
  readonly errors?: readonly TestError[] | undefined
  /** Shown when a run has several workers. */
  readonly worker?: string | undefined
}

const headlineColumnsMax = 120
const messageLinesMax = 30
const diffLinesMax = 30
const stackLinesMax = 6
const errorsMax = 3

/** Ends without a line end. */
export function failureText(failure: ShownFailure, columns: number, paint: Paint): string {
  const errors = failure.errors ?? []
  const first = errors[0] === undefined ? [] : messageLines(errors[0])
  const where = failure.worker === undefined ? '' : `  (${plainText(failure.worker)})`
  const label = clean(testLabel(failure)) + where
  const room = Math.min(columns, headlineColumnsMax)
  const right = first.length === 1 ? first[0]! : ''
  const line = right === '' ? undefined : spread(`✗ ${label}`, right, room)
  const lines: string[] = []
  if (line === undefined) lines.push(`${paint('red', '✗')} ${paint('bold', label)}`)
  else
    lines.push(
      `${paint('red', '✗')} ${paint('bold', label)}${' '.repeat(room - 2 - width(label) - width(right))}${paint('red', right)}`,
    )
  for (const [index, error] of errors.slice(0, errorsMax).entries()) {
    lines.push(...errorLines(error, paint, index === 0 && line !== undefined))
  }
  if (errors.length > errorsMax) lines.push(paint('dim', `    … and ${errors.length - errorsMax} more errors`))
  return lines.join('\n')
}

function errorLines(error: TestError, paint: Paint, messageShown: boolean): string[] {
  const lines: string[] = []
  if (!messageShown) {
    const message = messageLines(error)
    lines.push(...message.slice(0, messageLinesMax).map((line) => (line === '' ? '' : `    ${paint('red', line)}`)))
    if (message.length > messageLinesMax)
      lines.push(paint('dim', `    … ${message.length - messageLinesMax} more lines`))
  }
  lines.push(...comparisonLines(error, paint), ...stackLines(error).map((line) => paint('dim', `    ${line}`)))
  return lines
}

function messageLines(error: TestError): string[] {
  const text = clean(error.message).trim()
  return text === '' ? [error.type ?? 'failed'] : text.split('\n').map((line) => line.trimEnd())
}

/** Nothing when the message already holds both values or a diff of its own, as those of jest, pytest and node:assert do. */
function comparisonLines(error: TestError, paint: Paint): string[] {
  if (error.expected === undefined || error.actual === undefined) return []
  const expected = clean(error.expected)
  const actual = clean(error.actual)
  if (expected === actual) return []
  const message = clean(error.message)
  if ((message.includes(expected) && message.includes(actual)) || message.trim().includes('\n')) return []
  if (!expected.includes('\n') && !actual.includes('\n')) {
    return [
      `    ${paint('dim', 'expected')}  ${paint('green', fitEnd(expected, 200))}`,
      `    ${paint('dim', 'received')}  ${paint('red', fitEnd(actual, 200))}`,
    ]
  }
  return diffLines(expected, actual, paint)
}

/** Changed lines with two lines of context; `-` was expected, `+` was received. */
function diffLines(expected: string, actual: string, paint: Paint): string[] {
  const before = expected.split('\n').slice(0, 400)
  const after = actual.split('\n').slice(0, 400)
  // -1: only expected; 1: only received; 0: in both.
  const changes = diff(after, before) as [number, string][]
  const near = changes.map((_, at) => changes.slice(Math.max(0, at - 2), at + 3).some(([operation]) => operation !== 0))
  const lines = [`    ${paint('green', '- expected')}  ${paint('red', '+ received')}`]
  let gap = false
  for (const [at, [operation, text]] of changes.entries()) {
    if (!near[at]) {
      if (!gap) lines.push(paint('dim', '      …'))
      gap = true
      continue
    }
    gap = false
    if (operation === 0) lines.push(paint('dim', `      ${text}`))
    else lines.push(operation > 0 ? paint('red', `    + ${text}`) : paint('green', `    - ${text}`))
    if (lines.length > diffLinesMax) {
      lines.push(paint('dim', '      …'))
      break
    }
  }
  return lines
}

const frame = /^\s*(at\s|❯\s)/
const foreign = /node_modules|[( ]node:|\(<anonymous>\)$/

/** JavaScript: frames of the project's own code. Others (Python, Go): the end of what they said. */
function stackLines(error: TestError): string[] {
  if (error.stack === undefined) return []
  const lines = clean(error.stack)
    .split('\n')
    .map((line) => line.trimEnd())
    .filter((line) => line.trim() !== '')
  const frames = lines.filter((line) => frame.test(line))
  if (frames.length > 0) {
    const own = frames.filter((line) => !foreign.test(line))
    return (own.length > 0 ? own : frames).slice(0, stackLinesMax).map((line) => line.trim())
  }
  const message = new Set(messageLines(error).map((line) => line.trim()))
  return lines.filter((line) => !message.has(line.trim())).slice(-2 * stackLinesMax)
}

/** Without colours, cursor movements and other control characters: a test must not paint on our screen. */
export function clean(text: string): string {
  return stripVTControlCharacters(text)
    .replace(/\r\n?/g, '\n')
    .replace(/[^\P{Cc}\t\n]/gu, '')
}
