/**
 * Reads JUnit XML, in the dialects that tools really write: one root `testsuites` or `testsuite`, nested
 * suites, Surefire's `flakyFailure`/`rerunFailure`, gtest's `status="notrun"`, phpunit's files on suites,
 * times with thousands separators, errors directly under a suite.
 *
 * It says what each test did and what might name its file; which task that is, `junit-files.ts` decides.
 */
import { SaxesParser } from 'saxes'
import type { TestError, TestResult, TestStatus, TestTry } from '../../protocol/results.ts'

export type JUnitCase = {
  readonly name: string
  /** `classname` or `class` as it stands. */
  readonly className: string | undefined
  /** What may name the file, most telling first: `file` attributes, then names of the suites around it from the inside out. */
  readonly files: readonly string[]
  readonly suites: readonly string[]
  readonly result: Pick<TestResult, 'status' | 'durationMs' | 'errors' | 'output' | 'tries' | 'reason' | 'line'>
}

export type JUnitReport = {
  readonly cases: readonly JUnitCase[]
  /** Errors that stand beside the tests of a suite, e.g. of its set-up. */
  readonly errors: readonly {
    readonly error: TestError
    readonly files: readonly string[]
    readonly suites: readonly string[]
  }[]
  /** Suites without a test: what they are named after was run and has none. */
  readonly empty: readonly { readonly files: readonly string[]; readonly suites: readonly string[] }[]
}

/** Throws an Error with line and column when the text isn't well-formed XML. */
export function readJUnit(text: string): JUnitReport {
  const root = parse(text.replace(/^\uFEFF/, '').replace(controlCharacters, ''))
  const cases: JUnitCase[] = []
  const errors: JUnitReport['errors'][number][] = []
  const empty: JUnitReport['empty'][number][] = []
  const visit = (nodes: readonly Element[], around: Around): void => {
    for (const node of nodes) {
      if (node.tag === 'testcase') cases.push(readCase(node, around))
      else if (node.tag === 'testsuite' || node.tag === 'testsuites') {
        const inside = within(node, around)
        if (!node.children.some((child) => child.tag.startsWith('test'))) empty.push(inside)
        visit(node.children, inside)
      }
      if ((node.tag === 'error' || node.tag === 'failure') && around.depth > 0) {
        errors.push({ error: readError(node), files: around.files, suites: around.suites })
      }
    }
  }
  visit(root, { depth: 0, files: [], suites: [] })
  return { cases, errors, empty }
}

/** Not allowed in XML, yet written by tools that pass terminal output through. */
// oxlint-disable-next-line no-control-regex
const controlCharacters = /[\0-\x08\x0B\x0C\x0E-\x1F]/g

type Element = {
  readonly tag: string
  readonly attributes: Readonly<Record<string, string>>
  readonly children: Element[]
  text: string
}

/** The tree of the document. Entities that a document defines itself are refused: no report needs them. */
function parse(text: string): readonly Element[] {
  const top: Element = { tag: '', attributes: {}, children: [], text: '' }
  const open = [top]
  const parser = new SaxesParser()
  parser.on('opentag', ({ name, attributes }) => {
    const element: Element = { tag: name, attributes, children: [], text: '' }
    open.at(-1)!.children.push(element)
    open.push(element)
  })
  parser.on('closetag', () => {
    open.pop()
  })
  const addText = (part: string): void => {
    open.at(-1)!.text += part
  }
  parser.on('text', addText)
  parser.on('cdata', addText)
  parser.on('error', (error) => {
    throw error
  })
  parser.write(text).close()
  return top.children
}

type Around = { readonly depth: number; readonly files: readonly string[]; readonly suites: readonly string[] }

function within(node: Element, around: Around): Around {
  const { name } = node.attributes
  const files = fileNames(node)
  return {
    depth: around.depth + 1,
    files: [...files, ...around.files],
    suites: name === undefined || name === '' ? around.suites : [name, ...around.suites],
  }
}

function fileNames(node: Element): readonly string[] {
  return ['file', 'filepath', 'filename']
    .map((key) => node.attributes[key])
    .filter((one) => one !== undefined && one !== '') as string[]
}

function readCase(node: Element, around: Around): JUnitCase {
  const { name, classname, line } = node.attributes
  const className = classname ?? node.attributes['class']
  const lineNumber = Number(line)
  return {
    name: name === undefined || name === '' ? (className ?? '(no name)') : name,
    className: className === '' ? undefined : className,
    files: [...fileNames(node), ...around.files],
    suites: around.suites,
    result: { ...readResult(node), ...(lineNumber > 0 ? { line: lineNumber } : {}) },
  }
}

function readResult(node: Element): JUnitCase['result'] {
  const those = (...tags: readonly string[]): readonly Element[] =>
    node.children.filter((child) => tags.includes(child.tag))
  const durationMs = readTime(node.attributes['time'])
  const output = those('system-out', 'system-err')
    .map((one) => one.text)
    .filter(Boolean)
    .join('\n')
  const common = { durationMs, ...(output === '' ? {} : { output: cut(output) }) }
  const failures = those('failure', 'error')
  if (failures.length > 0) {
    // Surefire: the first try's failure, then one element for each further try; the last one is final.
    const reruns = those('rerunFailure', 'rerunError')
    const last = reruns.at(-1)
    if (last === undefined) return { ...common, status: 'failed', errors: failures.map(readError) }
    const first: TestTry = { status: 'failed', durationMs: 0, errors: failures.map(readError) }
    return {
      ...common,
      status: 'failed',
      errors: [readError(last)],
      tries: [first, ...reruns.slice(0, -1).map(readTry)],
    }
  }
  const [skipped] = those('skipped', 'disabled')
  const { status, result } = node.attributes
  if (skipped !== undefined || status === 'notrun' || result === 'skipped' || result === 'suppressed') {
    const reason = (skipped?.attributes['message'] ?? skipped?.text ?? '').trim()
    return { ...common, status: 'skipped' satisfies TestStatus, ...(reason === '' ? {} : { reason }) }
  }
  const tries = those('flakyFailure', 'flakyError').map(readTry)
  return { ...common, status: 'passed', ...(tries.length === 0 ? {} : { tries }) }
}

function readTry(node: Element): TestTry {
  const output = node.children
    .filter((child) => child.tag.startsWith('system-'))
    .map((child) => child.text)
    .join('\n')
  return {
    status: 'failed',
    durationMs: readTime(node.attributes['time']),
    errors: [readError(node)],
    ...(output === '' ? {} : { output: cut(output) }),
  }
}

function readError(node: Element): TestError {
  const { message = '', type } = node.attributes
  const inner = node.children.find((child) => child.tag === 'stackTrace')?.text ?? node.text
  const stack = inner.trim()
  const words = message.trim() === '' ? (stack.split('\n')[0] ?? '') : message.trim()
  return {
    message: cut(words === '' ? (type ?? 'failed') : words),
    ...(type === undefined || type === '' ? {} : { type }),
    ...(stack === '' ? {} : { stack: cut(stack) }),
  }
}

/** Seconds, as `1.5` or `1,234.5`. */
function readTime(text: string | undefined): number {
  const seconds = Number((text ?? '').replaceAll(',', ''))
  return Number.isFinite(seconds) && seconds > 0 ? Math.round(seconds * 1e6) / 1000 : 0
}

const charactersMax = 64 * 1024

function cut(text: string): string {
  if (text.length <= charactersMax) return text
  const half = charactersMax / 2
  return `${text.slice(0, half)}\n… ${text.length - charactersMax} characters left out …\n${text.slice(-half)}`
}
