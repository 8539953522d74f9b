/**
 * History as the coordinator sees it: a process of its own behind the `History` interface. Whatever
 * happens to that process, the coordinator goes on: questions are refused with `unavailable`, entries
 * wait here (bounded: `feed` waits when too much does), the process is started again after a growing
 * pause, and what it had not applied is fed again. It knows what it has by position, so nothing is
 * applied twice.
 */
import { fork } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { extname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { MusterError } from '../protocol/errors.ts'
import type { AboutFiles, AuditRow, Estimates, History, PredictRow, RecordedRows, RunRow, TestRow } from './history.ts'
import type {
  FedEntry,
  FromProcess,
  ProcessFailure,
  ProcessOptions,
  Question,
  QuestionName,
  Questions,
  ToProcess,
} from './messages.ts'
import { UnappliedEntries } from './unapplied-entries.ts'

export type HistoryOptions = {
  /** Folder of the database; made if absent. */
  readonly directory: string
  /** Of the coordinator's blobs, where per-test results lie: a directory or `s3://…`. */
  readonly blobsLocation: string
  /** Name of the log that is fed; several may feed one history, one after the other. Default `log`. */
  readonly source?: string
  /** DuckDB's own limit; default 256. The process takes some more. */
  readonly memoryLimitMb?: number
  /** Per-test rows are dropped after this many days; default 90. */
  readonly testsDays?: number
  /** Runs, attempts, batches and the audit are dropped after this many days; default 365. */
  readonly runsDays?: number
  /** `feed` waits while more than this waits to be applied; default 64 MiB. */
  readonly unappliedBytesMax?: number
  /** First pause before a new start; doubles up to 100 times as much. Default 100. */
  readonly restartPauseMs?: number
  /** Told what went wrong and is being mended. Default: a process warning. */
  readonly onWarning?: (text: string) => void
}

type Settling = {
  readonly position: number
  readonly resolve: (position: number) => void
  readonly reject: (error: Error) => void
}
type Waiting = { readonly resolve: (value: unknown) => void; readonly reject: (error: Error) => void }

// This file is .ts in a clone and .js in the package; the process is its sibling in either.
const processFile = fileURLToPath(new URL(`./process${extname(fileURLToPath(import.meta.url))}`, import.meta.url))
const closeWithinMs = 10_000
const sendAfterMs = 50
const lastWordsMax = 2000

/** Starts the process and resolves when it has the database. Rejects with conflict, tool_missing or unavailable. */
export async function openHistory(options: HistoryOptions): Promise<DuckdbHistory> {
  const history = new DuckdbHistory(options)
  await history.started()
  return history
}

export class DuckdbHistory implements History {
  readonly #options: HistoryOptions
  readonly #unapplied: UnappliedEntries
  readonly #questions = new Map<number, Waiting>()
  #settling: Settling[] = []
  #process: ChildProcess | undefined
  #ready = false
  #position = 0
  #fedPosition = 0
  #lastId = 0
  #failures = 0
  #restart: NodeJS.Timeout | undefined
  #sending: NodeJS.Timeout | undefined
  #closed = false
  #trouble = 'it is starting'
  #firstStart: PromiseWithResolvers<void> | undefined = Promise.withResolvers()

  constructor(options: HistoryOptions) {
    this.#options = options
    this.#unapplied = new UnappliedEntries(options.unappliedBytesMax ?? 64 * 1024 * 1024)
    this.#start()
  }

  get position(): number {
    return this.#position
  }

  /** Of the process that holds the database now; undefined between two. */
  get pid(): number | undefined {
    return this.#process?.pid
  }

  started(): Promise<void> {
    return this.#firstStart?.promise ?? Promise.resolve()
  }

  async feed(position: number, bytes: Uint8Array): Promise<void> {
    if (this.#closed) throw this.#unavailable('it is closed')
    if (position <= this.#fedPosition) return
    this.#fedPosition = position
    this.#unapplied.add({ position, bytes })
    // Those of the next moment go with it: a message costs more than an entry.
    this.#sending ??= setTimeout(() => this.#sendEntries(), sendAfterMs)
    await this.#unapplied.room()
  }

  settled(): Promise<number> {
    if (this.#position >= this.#fedPosition) return Promise.resolve(this.#position)
    if (this.#closed) return Promise.reject(this.#unavailable('it is closed'))
    const position = this.#fedPosition
    return new Promise((resolve, reject) => {
      this.#settling.push({ position, resolve, reject })
      this.#sendEntries()
      this.#send({ type: 'flush' })
    })
  }

  estimates(project: string, suite: string, files: readonly string[], about: AboutFiles = {}): Promise<Estimates> {
    return this.#ask('estimates', { project, suite, files, ...about })
  }

  predict(query: Questions['predict']['ask']): Promise<PredictRow[]> {
    return this.#ask('predict', query)
  }

  runs(query: Questions['runs']['ask']): Promise<RunRow[]> {
    return this.#ask('runs', query)
  }

  tests(query: Questions['tests']['ask']): Promise<TestRow[]> {
    return this.#ask('tests', query)
  }

  lastFailed(project: string, suite: string): Promise<string[]> {
    return this.#ask('lastFailed', { project, suite })
  }

  audit(run: string): Promise<AuditRow[]> {
    return this.#ask('audit', { run })
  }

  workerEvents(query: Questions['workerEvents']['ask']): Promise<AuditRow[]> {
    return this.#ask('workerEvents', query)
  }

  schedulerChoices(query: Questions['schedulerChoices']['ask']): Promise<AuditRow[]> {
    return this.#ask('schedulerChoices', query)
  }

  recordedRuns(query: Questions['recordedRuns']['ask']): Promise<RecordedRows> {
    return this.#ask('recordedRuns', query)
  }

  copy(to: string): Promise<number> {
    return this.#ask('copy', { to })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    clearTimeout(this.#restart)
    clearTimeout(this.#sending)
    const child = this.#process
    if (child !== undefined) {
      const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()))
      this.#sendEntries()
      this.#send({ type: 'close' })
      // Not ready: it has nothing to write. Stuck: what it didn't apply is fed again next time.
      const impatience = setTimeout(() => child.kill('SIGKILL'), this.#ready ? closeWithinMs : 0)
      await exited
      clearTimeout(impatience)
    }
    this.#refuseAll('it is closed')
    this.#unapplied.clear()
  }

  #start(): void {
    const {
      directory,
      blobsLocation,
      source = 'log',
      memoryLimitMb = 256,
      testsDays = 90,
      runsDays = 365,
    } = this.#options
    const options: ProcessOptions = { directory, blobsLocation, source, memoryLimitMb, testsDays, runsDays }
    const child = fork(processFile, [JSON.stringify(options)], {
      serialization: 'advanced',
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
      execArgv: ['--max-old-space-size=512', '--disable-warning=ExperimentalWarning'],
      env: environment(directory),
    })
    this.#process = child
    let lastWords = ''
    child.stderr!.on('data', (data: Buffer) => {
      lastWords = (lastWords + data.toString()).slice(-lastWordsMax)
    })
    let failure: ProcessFailure | undefined
    child.on('message', (message: FromProcess) => {
      if (message.type === 'failed') failure = message.failure
      else this.#receive(message)
    })
    // Sending to a process that has just died; its exit is what counts.
    child.on('error', (error) => {
      lastWords += error.message
      if (child.pid === undefined) this.#ended(failure, lastWords)
    })
    child.on('exit', (code, signal) =>
      this.#ended(failure, lastWords.trim() || `it ended with ${signal ?? `code ${code}`}`),
    )
  }

  #receive(message: Exclude<FromProcess, { type: 'failed' }>): void {
    switch (message.type) {
      case 'ready':
        this.#ready = true
        this.#applied(message.position)
        this.#unapplied.rewind()
        this.#sendEntries()
        if (this.#settling.length > 0) this.#send({ type: 'flush' })
        this.#firstStart?.resolve()
        this.#firstStart = undefined
        return
      case 'applied':
        this.#failures = 0
        this.#applied(message.position)
        this.#sendEntries()
        if (this.#settling.length > 0) this.#send({ type: 'flush' })
        return
      case 'answer':
        this.#take(message.id)?.resolve(message.value)
        return
      case 'refused':
        this.#take(message.id)?.reject(asError(message.failure))
        return
      case 'warning':
        this.#warn(message.text)
        return
    }
  }

  #applied(position: number): void {
    // Backwards when the database was moved aside: then the position is what the new one has.
    this.#position = position
    this.#fedPosition = Math.max(this.#fedPosition, position)
    this.#unapplied.dropThrough(position)
    const still: Settling[] = []
    for (const waiting of this.#settling) {
      if (waiting.position <= position) waiting.resolve(position)
      else still.push(waiting)
    }
    this.#settling = still
  }

  #ended(failure: ProcessFailure | undefined, lastWords: string): void {
    if (this.#process === undefined) return
    this.#process = undefined
    this.#ready = false
    this.#trouble = failure?.message ?? lastWords
    this.#refuseAll(this.#trouble)
    if (this.#closed) return
    if (this.#firstStart !== undefined) {
      this.#closed = true
      this.#firstStart.reject(failure === undefined ? this.#unavailable(lastWords) : asError(failure))
      return
    }
    const first = this.#options.restartPauseMs ?? 100
    const pauseMs = Math.min(first * 2 ** this.#failures, first * 100)
    this.#failures += 1
    this.#warn(`The history process ended (${this.#trouble}); starting it again in ${pauseMs} ms`)
    this.#restart = setTimeout(() => this.#start(), pauseMs)
    // A coordinator that is done need not wait for it.
    this.#restart.unref()
  }

  #ask<N extends QuestionName>(name: N, ask: Questions[N]['ask']): Promise<Questions[N]['answer']> {
    if (!this.#ready || this.#closed)
      return Promise.reject(this.#unavailable(this.#closed ? 'it is closed' : this.#trouble))
    this.#lastId += 1
    const id = this.#lastId
    return new Promise<Questions[N]['answer']>((resolve, reject) => {
      this.#questions.set(id, { resolve: resolve as (value: unknown) => void, reject })
      this.#send({ type: 'ask', id, question: { name, ...ask } as Question })
    })
  }

  #take(id: number): Waiting | undefined {
    const waiting = this.#questions.get(id)
    this.#questions.delete(id)
    return waiting
  }

  #sendEntries(): void {
    clearTimeout(this.#sending)
    this.#sending = undefined
    if (!this.#ready) return
    const entries: readonly FedEntry[] = this.#unapplied.takeToSend()
    if (entries.length > 0) this.#send({ type: 'feed', entries })
  }

  #send(message: ToProcess): void {
    if (this.#process?.connected !== true) return
    // A failed send means that the process is going; the exit that follows is handled.
    this.#process.send(message, () => {})
  }

  #refuseAll(why: string): void {
    for (const waiting of this.#questions.values()) waiting.reject(this.#unavailable(why))
    this.#questions.clear()
    if (!this.#closed) return
    for (const waiting of this.#settling) waiting.reject(this.#unavailable(why))
    this.#settling = []
  }

  #unavailable(why: string): MusterError {
    return new MusterError('unavailable', `History is not available: ${why}`, {
      hint: 'Runs go on without it; try again in a moment.',
    })
  }

  #warn(text: string): void {
    if (this.#options.onWarning !== undefined) this.#options.onWarning(text)
    else process.emitWarning(text)
  }
}

function asError({ code, message, hint }: ProcessFailure): MusterError {
  return new MusterError(code, message, hint === undefined ? {} : { hint })
}

function environment(directory: string): NodeJS.ProcessEnv {
  // Under `node --test` this variable would make the process report as a test file.
  const { NODE_TEST_CONTEXT: _, ...env } = process.env
  // Compiled code from the last start: halves the time to the first answer.
  return { NODE_COMPILE_CACHE: join(directory, 'compile-cache'), ...env }
}
