/**
 * Collects a batch's events into one TaskResult per file. A file is reported exactly once, when the
 * framework has said that it is complete; a file that was begun and never completed is interrupted,
 * whatever the process's exit code says.
 */
import { isFlaky } from '../protocol/flaky.ts'
import type { TaskResult, TestError, TestResult } from '../protocol/results.ts'
import type { DriverEvent } from '../runners/runner.ts'
import { type BatchReporter, liveTest } from './batch-reporter.ts'
import { DetailBudget } from './truncate.ts'

const batchErrorsMax = 50

type TaskProgress = {
  readonly task: number
  state: 'waiting' | 'running' | 'reported'
  tests: TestResult[]
  budget: DetailBudget
}

export type BatchResultsHandlers = {
  readonly started: (task: number) => void
  readonly reported: (task: number) => void
  /** A sentence for the batch's output. */
  readonly remark: (text: string) => void
}

export class BatchResults {
  readonly #progress = new Map<string, TaskProgress>()
  readonly #reporter: BatchReporter
  readonly #handlers: BatchResultsHandlers
  readonly #remarked = new Set<string>()
  #unreported: number
  #frozen = false
  /** Failures outside any file. */
  readonly errors: TestError[] = []
  readonly #errorBudget = new DetailBudget()
  failed = 0
  /** The framework said that everything has been reported. */
  ended = false
  /** When the first file began. */
  firstStartMs: number | undefined

  constructor(
    tasks: readonly number[],
    files: readonly string[],
    reporter: BatchReporter,
    handlers: BatchResultsHandlers,
  ) {
    files.forEach((file, index) => {
      this.#progress.set(file, { task: tasks[index]!, state: 'waiting', tests: [], budget: new DetailBudget() })
    })
    this.#unreported = this.#progress.size
    this.#reporter = reporter
    this.#handlers = handlers
  }

  get complete(): boolean {
    return this.#unreported === 0
  }

  /** Begun and not complete. */
  get running(): number[] {
    return this.#inState('running')
  }

  get waiting(): number[] {
    return this.#inState('waiting')
  }

  /** From now on nothing completes: the process is being ended, and what it says on the way out is no verdict. */
  freeze(): void {
    this.#frozen = true
  }

  event(event: DriverEvent): void {
    if (this.#frozen) return
    switch (event.type) {
      case 'file-start':
        this.#start(event.file)
        return
      case 'test':
        return this.#test(event.test)
      case 'file-end':
        return this.#end(event)
      case 'error': {
        const error = event.file === undefined ? event.error : { ...event.error, file: event.error.file ?? event.file }
        if (this.errors.length < batchErrorsMax) this.errors.push(...this.#errorBudget.errors([error]))
        return
      }
      case 'end':
        this.ended = true
        return
    }
  }

  #inState(state: TaskProgress['state']): number[] {
    return [...this.#progress.values()].filter((one) => one.state === state).map((one) => one.task)
  }

  /** The file's progress, begun if need be; undefined when there is nothing to add to. */
  #start(file: string): TaskProgress | undefined {
    const progress = this.#progress.get(file)
    if (progress === undefined) return this.#remark(`reported '${file}', which is not part of this batch: ignored`)
    if (progress.state === 'reported') return this.#remark(`reported more of '${file}' after its end: ignored`)
    if (progress.state === 'waiting') {
      progress.state = 'running'
      this.firstStartMs ??= performance.now()
      this.#reporter.started(progress.task)
      this.#handlers.started(progress.task)
    }
    return progress
  }

  #test(test: TestResult): void {
    const progress = this.#start(test.file)
    if (progress === undefined) return
    const kept = progress.budget.test(test)
    progress.tests.push(kept)
    this.#reporter.live(liveTest(progress.task, kept, isFlaky(kept)))
  }

  #end(event: Extract<DriverEvent, { type: 'file-end' }>): void {
    const progress = this.#start(event.file)
    if (progress === undefined) return
    const errors =
      event.errors !== undefined && event.errors.length > 0 ? progress.budget.errors(event.errors) : undefined
    if (errors) {
      // A failure of the file itself, which no test stands for: a name without words.
      const { durationMs } = event
      this.#reporter.live({ task: progress.task, name: [], status: 'failed', durationMs, errors: [...errors] })
    }
    const result: TaskResult = {
      file: event.file,
      outcome: outcome(progress.tests, errors, event.skipped === true),
      durationMs: event.durationMs,
      ...(errors && { errors }),
      tests: progress.tests,
    }
    progress.state = 'reported'
    progress.tests = []
    this.#unreported -= 1
    if (result.outcome === 'failed') this.failed += 1
    this.#reporter.reported(progress.task, result)
    this.#handlers.reported(progress.task)
  }

  #remark(text: string): undefined {
    if (this.#remarked.has(text) || this.#remarked.size >= 100) return
    this.#remarked.add(text)
    this.#handlers.remark(`muster: the framework ${text}`)
  }
}

function outcome(
  tests: readonly TestResult[],
  errors: readonly TestError[] | undefined,
  skipped: boolean,
): TaskResult['outcome'] {
  if (errors !== undefined || tests.some((test) => test.status === 'failed')) return 'failed'
  if (skipped) return 'skipped'
  if (tests.length > 0 && tests.every((test) => test.status === 'skipped' || test.status === 'todo')) return 'skipped'
  return 'passed'
}
