/**
 * The reporter for GitHub Actions: the plain one, with passing files folded into groups, at most ten
 * annotations (GitHub shows no more per step and kind), and the whole story in the job summary.
 *
 * What tests print can look like a workflow command; while a failure is printed, commands are
 * switched off by a token that no test knows.
 */
import { randomUUID } from 'node:crypto'
import { appendFile, stat } from 'node:fs/promises'
import { posix, relative, sep } from 'node:path'
import type { FeedMessage, Failure } from '../../protocol/run-view.ts'
import { markdownSummary } from '../../reports/markdown.ts'
import type { Clock } from './clock.ts'
import { clean } from './failure-text.ts'
import { PlainReporter } from './plain.ts'
import { readableSummary } from './readable.ts'
import type { RunSummary } from './reporter.ts'
import type { Terminal } from './terminal.ts'
import { counted, formatCount } from './text-fit.ts'
import { testLabel } from './wording.ts'

const annotationsMax = 10
const groupFilesMax = 100
/** GitHub refuses a step's summary above 1 MiB, whole. */
const summaryBytesMax = 1024 * 1024 - 1024

type Environment = Readonly<Record<string, string | undefined>>

export class GithubReporter extends PlainReporter {
  readonly #terminal: Terminal
  readonly #env: Environment
  /** Folder of the suite within the repository, for paths that GitHub can link; '' = its root. */
  readonly #folder: string
  #held: string[] = []

  constructor(terminal: Terminal, clock: Clock, env: Environment, cwd: string) {
    super(terminal, clock)
    this.#terminal = terminal
    this.#env = env
    const folder = env['GITHUB_WORKSPACE'] === undefined ? '' : relative(env['GITHUB_WORKSPACE'], cwd)
    this.#folder = folder.startsWith('..') ? '' : folder.split(sep).join('/')
  }

  override async finish(summary: RunSummary): Promise<void> {
    this.#flush()
    super.finish(summary)
    for (const failure of summary.failures.slice(0, annotationsMax))
      this.#terminal.write(`${this.#annotation(failure)}\n`)
    if (summary.failures.length > annotationsMax) {
      this.#terminal.write(
        `${formatCount(summary.failures.length - annotationsMax)} more failures are in the job summary\n`,
      )
    }
    await this.#jobSummary(summary)
  }

  protected override taskLine(text: string, task: Extract<FeedMessage, { type: 'task-ended' }>): void {
    const quiet = task.state === 'passed' || task.state === 'skipped'
    if (!quiet) return this.print(text)
    this.#held.push(text)
    if (this.#held.length >= groupFilesMax) this.#flush()
  }

  /** A group can't have anything between its lines that should be seen: what is held goes out first. */
  protected override print(text: string): void {
    this.#flush()
    if (!/(^|\n)\s*::|##\[/.test(text)) return super.print(text)
    const token = randomUUID()
    super.print(`::stop-commands::${token}\n${text}\n::${token}::`)
  }

  #flush(): void {
    if (this.#held.length === 0) return
    const lines = this.#held
    this.#held = []
    const run = this.progress.run
    const place = run === undefined ? '' : ` (${formatCount(run.accounted)}/${formatCount(run.planned)})`
    // File names are the repository's own, but `::` in one would still be a command.
    const safe = lines.map((line) => line.replaceAll('\n', ' '))
    super.print(`::group::${counted(lines.length, 'file')} passed or skipped${place}\n${safe.join('\n')}\n::endgroup::`)
  }

  #annotation(failure: Failure): string {
    const error = failure.errors[0]
    const properties = [`file=${property(posix.join(this.#folder, failure.file))}`]
    if (failure.line !== undefined) properties.push(`line=${failure.line}`)
    properties.push(`title=${property(testLabel(failure))}`)
    return `::error ${properties.join(',')}::${data(error === undefined ? 'failed' : clean(error.message).trim() || 'failed')}`
  }

  async #jobSummary(summary: RunSummary): Promise<void> {
    const path = this.#env['GITHUB_STEP_SUMMARY']
    if (!path) return
    const taken = await stat(path).then(
      (found) => found.size,
      () => 0, // GitHub makes the file, but another runner may leave that to us
    )
    const text = markdownSummary(summary.run, readableSummary(summary), Math.max(0, summaryBytesMax - taken))
    await appendFile(path, text)
  }
}

function data(text: string): string {
  return text.replaceAll('%', '%25').replaceAll('\r', '%0D').replaceAll('\n', '%0A')
}

function property(text: string): string {
  return data(text).replaceAll(':', '%3A').replaceAll(',', '%2C')
}
