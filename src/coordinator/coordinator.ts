/**
 * The shell round the core: opens log, blobs, history; runs the leader loop; carries out effects; and
 * offers the API what it needs. One process, one directory. Everything it holds in memory can be
 * thrown away and rebuilt from the directory.
 */
import { randomBytes, randomUUID } from 'node:crypto'
import { readFile, rename, writeFile } from 'node:fs/promises'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { DirectoryBlobs } from '../blobs/directory.ts'
import type { Blobs } from '../blobs/blobs.ts'
import type { RunSpec } from '../core/entities.ts'
import type { Event } from '../core/events.ts'
import { readableFormat } from '../core/format.ts'
import { Refused, type Input } from '../core/input.ts'
import { defaultLimits, type Limits } from '../core/limits.ts'
import type { Run, State, Worker } from '../core/state.ts'
import type { Estimates, History } from '../history/history.ts'
import type { Log } from '../log/log.ts'
import { MemoryLog } from '../log/memory.ts'
import { SqliteLog } from '../log/sqlite.ts'
import { isMusterError, MusterError } from '../protocol/errors.ts'
import type { RunView, WorkerView } from '../protocol/run-view.ts'
import type { RunContext } from '../protocol/worker-messages.ts'
import { fittingWorkers, type View } from '../scheduling/fleet.ts'
import { forecasts } from '../scheduling/forecast.ts'
import { Contexts } from './contexts.ts'
import { Feed } from './feed.ts'
import { HistoryFeeder } from './history-feeder.ts'
import { Leader, type Committed } from './leader.ts'
import { logPort } from './log-port.ts'
import { recover } from './recover.ts'
import { Retention } from './retention.ts'
import type { Readiness, Standing } from './standing.ts'
import { StoredInputs } from './stored-input.ts'
import { runView, workerView } from './views.ts'
import { defaultSessionTimes, WorkerSessions, type SessionTimes } from './worker-sessions.ts'

export type CoordinatorOptions = {
  readonly directory: string
  readonly version: string
  /** `memory`: for a coordinator that lives and dies with one run. */
  readonly log?: 'sqlite' | 'memory'
  /** Where history is kept; default: within `directory`. False: no history. */
  readonly history?: string | false
  readonly limits?: Partial<Limits>
  readonly times?: SessionTimes
  /** Puts something in front of the blob store, to see what is asked of it. */
  readonly wrapBlobs?: (blobs: Blobs) => Blobs
  readonly onLog?: (level: 'info' | 'warn' | 'error', message: string, detail: Record<string, unknown>) => void
  readonly onFatal?: (error: unknown) => void
}

export type SubmitRequest = {
  readonly who: string
  readonly key?: string
  readonly spec: Omit<RunSpec, 'context' | 'startupMs'> & { readonly startupMs?: number }
  readonly files: readonly string[]
  readonly context?: RunContext
}

const forecastsAgeMaxMs = 250
const estimatesWaitMs = 2000
const tickMs = 1000

export class Coordinator implements AsyncDisposable {
  readonly version: string
  /** Which coordinator this is; the owner of its epochs. */
  readonly name: string
  readonly startedAtMs = Date.now()
  readonly blobs: Blobs
  readonly contexts: Contexts
  readonly sessions: WorkerSessions
  readonly feed: Feed
  readonly #options: CoordinatorOptions
  readonly #log: Log
  readonly #state: State
  readonly #leader: Leader
  readonly #storing: StoredInputs
  readonly #retention: Retention
  readonly #view: View
  readonly #runsWithoutWorker = new Map<string, number>()
  readonly #observers = new Set<(entry: Committed) => void>()
  #history: History | undefined
  #historyOpening: Promise<void>
  #historyTrouble: string | undefined
  /** False when switched off, or when DuckDB isn't installed: then nothing waits for it. */
  #historyWanted = true
  #feeder: HistoryFeeder | undefined
  #logTrouble: string | undefined
  #blobTrouble: string | undefined
  readonly #noted = new Map<string, string>()
  #forecasts: { readonly atMs: number; readonly of: ReturnType<typeof forecasts> } = { atMs: 0, of: new Map() }
  #tick: NodeJS.Timeout
  #leaving = false
  #closing: Promise<void> | undefined

  private constructor(
    options: CoordinatorOptions,
    parts: {
      log: Log
      blobs: Blobs
      contexts: Contexts
      state: State
      position: number
      snapshotPosition: number
      epoch: number
      owner: string
    },
  ) {
    this.#options = options
    this.name = parts.owner
    this.version = options.version
    this.blobs = parts.blobs
    this.contexts = parts.contexts
    this.#log = parts.log
    this.#state = parts.state
    this.#view = { state: parts.state, available: (worker) => this.sessions.isConnected(worker) }
    this.feed = new Feed(parts.state, (run) => this.view(run))
    this.#storing = new StoredInputs(parts.blobs, (trouble) => {
      if (trouble !== undefined && this.#blobTrouble === undefined) this.#say('error', trouble, {})
      this.#blobTrouble = trouble
    })
    this.sessions = new WorkerSessions({
      state: parts.state,
      leader: () => this.#leader,
      times: options.times ?? defaultSessionTimes,
      inputOf: (worker, message, done) => this.#storing.of(worker, message, done),
      confirmed: () => true,
      onLive: (run, name, message) => this.feed.live(run, name, message),
      log: (message, detail) => this.#say('info', message, detail),
    })
    const port = logPort(parts.log, undefined, (error) => this.#fatal(error))
    this.#leader = new Leader({
      append: port.append,
      state: parts.state,
      epoch: parts.epoch,
      position: parts.position,
      available: this.#view.available,
      appendFailuresMax: 20,
      onCommitted: (entry) => this.#committed(entry),
      onDeposed: (epoch) => this.#fatal(new Error(`another coordinator took over (epoch ${epoch})`)),
      onFatal: (error) => this.#fatal(error),
      onHealth: (trouble) => {
        if (trouble !== this.#logTrouble)
          this.#say(trouble ? 'error' : 'info', trouble ?? 'the log can be written again', {})
        this.#logTrouble = trouble
      },
    })
    this.#retention = new Retention(
      {
        log: parts.log,
        blobs: parts.blobs,
        contexts: parts.contexts,
        leader: this.#leader,
        historyPosition: () => this.#feeder?.applied ?? (this.#historyWanted ? 0 : Infinity),
        say: (level, message, detail) => this.#say(level, message, detail),
      },
      parts.snapshotPosition,
    )
    this.#historyOpening = this.#openHistory()
    this.#tick = setInterval(() => void this.#onTick(), tickMs)
    this.#tick.unref()
  }

  static async open(options: CoordinatorOptions): Promise<Coordinator> {
    const log = options.log === 'memory' ? new MemoryLog() : await SqliteLog.open(join(options.directory, 'log'))
    try {
      const limits = { ...defaultLimits, ...options.limits }
      const owner = `${hostname()}:${process.pid}`
      const head = await log.claim(owner)
      const { state, position, snapshotPosition } = await recover(log, limits)
      const directory = await DirectoryBlobs.open(join(options.directory, 'blobs'))
      const blobs = options.wrapBlobs?.(directory) ?? directory
      const contexts = await Contexts.open(join(options.directory, 'contexts'))
      await contexts.keepOnly(new Set([...state.runs.keys(), ...state.letters.sources.keys()]))
      const coordinator = new Coordinator(options, {
        log,
        blobs,
        contexts,
        state,
        position,
        snapshotPosition,
        epoch: head.epoch,
        owner,
      })
      await coordinator.submit({ type: 'lead', epoch: head.epoch, owner, version: options.version })
      // Alone, it is every member.
      await coordinator.submit({ type: 'raise-format', format: readableFormat })
      coordinator.sessions.expectKnown()
      return coordinator
    } catch (error) {
      await log[Symbol.asyncDispose]()
      throw error
    }
  }

  get state(): State {
    return this.#state
  }

  get position(): number {
    return this.#leader.position
  }

  submit(input: Input): Promise<readonly Event[]> {
    return this.#leader.submit(input)
  }

  /** Waits until what state shows is durable; every read goes through it. */
  settled(): Promise<void> {
    return this.#leader.settled()
  }

  // ---- runs ----

  /** Creates the run and returns it once it is durable. The same key again returns the same run. */
  async submitRun(request: SubmitRequest): Promise<Run> {
    let id = newRunId()
    while (this.#state.runs.has(id)) id = newRunId()
    const estimates = await this.estimates(request.spec.project, request.spec.suite, request.files)
    if (request.context) await this.contexts.put(id, request.context)
    const spec: RunSpec = {
      ...request.spec,
      context: request.context ? id : '',
      startupMs: estimates.startupMs ?? request.spec.startupMs ?? 0,
    }
    let events: readonly Event[]
    try {
      events = await this.submit({
        type: 'submit',
        run: id,
        who: request.who,
        ...(request.key === undefined ? {} : { key: request.key }),
        spec,
        files: request.files,
        estimates: estimates.durationsMs,
      })
    } catch (error) {
      if (request.context) await this.contexts.remove(id)
      throw error
    }
    const submitted = events.find((event) => event.type === 'run.submitted')
    if (!submitted && request.context) await this.contexts.remove(id)
    return this.run(submitted ? id : this.#state.keys.get(request.key!)!)
  }

  /** Returns the index of the first of the new tasks. */
  async extendRun(run: string, who: string, files: readonly string[]): Promise<number> {
    await this.submit({ type: 'extend', run, who, files, estimates: files.map(() => null) })
    // Applied in one go, so what was asked for last is last; others may have extended it since.
    const { tasks } = this.run(run)
    return tasks.findLastIndex((task) => task.file === files.at(-1)) - files.length + 1
  }

  run(id: string): Run {
    const run = this.#state.runs.get(id)
    if (!run) throw new Refused('not_found', `no run ${id}; muster runs lists those that are kept`)
    return run
  }

  view(run: Run): RunView {
    const nowMs = Date.now()
    // They cost a look at every active run, and nobody needs them fresher than this.
    const isNew = run.state === 'queued' && !this.#forecasts.of.has(run.id)
    if (isNew || nowMs - this.#forecasts.atMs > forecastsAgeMaxMs) {
      this.#forecasts = { atMs: nowMs, of: forecasts(this.#view, nowMs) }
    }
    return runView(this.#view, run, this.#forecasts.of.get(run.id), nowMs)
  }

  runs(): Run[] {
    return [...this.#state.runs.values()].reverse()
  }

  workers(): WorkerView[] {
    return [...this.#state.workers.values()].map((worker) =>
      workerView(this.#state, worker, this.sessions.isConnected(worker), this.sessions.lastHeardMs(worker.id)),
    )
  }

  isConnected(worker: Worker): boolean {
    return this.sessions.isConnected(worker)
  }

  /** Active runs that have something to do. */
  get activeRuns(): number {
    return this.#state.active.size
  }

  /** Calls back with every durable entry, until the returned function is called. */
  observe(observer: (entry: Committed) => void): () => void {
    this.#observers.add(observer)
    return () => this.#observers.delete(observer)
  }

  // ---- history ----

  async #openHistory(): Promise<void> {
    if (this.#options.history === false) {
      this.#historyWanted = false
      return
    }
    try {
      const { openHistory } = await import('../history/duckdb-history.ts')
      const directory = this.#options.history ?? join(this.#options.directory, 'history')
      const blobsDirectory = join(this.#options.directory, 'blobs')
      this.#history = await openHistory({ directory, blobsDirectory, source: await logName(this.#options) })
      this.#feeder = new HistoryFeeder(this.#history, this.#log, (error) => this.#historyFailed(error))
      this.#feeder.start()
    } catch (error) {
      this.#historyFailed(error)
    }
  }

  #historyFailed(error: unknown): void {
    if (isMusterError(error) && error.code === 'tool_missing') this.#historyWanted = false
    this.#historyTrouble = error instanceof Error ? error.message : String(error)
    this.#say('warn', `history is away: ${this.#historyTrouble}`, {})
  }

  /** Durations from history; without history, or when it takes too long, nothing is known. */
  async estimates(project: string, suite: string, files: readonly string[]): Promise<Estimates> {
    const nothing: Estimates = { durationsMs: files.map(() => null), startupMs: null }
    if (files.length === 0 || this.#options.history === false) return nothing
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<Estimates>((resolve) => {
      timer = setTimeout(() => resolve(nothing), estimatesWaitMs)
    })
    const asked = this.#historyOpening.then(() => this.#history?.estimates(project, suite, files) ?? nothing)
    try {
      return await Promise.race([asked, late])
    } catch (error) {
      this.#historyFailed(error)
      return nothing
    } finally {
      clearTimeout(timer)
      asked.catch(() => nothing)
    }
  }

  /** History with everything committed so far; MusterError unavailable without it. */
  async history(): Promise<History> {
    await this.#historyOpening
    if (!this.#history || !this.#feeder) {
      throw new MusterError('unavailable', `history is not available: ${this.#historyTrouble ?? 'switched off'}`)
    }
    await this.#feeder.settle()
    return this.#history
  }

  // ---- life ----

  #committed(entry: Committed): void {
    this.sessions.committed(entry.events)
    this.feed.committed(entry.events, entry.atMs)
    this.#feeder?.committed(entry.position, entry.bytes)
    this.#retention.committed(entry)
    for (const observer of this.#observers) observer(entry)
  }

  async #onTick(): Promise<void> {
    const now = Date.now()
    for (const id of this.#state.active) {
      const run = this.#state.runs.get(id)!
      if (run.startedAtMs === undefined) this.feed.refresh(run)
      const starved = run.queuedCount > 0 && run.state !== 'paused' && fittingWorkers(this.#view, run).length === 0
      if (!starved) {
        this.#runsWithoutWorker.delete(id)
        continue
      }
      const since = this.#runsWithoutWorker.get(id) ?? now
      this.#runsWithoutWorker.set(id, since)
      if (now - since < run.spec.noWorkerTimeoutMs) continue
      this.#runsWithoutWorker.delete(id)
      const count = this.sessions.connected
      const why =
        count === 0 ? 'no worker is connected' : `none of the ${count} connected workers fits (host or labels)`
      await this.submit({ type: 'abandon', run: id, why }).catch((error: unknown) => {
        if (!(error instanceof Refused) && !isMusterError(error)) throw error
      })
    }
    for (const id of this.#runsWithoutWorker.keys()) if (!this.#state.active.has(id)) this.#runsWithoutWorker.delete(id)
    this.#retention.tick()
  }

  health(): { readonly status: 'ok' | 'degraded'; readonly problems: readonly string[] } {
    const problems: string[] = []
    if (this.#logTrouble !== undefined) problems.push(`log: ${this.#logTrouble}`)
    if (this.#blobTrouble !== undefined) problems.push(`results can't be stored: ${this.#blobTrouble}`)
    if (this.#leader.stopped) problems.push('the leader loop has stopped')
    if (this.#historyTrouble !== undefined) problems.push(`history: ${this.#historyTrouble}`)
    for (const [subject, problem] of this.#noted) problems.push(`${subject}: ${problem}`)
    return { status: problems.length === 0 ? 'ok' : 'degraded', problems }
  }

  /** A problem of the process round it, shown by `health()` until it is undefined. */
  note(subject: string, problem: string | undefined): void {
    if (problem === undefined) this.#noted.delete(subject)
    else this.#noted.set(subject, problem)
  }

  /** Whether it can serve: take a submission and answer for it. What needs a person but stops nobody is `health()`'s. */
  readiness(): Readiness {
    const reasons: string[] = []
    if (this.#leaving) reasons.push('it is shutting down')
    if (this.#leader.stopped && !this.#leaving) reasons.push('the leader loop has stopped')
    if (this.#logTrouble !== undefined) reasons.push('the log cannot be written')
    return { ready: reasons.length === 0, reasons }
  }

  standing(): Standing {
    const { position, epoch } = this.#leader
    return {
      coordinator: this.name,
      role: 'leader',
      epoch,
      position,
      headPosition: position,
      behindMs: 0,
      logWritable: this.#logTrouble === undefined && !this.#leader.stopped,
      historyBehind: this.#feeder === undefined ? undefined : Math.max(0, position - this.#feeder.applied),
    }
  }

  /** Bytes of the log on its medium. */
  logSizeBytes(): Promise<number> {
    return this.#log.sizeBytes()
  }

  /** From now on it is not ready: who asks before sending work goes elsewhere. It serves on until it is closed. */
  leave(): void {
    this.#leaving = true
  }

  #say(level: 'info' | 'warn' | 'error', message: string, detail: Record<string, unknown>): void {
    this.#options.onLog?.(level, message, detail)
  }

  #fatal(error: unknown): void {
    this.#say('error', 'the leader loop stopped', { error: error instanceof Error ? error.stack : String(error) })
    if (this.#options.onFatal) this.#options.onFatal(error)
    else throw error
  }

  /** Stops cleanly: what is committed stays, workers are told to reconnect, history catches up. */
  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    this.leave()
    clearInterval(this.#tick)
    this.sessions.close()
    this.#storing.close()
    await this.#leader.stop()
    await this.#historyOpening
    try {
      await this.#feeder?.settle()
    } catch (error) {
      this.#historyFailed(error)
    }
    this.#feeder?.stop()
    await this.#retention.stop()
    await this.#history?.[Symbol.asyncDispose]()
    await this.#log[Symbol.asyncDispose]()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }
}

/** Positions mean something only within one log, so history must know which it is fed from. */
async function logName(options: CoordinatorOptions): Promise<string> {
  if (options.log === 'memory') return randomUUID()
  const path = join(options.directory, 'log', 'name')
  try {
    return await readFile(path, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
    const name = randomUUID()
    await writeFile(`${path}.new`, name, { mode: 0o600 })
    await rename(`${path}.new`, path)
    return name
  }
}

const idAlphabet = '0123456789abcdefghjkmnpqrstvwxyz'

/** Sorts by time to the second, readable aloud, unique beyond reasonable doubt: `r` + 7 characters of time + 8 random ones. */
export function newRunId(nowMs = Date.now()): string {
  let time = Math.floor(nowMs / 1000)
  let text = ''
  for (let at = 0; at < 7; at += 1) {
    text = idAlphabet[time % 32]! + text
    time = Math.floor(time / 32)
  }
  for (const byte of randomBytes(8)) text += idAlphabet[byte % 32]!
  return `r${text}`
}
