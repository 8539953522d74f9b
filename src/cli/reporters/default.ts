/**
 * The reporter for a person at a terminal: a header, a live region of a few lines (bar, counts, time
 * left, the files that run), failures printed above it the moment they happen, and the final block.
 * Redrawn at most ten times a second and only when a line changed; times in it are whole seconds, so
 * an idle run redraws once a second.
 */
import type { FeedMessage, RunView } from '../../protocol/run-view.ts'
import type { Clock } from './clock.ts'
import { FailureFeed } from './failure-feed.ts'
import { finalBlock } from './final-block.ts'
import { LiveRegion } from './live-region.ts'
import { Progress } from './progress.ts'
import { readableMessage, readableSummary } from './readable.ts'
import type { Reporter, RunInfo, RunSummary } from './reporter.ts'
import type { Paint, Style, Terminal } from './terminal.ts'
import { fitEnd, fitMiddle, formatCount, formatSeconds, width } from './text-fit.ts'
import { haltedBy, headerText, taskNoun, waitingLine } from './wording.ts'

const redrawMs = 100
const tickMs = 1000
const filesShownMax = 5

export class DefaultReporter implements Reporter {
  readonly #terminal: Terminal
  readonly #clock: Clock
  readonly #region: LiveRegion
  readonly #progress: Progress
  readonly #failures: FailureFeed
  readonly #listening: readonly (() => void)[]
  #cancelRedraw: (() => void) | undefined
  #redrawAtMs = Infinity
  #drawnAtMs = -Infinity
  #closed = false

  constructor(terminal: Terminal, clock: Clock) {
    this.#terminal = terminal
    this.#clock = clock
    this.#region = new LiveRegion(terminal)
    this.#progress = new Progress(clock)
    this.#failures = new FailureFeed(this.#progress, terminal, (text) => this.#region.print(text))
    // Whatever ends the process, it doesn't end with a hidden cursor.
    this.#listening = [terminal.onResize(() => this.#schedule(redrawMs)), terminal.onExit(() => this.close())]
  }

  start(info: RunInfo): void {
    this.#progress.info = info
    this.#region.print(this.#terminal.paint('bold', headerText(info, this.#terminal.columns())))
    this.#draw()
  }

  message(exact: FeedMessage): void {
    const message = readableMessage(exact)
    this.#progress.apply(message)
    this.#failures.message(message)
    if (message.type === 'task-ended') this.#progress.forget(message.task)
    if (message.type === 'notice') {
      const style = message.level === 'warning' ? 'yellow' : 'dim'
      this.#region.print(this.#terminal.paint(style, `${message.level === 'warning' ? '!' : 'i'} ${message.text}`))
    }
    this.#schedule(redrawMs)
  }

  finish(exact: RunSummary): void {
    const summary = readableSummary(exact)
    this.close()
    this.#failures.rest(summary)
    const block = finalBlock(summary, this.#terminal.columns(), this.#terminal.paint)
    this.#terminal.write(`\n${block.join('\n')}\n`)
  }

  close(): void {
    if (this.#closed) return
    this.#closed = true
    this.#cancelRedraw?.()
    for (const stop of this.#listening) stop()
    this.#region.clear()
  }

  /** Draws within `delayMs`, but never sooner than redrawMs after the last drawing. */
  #schedule(delayMs: number): void {
    if (this.#closed) return
    const nowMs = this.#clock.now()
    const atMs = Math.max(this.#drawnAtMs + delayMs, nowMs)
    if (atMs >= this.#redrawAtMs) return
    this.#cancelRedraw?.()
    this.#redrawAtMs = atMs
    this.#cancelRedraw = this.#clock.after(atMs - nowMs, () => this.#draw())
  }

  #draw(): void {
    this.#cancelRedraw?.()
    this.#cancelRedraw = undefined
    this.#redrawAtMs = Infinity
    this.#drawnAtMs = this.#clock.now()
    this.#region.draw(liveLines(this.#progress, this.#clock.now(), this.#terminal))
    this.#schedule(tickMs)
  }
}

/** The live region for what is known now; every line fits the terminal's width. */
export function liveLines(
  progress: Progress,
  nowMs: number,
  terminal: Pick<Terminal, 'columns' | 'rows' | 'paint'>,
): string[] {
  // The last column stays empty: some terminals wrap when it is written to.
  const columns = Math.max(10, terminal.columns() - 1)
  const { paint } = terminal
  const waiting = waitingLine(progress.run, nowMs)
  if (waiting !== undefined)
    return [paint('yellow', fitEnd(`  ${waiting} · ${formatSeconds(progress.elapsedMs())}`, columns))]
  if (!progress.run) return [paint('dim', fitEnd(`  submitting · ${formatSeconds(progress.elapsedMs())}`, columns))]
  const status = statusLine(progress, progress.run, columns, paint)
  const halted = haltedBy(progress.run)
  if (halted !== undefined) return [status, paint('yellow', fitEnd(`    ${halted}`, columns))]
  return [status, ...runningLines(progress, nowMs, columns, terminal)]
}

/** Bar and figures, the least important figures dropped first where the line is too long. */
function statusLine(progress: Progress, run: RunView, columns: number, paint: Paint): string {
  const counts = run.tests.total > 0 ? run.tests : run.tasks
  const left = progress.remainingMs()
  const trouble = run.tasks.lost + run.tasks.timedOut
  // [rank, style, text]: rank 1 is the last to go.
  const parts: [rank: number, style: Style, text: string][] = [
    [1, 'bold', `${formatCount(run.accounted)}/${formatCount(run.planned)} ${taskNoun(run.framework)}s`],
  ]
  if (counts.passed > 0) parts.push([4, 'green', `${formatCount(counts.passed)} passed`])
  if (counts.failed > 0) parts.push([2, 'red', `${formatCount(counts.failed)} failed`])
  if (counts.flaky > 0) parts.push([6, 'yellow', `${formatCount(counts.flaky)} flaky`])
  if (counts.skipped > 0) parts.push([7, 'dim', `${formatCount(counts.skipped)} skipped`])
  if (trouble > 0) parts.push([3, 'red', `${formatCount(trouble)} lost or timed out`])
  parts.push([5, 'dim', formatSeconds(progress.elapsedMs())])
  if (left !== undefined) parts.push([3, 'dim', `about ${formatSeconds(left)} left`])
  if (run.state === 'cancelling') parts.push([2, 'yellow', 'cancelling'])
  const barColumns = Math.min(24, Math.max(4, Math.floor(columns / 6)))
  const used = (): number => 3 + barColumns + parts.reduce((sum, [, , text]) => sum + width(text) + 3, -3)
  while (parts.length > 1 && used() > columns) {
    const worst = Math.max(...parts.map(([rank]) => rank))
    parts.splice(
      parts.findIndex(([rank]) => rank === worst),
      1,
    )
  }
  const bar = barText(run.planned === 0 ? 0 : run.accounted / run.planned, barColumns)
  const failing = counts.failed > 0 || trouble > 0
  const text = parts.map(([, style, one]) => paint(style, one)).join(' · ')
  if (used() > columns) return paint('bold', fitEnd(`  ${parts[0]![2]}`, columns))
  return `  ${paint(failing ? 'red' : 'green', bar.done)}${paint('dim', bar.rest)} ${text}`
}

function barText(ratio: number, columns: number): { done: string; rest: string } {
  const done = Math.max(0, Math.min(columns, Math.floor(ratio * columns)))
  return { done: '━'.repeat(done), rest: '╌'.repeat(columns - done) }
}

/** The longest running first: what holds the run up is what one wants to see. */
function runningLines(
  progress: Progress,
  nowMs: number,
  columns: number,
  terminal: Pick<Terminal, 'rows' | 'paint'>,
): string[] {
  const running = [...progress.running.values()].toSorted((a, b) => a.sinceMs - b.sinceMs || a.task - b.task)
  const room = Math.max(0, Math.min(filesShownMax, terminal.rows() - 4))
  const severalWorkers = columns >= 50 && (progress.run?.workers.length ?? 0) > 1
  const shown = running.slice(0, running.length > room ? Math.max(0, room - 1) : room)
  const rows = shown.map((task) => {
    const time = formatSeconds(nowMs - task.sinceMs).padStart(5)
    const worker = severalWorkers ? fitMiddle(task.workerName, Math.floor(columns / 5)) : ''
    return { name: task.file, worker, time }
  })
  const workerColumns = Math.max(0, ...rows.map((row) => width(row.worker) + (severalWorkers ? 2 : 0)))
  const timeColumns = Math.max(0, ...rows.map((row) => width(row.time) + 1))
  const nameColumns = Math.min(
    Math.max(...rows.map((row) => width(row.name))),
    columns - 4 - workerColumns - timeColumns,
  )
  const lines = rows.map((row) => {
    const rest = `${' '.repeat(Math.max(0, workerColumns - width(row.worker)))}${row.worker}${' '.repeat(timeColumns - width(row.time))}${row.time}`
    const name = fitMiddle(row.name, nameColumns)
    return `    ${name}${' '.repeat(Math.max(0, nameColumns - width(name)))}${terminal.paint('dim', rest)}`
  })
  if (running.length > shown.length && room > 0) {
    lines.push(terminal.paint('dim', fitEnd(`    … and ${formatCount(running.length - shown.length)} more`, columns)))
  }
  return lines
}
