/**
 * What several suites that run at once write. To the screen: whole lines with the suite's name before each, so that lines
 * of one never cut through those of another; there is no live region, because two would fight for one place. Into files:
 * each suite its own, named after it. To stdout: each suite's document whole, when the suite is over.
 */
import { styleText } from 'node:util'
import { MusterError } from '../../protocol/errors.ts'
import type { Reporter } from './reporter.ts'
import { parseReporters, type ReporterSurroundings } from './select.ts'
import { isSet, wantsColour, type OutputStream } from './terminal.ts'
import { width } from './text-fit.ts'

const colours = ['cyan', 'magenta', 'blue', 'green', 'yellow'] as const
const placeholder = '{suite}'

export type SuiteReporters = {
  readonly reporters: readonly Reporter[]
  /** Files that will be written. */
  readonly files: readonly string[]
  /** Hands over what is held back; once, when the suite is over. */
  flush(): void
}

/** `names`: of all suites, in order; the result is in the same. Throws MusterError `usage`. */
export function suiteReporters(
  asked: readonly string[],
  surroundings: ReporterSurroundings,
  names: readonly string[],
): readonly SuiteReporters[] {
  const columns = Math.max(...names.map(width))
  const taken = new Map<string, string>()
  return names.map((name, at) => {
    const files: string[] = []
    const file = (path: string): string => {
      if (path === '-') return path
      const own = fileOf(path, name)
      const other = taken.get(own)
      if (other !== undefined && other !== name)
        throw new MusterError('usage', `The suites '${other}' and '${name}' would both write to '${own}'`, {
          hint: 'Give one of them another name in the configuration.',
        })
      taken.set(own, name)
      files.push(own)
      return own
    }
    const mark = `${name}${' '.repeat(columns - width(name))} │ `
    const screen = new PrefixedStream(surroundings.stderr, mark, colours[at % colours.length]!, surroundings.env)
    const documents = new HeldStream(surroundings.stdout)
    const { json, junit, ctrf } = surroundings
    if (junit === '-') throw oneDocument('--junit')
    const reporters = parseReporters(
      screensOf(asked, surroundings).map((one) => ofSuite(one, file)),
      {
        ...surroundings,
        stdout: documents,
        stderr: screen,
        json: json === undefined ? undefined : file(json),
        junit: junit === undefined ? undefined : file(junit),
        ctrf: ctrf === undefined ? undefined : file(ctrf),
      },
    )
    return {
      reporters,
      files,
      flush() {
        screen.flush()
        documents.flush()
      },
    }
  })
}

/** What is drawn again and again becomes lines. */
function screensOf(asked: readonly string[], { env }: ReporterSurroundings): readonly string[] {
  const plain = isSet(env['GITHUB_ACTIONS']) ? 'github' : 'plain'
  return asked.length === 0 ? [plain] : asked.map((one) => (one === 'default' ? plain : one))
}

function ofSuite(asked: string, file: (path: string) => string): string {
  const equals = asked.indexOf('=')
  if (asked === 'junit' || asked === 'junit=-') throw oneDocument('--reporter junit')
  // Without anything behind it, whoever parses it says what is missing.
  if (equals < 0 || equals === asked.length - 1) return asked
  return `${asked.slice(0, equals + 1)}${file(asked.slice(equals + 1))}`
}

function oneDocument(what: string): MusterError {
  return new MusterError('usage', `${what}: several suites make several XML documents, which stdout can't hold`, {
    hint: `Give a file, as in '--junit reports/${placeholder}.xml'.`,
  })
}

/** `{suite}` is replaced by the suite's name; without it the name goes before the extension. */
export function fileOf(path: string, suite: string): string {
  const safe = suite.replace(/[^\p{L}\p{N}._-]+/gu, '-')
  if (path.includes(placeholder)) return path.replaceAll(placeholder, safe)
  const [, stem = path, extension = ''] = /^(.*[^/])(\.[^./]+)$/s.exec(path) ?? []
  return `${stem}.${safe}${extension}`
}

/** Hands on whole lines, each behind the mark. Commands to GitHub stay at the beginning of theirs. */
class PrefixedStream implements OutputStream {
  readonly #stream: OutputStream
  readonly #mark: string
  readonly #columns: number
  #rest = ''

  constructor(stream: OutputStream, mark: string, colour: (typeof colours)[number], env: ReporterSurroundings['env']) {
    this.#stream = stream
    this.#columns = width(mark)
    this.#mark = wantsColour(stream, env) ? styleText(colour, mark, { validateStream: false }) : mark
  }

  get isTTY(): boolean {
    return this.#stream.isTTY === true
  }

  get columns(): number {
    const { columns } = this.#stream
    return columns === undefined || columns === 0 ? 0 : Math.max(20, columns - this.#columns)
  }

  write(text: string): void {
    const end = text.lastIndexOf('\n')
    if (end < 0) {
      this.#rest += text
      return
    }
    const lines = `${this.#rest}${text.slice(0, end)}`.split('\n')
    this.#rest = text.slice(end + 1)
    // An empty line keeps the bar, and no blanks behind it.
    const marked = (line: string) => (line.startsWith('::') ? line : `${this.#mark}${line}`.trimEnd())
    this.#stream.write(lines.map((line) => `${marked(line)}\n`).join(''))
  }

  flush(): void {
    if (this.#rest !== '') this.write('\n')
  }
}

class HeldStream implements OutputStream {
  readonly #stream: OutputStream
  #held: string[] = []

  constructor(stream: OutputStream) {
    this.#stream = stream
  }

  write(text: string, written?: (error?: Error | null) => void): void {
    this.#held.push(text)
    written?.()
  }

  flush(): void {
    if (this.#held.length > 0) this.#stream.write(this.#held.join(''))
    this.#held = []
  }
}
