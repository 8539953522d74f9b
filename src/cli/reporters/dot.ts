/**
 * One character per test, for who wants to see that it goes on and nothing more: `.` passed, `F`
 * failed, `f` flaky, `s` skipped; per file that ended without reporting its tests, `!`. Failures
 * come at the end, then the final block. Append-only, so it fits logs too.
 */
import type { FeedMessage } from '../../protocol/run-view.ts'
import type { Clock } from './clock.ts'
import { FailureFeed } from './failure-feed.ts'
import { finalBlock } from './final-block.ts'
import { Progress } from './progress.ts'
import { readableMessage, readableSummary } from './readable.ts'
import type { Reporter, RunInfo, RunSummary } from './reporter.ts'
import type { Style, Terminal } from './terminal.ts'
import { headerText } from './wording.ts'

export class DotReporter implements Reporter {
  readonly #terminal: Terminal
  readonly #progress: Progress
  #column = 0

  constructor(terminal: Terminal, clock: Clock) {
    this.#terminal = terminal
    this.#progress = new Progress(clock)
  }

  start(info: RunInfo): void {
    this.#progress.info = info
    this.#terminal.write(`${headerText(info, this.#terminal.isTTY ? this.#terminal.columns() : Infinity)}\n`)
  }

  message(exact: FeedMessage): void {
    const message = readableMessage(exact)
    this.#progress.apply(message)
    if (message.type === 'test') {
      if (message.status === 'failed') this.#dot('red', 'F')
      else if (message.status !== 'passed') this.#dot('dim', 's')
      else if (message.flaky) this.#dot('yellow', 'f')
      else this.#dot('green', '.')
    } else if (message.type === 'task-ended') {
      const { passed, failed, flaky, skipped } = this.#progress.testsOf(message.task)
      const quiet = passed + failed + flaky + skipped === 0
      if (message.final && quiet && message.state !== 'cancelled') this.#fileDot(message.state)
      this.#progress.forget(message.task)
    }
  }

  finish(exact: RunSummary): void {
    const summary = readableSummary(exact)
    if (this.#column > 0) this.#terminal.write('\n')
    this.#terminal.write('\n')
    new FailureFeed(this.#progress, this.#terminal, (text) => this.#terminal.write(`${text}\n\n`)).rest(summary)
    this.#terminal.write(`${finalBlock(summary, this.#terminal.columns(), this.#terminal.paint).join('\n')}\n`)
  }

  #fileDot(state: string): void {
    if (state === 'passed') this.#dot('green', '.')
    else if (state === 'flaky') this.#dot('yellow', 'f')
    else if (state === 'skipped') this.#dot('dim', 's')
    else this.#dot('red', '!')
  }

  #dot(style: Style, mark: string): void {
    const columns = Math.min(80, this.#terminal.columns())
    this.#column += 1
    const end = this.#column >= columns
    if (end) this.#column = 0
    this.#terminal.write(`${this.#terminal.paint(style, mark)}${end ? '\n' : ''}`)
  }
}
