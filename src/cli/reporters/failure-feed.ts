/**
 * Prints failures the moment they happen, each once in full: tests as the feed tells of them, files
 * that failed as a whole when their attempt ends, and at the end of the run whatever has not been
 * shown yet (the feed is best effort, the records are not).
 */
import type { FeedMessage } from '../../protocol/run-view.ts'
import { clean, failureText } from './failure-text.ts'
import type { ShownFailure } from './failure-text.ts'
import type { Progress } from './progress.ts'
import type { RunSummary } from './reporter.ts'
import type { Terminal } from './terminal.ts'
import { testLabel } from './wording.ts'

const neverBegunShownMax = 3

type TaskEnded = Extract<FeedMessage, { type: 'task-ended' }>

export class FailureFeed {
  readonly #progress: Progress
  readonly #terminal: Pick<Terminal, 'columns' | 'paint'>
  readonly #print: (text: string) => void
  /** Labels of what has been printed in full. */
  readonly #shown = new Set<string>()
  /** How often a file that never began was lost for this reason. */
  readonly #said = new Map<string, number>()

  /** `progress` must have had each message applied before it is handed over here. */
  constructor(progress: Progress, terminal: Pick<Terminal, 'columns' | 'paint'>, print: (text: string) => void) {
    this.#progress = progress
    this.#terminal = terminal
    this.#print = print
  }

  /** True when it has said how a task ended, so that nobody else needs to. */
  message(message: FeedMessage): boolean {
    if (message.type === 'task-ended') return this.#taskEnded(message)
    if (message.type === 'test' && message.status === 'failed')
      this.#show({ ...message, worker: this.#workerName(message.worker) })
    return false
  }

  /** What the records know and nobody has seen, and errors outside any file. */
  rest(summary: RunSummary): void {
    const several = summary.run.workers.length > 1
    for (const failure of summary.failures) {
      if (this.#shown.has(key(failure))) continue
      this.#show({ ...failure, worker: several ? failure.worker : undefined })
    }
    for (const error of summary.run.errors) {
      const [first = '', ...more] = clean(error).split('\n')
      const { paint } = this.#terminal
      this.#print(
        [
          `${paint('red', '✗')} ${paint('bold', 'outside any file')}  ${paint('red', first)}`,
          ...more.slice(0, 30).map((line) => `    ${line}`),
        ].join('\n'),
      )
    }
  }

  #taskEnded(message: TaskEnded): boolean {
    const { paint } = this.#terminal
    const why = message.why === undefined ? '' : `: ${message.why}`
    const said =
      this.#progress.testsOf(message.task).failed > 0 || this.#shown.has(key({ file: message.file, name: [] }))
    if (!message.final) {
      const state = message.state === 'queued' ? '' : `${message.state}, `
      this.#print(`${paint('yellow', '↻')} ${message.file}  ${paint('yellow', `${state}tried again${why}`)}`)
    } else if (message.state === 'lost' && message.worker === undefined && this.#isOld(why)) {
      // The final block has their number and names.
      this.#shown.add(key({ file: message.file, name: [] }))
    } else if (message.state === 'timed-out' || message.state === 'lost') {
      const text = `${message.state === 'lost' ? 'lost' : 'timed out'}${why}`
      this.#show({
        file: message.file,
        name: [],
        errors: [{ message: text }],
        worker: this.#workerName(message.worker),
      })
    } else if (message.state === 'failed' && !said && message.why !== undefined) {
      // The records hold the errors in full; this is so that nobody waits for the end to hear of it.
      this.#print(
        `${paint('red', '✗')} ${paint('bold', message.file)}  ${paint('red', clean(message.why).split('\n')[0] ?? '')}`,
      )
    } else {
      return false
    }
    return true
  }

  /** Files that never began because nobody could run them share one reason, be they three or a hundred thousand. */
  #isOld(why: string): boolean {
    const said = this.#said.get(why) ?? 0
    this.#said.set(why, said + 1)
    if (said === neverBegunShownMax) this.#print(`  … and more${why}`)
    return said >= neverBegunShownMax
  }

  #show(failure: ShownFailure): void {
    const name = key(failure)
    const { paint } = this.#terminal
    if (this.#shown.has(name)) {
      this.#print(`${paint('red', '✗')} ${paint('bold', clean(testLabel(failure)))}  ${paint('dim', 'failed again')}`)
      return
    }
    this.#shown.add(name)
    this.#print(failureText(failure, this.#terminal.columns(), paint))
  }

  /** Only worth a word when there are several. */
  #workerName(worker: string | undefined): string | undefined {
    const workers = this.#progress.run?.workers ?? []
    if (worker === undefined || workers.length < 2) return undefined
    return workers.find((one) => one.worker === worker)?.name ?? worker
  }
}

function key(failure: ShownFailure): string {
  return JSON.stringify([failure.file, failure.project ?? '', ...failure.name])
}
