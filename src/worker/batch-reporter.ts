/**
 * Turns what happens in a batch into protocol messages: coalesced, so that a thousand small files
 * cost a few dozen messages, yet the first of a burst leaves at once. Everything is made into JSON
 * text here, on the executor's thread.
 */
import type { TaskResult, TestError, TestResult } from '../protocol/results.ts'
import type { Assign, Ended, Live } from '../protocol/worker-messages.ts'
import type { FromExecutor } from './thread-messages.ts'
import { isPlain } from './truncate.ts'

const reportEveryMs = 20
const liveEveryMs = 50
const resultsMax = 64
const plainMax = 1024
const resultsSizeMax = 1024 * 1024
const liveTestsMax = 500

export type LiveTest = Live['tests'][number]

export class BatchReporter {
  readonly #assign: Pick<Assign, 'batch' | 'token'>
  readonly #post: (message: FromExecutor) => void
  #started: number[] = []
  #reported: number[] = []
  #results: string[] = []
  #resultsSize = 0
  #plain: string[] = []
  #live: LiveTest[] = []
  #flushedAtMs = 0
  #reportTimer: NodeJS.Timeout | undefined
  #liveTimer: NodeJS.Timeout | undefined

  constructor(assign: Pick<Assign, 'batch' | 'token'>, post: (message: FromExecutor) => void) {
    this.#assign = assign
    this.#post = post
  }

  started(task: number): void {
    this.#started.push(task)
    this.#schedule()
  }

  reported(task: number, result: TaskResult): void {
    this.#reported.push(task)
    if (isPlain(result)) {
      this.#plain.push(`[${task},"${result.outcome}",${round(result.durationMs)}]`)
    } else {
      const text = `{"task":${task},"result":${JSON.stringify(result)}}`
      this.#results.push(text)
      this.#resultsSize += text.length
    }
    const full =
      this.#results.length >= resultsMax || this.#resultsSize >= resultsSizeMax || this.#plain.length >= plainMax
    if (full) this.flush()
    else this.#schedule()
  }

  live(test: LiveTest): void {
    this.#live.push(test)
    if (this.#live.length >= liveTestsMax) this.#flushLive()
    else this.#liveTimer ??= setTimeout(() => this.#flushLive(), liveEveryMs)
  }

  output(text: string): void {
    this.#post({
      type: 'live',
      body: JSON.stringify({ type: 'live', batch: this.#assign.batch, tests: [], output: text } satisfies Live),
    })
  }

  ended(ended: Omit<Ended, 'type' | 'seq' | 'batch' | 'token'>): void {
    this.#flushLive()
    this.flush()
    this.#report('ended', JSON.stringify({ type: 'ended', ...this.#ids(), ...ended }), [])
  }

  /** Nothing more is sent; what waits is dropped. */
  close(): void {
    clearTimeout(this.#reportTimer)
    clearTimeout(this.#liveTimer)
  }

  /** Sends what waits: starts, then tests, then the tasks they belong to, so that whoever watches has counted them by then. */
  flush(): void {
    clearTimeout(this.#reportTimer)
    this.#reportTimer = undefined
    this.#flushedAtMs = performance.now()
    if (this.#started.length > 0) {
      const tasks = this.#started
      this.#started = []
      this.#report('started', JSON.stringify({ type: 'started', ...this.#ids(), tasks }), tasks)
    }
    if (this.#reported.length > 0) {
      // Whoever watches hears of a file's tests before it hears that the file is over.
      this.#flushLive()
      const ids = JSON.stringify(this.#ids()).slice(1, -1)
      const plain = this.#plain.length === 0 ? '' : `,"plain":[${this.#plain.join(',')}]`
      const body = `{"type":"reported",${ids},"results":[${this.#results.join(',')}]${plain}}`
      const tasks = this.#reported
      this.#reported = []
      this.#results = []
      this.#resultsSize = 0
      this.#plain = []
      this.#report('reported', body, tasks)
    }
  }

  #ids(): { batch: string; token: number } {
    return { batch: this.#assign.batch, token: this.#assign.token }
  }

  #report(kind: 'started' | 'reported' | 'ended', body: string, tasks: readonly number[]): void {
    this.#post({ type: 'report', kind, batch: this.#assign.batch, body, tasks })
  }

  #schedule(): void {
    if (this.#reportTimer !== undefined) return
    const waitMs = Math.max(0, this.#flushedAtMs + reportEveryMs - performance.now())
    this.#reportTimer = setTimeout(() => this.flush(), waitMs)
  }

  #flushLive(): void {
    clearTimeout(this.#liveTimer)
    this.#liveTimer = undefined
    if (this.#live.length === 0) return
    const tests = this.#live
    this.#live = []
    this.#post({
      type: 'live',
      body: JSON.stringify({ type: 'live', batch: this.#assign.batch, tests } satisfies Live),
    })
  }
}

/** Microseconds are enough. */
function round(durationMs: number): number {
  return Math.round(durationMs * 1000) / 1000
}

export function liveTest(task: number, test: TestResult, flaky: boolean): LiveTest {
  const errors: TestError[] | undefined = test.status === 'failed' ? test.errors : undefined
  return {
    task,
    name: test.name,
    ...(test.project !== undefined && { project: test.project }),
    status: test.status,
    ...(flaky && { flaky }),
    durationMs: test.durationMs,
    ...(errors && { errors }),
  }
}
