/**
 * The reporter for logs: CI, pipes, NO_COLOR. Append-only lines without cursor codes: header, a line
 * per finished file, failures with details where they happen, a line every 30 s of silence that says
 * what runs, final block.
 */
import type { FeedMessage } from '../../protocol/run-view.ts'
import type { Clock } from './clock.ts'
import { FailureFeed } from './failure-feed.ts'
import { finalBlock } from './final-block.ts'
import { Progress } from './progress.ts'
import { readableMessage, readableSummary } from './readable.ts'
import type { Reporter, RunInfo, RunSummary } from './reporter.ts'
import type { Style, Terminal } from './terminal.ts'
import { counted, formatCount, formatSeconds } from './text-fit.ts'
import { formatDuration } from '../../stdx/duration.ts'
import { haltedBy, headerText, taskNoun, waitingLine } from './wording.ts'

/** So many words of a reason tell one from another: `waits for lock …`. */
const reasonKindWords = 3
const heartbeatMs = 30_000
const heartbeatFilesMax = 5
/** Files that were lost or timed out are told of as failures. */
const stateMarks: Readonly<Record<string, readonly [style: Style, mark: string]>> = {
  passed: ['green', '✓'],
  flaky: ['yellow', '✓'],
  failed: ['red', '✗'],
  skipped: ['dim', '-'],
  cancelled: ['yellow', '-'],
}

type TaskEnded = Extract<FeedMessage, { type: 'task-ended' }>

export class PlainReporter implements Reporter {
  readonly #terminal: Terminal
  readonly #clock: Clock
  readonly #progress: Progress
  readonly #failures: FailureFeed
  #cancelHeartbeat: (() => void) | undefined
  #waitingFor: string | undefined
  #closed = false

  constructor(terminal: Terminal, clock: Clock) {
    this.#terminal = terminal
    this.#clock = clock
    this.#progress = new Progress(clock)
    this.#failures = new FailureFeed(this.#progress, terminal, (text) => this.print(text))
  }

  start(info: RunInfo): void {
    this.#progress.info = info
    this.print(headerText(info, this.#terminal.isTTY ? this.#terminal.columns() : Infinity))
  }

  message(exact: FeedMessage): void {
    const message = readableMessage(exact)
    this.#progress.apply(message)
    const said = this.#failures.message(message)
    if (message.type === 'task-ended') {
      // Cancelled before it began: of a thousand such files the final block says enough.
      const isNews = message.state !== 'cancelled' || message.worker !== undefined
      if (!said && isNews) this.taskLine(this.#taskText(message), message)
      this.#progress.forget(message.task)
    } else if (message.type === 'notice') {
      this.print(`${message.level === 'warning' ? '!' : 'i'} ${message.text}`)
    }
    this.#waiting()
  }

  finish(exact: RunSummary): void {
    const summary = readableSummary(exact)
    this.close()
    this.#failures.rest(summary)
    this.print(`\n${finalBlock(summary, this.#terminal.columns(), this.#terminal.paint).join('\n')}`)
  }

  close(): void {
    this.#closed = true
    this.#cancelHeartbeat?.()
  }

  /** Every line goes through here: silence is measured from the last one. */
  protected print(text: string): void {
    this.#terminal.write(`${text}\n`)
    this.#cancelHeartbeat?.()
    if (!this.#closed) this.#cancelHeartbeat = this.#clock.after(heartbeatMs, () => this.#heartbeat())
  }

  /** The line of a file that is over; a subclass may hold it back. */
  protected taskLine(text: string, _task: TaskEnded): void {
    this.print(text)
  }

  protected get progress(): Progress {
    return this.#progress
  }

  #taskText(message: TaskEnded): string {
    const { paint } = this.#terminal
    const [style, mark] = stateMarks[message.state] ?? ['dim', '-']
    const tests = this.#progress.testsOf(message.task)
    const seen = tests.passed + tests.failed + tests.flaky + tests.skipped
    const details: string[] = []
    if (seen > 0) details.push(counted(seen, 'test'))
    if (tests.failed > 0) details.push(`${formatCount(tests.failed)} failed`)
    if (tests.flaky > 0) details.push(`${formatCount(tests.flaky)} flaky`)
    if (tests.skipped > 0) details.push(`${formatCount(tests.skipped)} skipped`)
    if (message.state === 'cancelled' || !Object.hasOwn(stateMarks, message.state)) details.unshift(message.state)
    if (message.state === 'skipped' && message.worker === undefined)
      details.unshift(`not run: ${message.why ?? 'skipped'}`)
    const text = details.length === 0 ? '' : ` (${details.join(', ')})`
    const workers = this.#progress.run?.workers ?? []
    const worker = workers.length > 1 ? workers.find((one) => one.worker === message.worker)?.name : undefined
    return `${paint(style, mark)} ${message.file}${text} ${paint('dim', formatDuration(message.durationMs) + (worker === undefined ? '' : ` ${worker}`))}`
  }

  /** Said when the place in the queue or the kind of reason changes, not with every message: reasons hold times. */
  #waiting(): void {
    const { run } = this.#progress
    const line = waitingLine(run, this.#clock.now())
    const kind = run?.reason?.split(' ', reasonKindWords).join(' ')
    const what = line === undefined ? undefined : `${run?.state} ${run?.queuePosition ?? ''} ${kind ?? ''}`
    if (what === this.#waitingFor) return
    this.#waitingFor = what
    if (line !== undefined) this.print(line)
  }

  #heartbeat(): void {
    const { run } = this.#progress
    const nowMs = this.#clock.now()
    const waiting = waitingLine(run, nowMs)
    const after = formatSeconds(this.#progress.elapsedMs())
    if (waiting !== undefined || !run) {
      this.print(`… after ${after}: ${waiting ?? 'submitting'}`)
      return
    }
    const running = [...this.#progress.running.values()].toSorted((a, b) => a.sinceMs - b.sinceMs || a.task - b.task)
    const names = running
      .slice(0, heartbeatFilesMax)
      .map((task) => `${task.file} (${formatSeconds(nowMs - task.sinceMs)})`)
    if (running.length > names.length) names.push(`${formatCount(running.length - names.length)} more`)
    const what = names.length === 0 ? (haltedBy(run) ?? 'nothing is running') : `running ${names.join(', ')}`
    this.print(
      `… after ${after}: ${formatCount(run.accounted)}/${formatCount(run.planned)} ${taskNoun(run.framework)}s, ${what}`,
    )
  }
}
