/**
 * The shell round the core: opens log, blobs, history; gives the seat (which leads or follows) its
 * clock, log and network; carries out effects; and offers the API what it needs. Everything it holds
 * in memory can be thrown away and rebuilt from log and blobs.
 */
import { randomBytes, randomUUID } from 'node:crypto'
import { createWriteStream } from 'node:fs'
import { statfs } from 'node:fs/promises'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { setTimeout as delay } from 'node:timers/promises'
import type { ReadableStream } from 'node:stream/web'
import { zstdDecompressSync } from 'node:zlib'
import { DirectoryBlobs } from '../blobs/directory.ts'
import type { Blobs } from '../blobs/blobs.ts'
import type { RunSpec, TaskDependency } from '../core/entities.ts'
import { readableFormat } from '../core/format.ts'
import { Refused, type Input, type Submit } from '../core/input.ts'
import { defaultLimits, type Limits } from '../core/limits.ts'
import type { Shares } from '../core/shares.ts'
import { restore, type SnapshotData } from '../core/snapshot.ts'
import { schedulerOf } from '../core/scheduler.ts'
import type { Group, Run, State, Worker } from '../core/state.ts'
import type { AboutFiles, Estimates, History } from '../history/history.ts'
import type { Log, MemberCard, SharedLog } from '../log/log.ts'
import { MemoryLog } from '../log/memory.ts'
import { SqliteLog } from '../log/sqlite.ts'
import type { ClusterView, MemberView, Problem } from '../protocol/api.ts'
import { Registry } from '../plugins/registry.ts'
import { SchedulerHost } from '../plugins/scheduler-host.ts'
import { isMusterError, MusterError, type ErrorCode } from '../protocol/errors.ts'
import type { RunView, WorkerDetailView, WorkerView } from '../protocol/run-view.ts'
import type { SchedulersView } from '../protocol/scheduler.ts'
import type { RunContext } from '../protocol/worker-messages.ts'
import type { WatchedView } from '../scheduling/expected.ts'
import { Fleets } from '../scheduling/fleet.ts'
import { forecasts } from '../scheduling/forecast.ts'
import { nobodyReason } from '../scheduling/reasons.ts'
import type { Recording } from '../scheduling/recording.ts'
import { reasonWords } from '../scheduling/waiting-words.ts'
import { explain, type ChosenStrategy, type Why } from '../scheduling/why.ts'
import { systemClock } from '../stdx/clock.ts'
import { defaultClusterTimes, type ClusterTimes } from './cluster-times.ts'
import { refuseLate } from './admission.ts'
import { clusterView, ownMember } from './cluster-view.ts'
import { GoneMembers } from './gone-members.ts'
import type { ArchiveSource } from './archive.ts'
import { contextReferences, DirectoryContexts, type Contexts } from './contexts.ts'
import { Feed } from './feed.ts'
import { IntegrationBreakers } from './integration-breakers.ts'
import { KeptAnswers } from './kept-answers.ts'
import { KeptHistory } from './kept-history.ts'
import type { Committed, LogTrouble } from './leader.ts'
import { logPort } from './log-port.ts'
import { addressOf, memberOf } from './owner.ts'
import type { PeerPort, WorkerSocket } from './ports.ts'
import { recordingOf, type RecordingQuery, type Seen } from './recording.ts'
import { Retention } from './retention.ts'
import { schedulersView } from './scheduler-views.ts'
import { Seat, type Role } from './seat.ts'
import type { Readiness, Standing } from './standing.ts'
import { StoredInputs } from './stored-input.ts'
import { logName } from './log-name.ts'
import { defaultOverloadLimits, Overload, type OverloadLimits } from './overload.ts'
import { GatheredEstimates, toldEstimates } from './told-estimates.ts'
import { findWorker, runView, workerDetailView, workerView, type Outlook } from './views.ts'
import { defaultSessionTimes, type SessionTimes, type WorkerConnection } from './worker-sessions.ts'

/** Several coordinators over one log. */
export type ClusterOptions = {
  readonly log: SharedLog
  readonly blobs: Blobs
  readonly contexts: Contexts
  /** Name of the log, the same for every member. */
  readonly source: string
  readonly blobsLocation: string
  /** Key of the blob by which members know that they share a place. */
  readonly blobsMark: string
  readonly peers: PeerPort
  /** Lets this coordinator ask the others. */
  readonly peerToken: string
  readonly card: MemberCard
  readonly times?: ClusterTimes
}

export type CoordinatorOptions = {
  readonly directory: string
  readonly version: string
  /** `memory`: for a coordinator that lives and dies with one run. */
  readonly log?: 'sqlite' | 'memory'
  /** Instead of a log of its own. The coordinator closes its log when it is closed. */
  readonly cluster?: ClusterOptions
  /** Where history is kept; default: within `directory`. False: no history. */
  readonly history?: string | false
  readonly limits?: Partial<Limits>
  /** Weights and quotas of projects and users. */
  readonly shares?: Shares
  /** Schedulers that may be chosen; default: those that come with Muster. */
  readonly plugins?: Registry
  readonly times?: SessionTimes
  readonly overload?: Partial<OverloadLimits>
  /** Puts something in front of the blob store, to see what is asked of it. */
  readonly wrapBlobs?: (blobs: Blobs) => Blobs
  readonly onLog?: (level: 'info' | 'warn' | 'error', message: string, detail: Record<string, unknown>) => void
  readonly onFatal?: (error: unknown) => void
}

/** What became of a write: durable, and state here includes it. */
export type Written = { readonly position: number; readonly changed: boolean }

export type SubmitRequest = {
  readonly who: string
  readonly key?: string
  readonly spec: Omit<RunSpec, 'context' | 'startupMs'> & { readonly startupMs?: number }
  readonly files: readonly string[]
  /** Their sizes, for estimates of those that never ran. */
  readonly fileBytes?: readonly (number | null)[]
  /** Index into the spec's needs, per file. */
  readonly kinds?: readonly number[]
  readonly dependencies?: readonly TaskDependency[]
  /** What to do when it can't be over by its deadline; default: say so in its view. */
  readonly admission?: 'warn' | 'refuse'
  readonly context?: RunContext
}

export type ExtendRequest = Pick<SubmitRequest, 'who' | 'files' | 'kinds' | 'fileBytes'> & { readonly run: string }

/** Nothing became of a submission that ends so. */
const refusals: ReadonlySet<string> = new Set<ErrorCode>(['overloaded', 'deadline_unreachable'])
/** Joins and leaves of workers that a recording looks at, the newest. */
const workerEventsMax = 50_000
/** Of runs that are played again at once. */
const recordedMax = { runsMax: 2000, tasksMax: 200_000 }
const outlookAgeMaxMs = 250
const outlookPause = 10
const tickMs = 1000
/** A log of one coordinator that fails so often in a row wants a new process. */
const appendFailuresMax = 20
/** A reader who asks for a position that isn't here waits so long for it. */
const reachWaitMs = 5000
const membersEveryMs = 1000
/** How often a coordinator looks whether it has heard of the leader after a transfer. */
const transferLookMs = 10
/** How long a log that can't be written may take to come back, as far as anybody knows. */
const logRetryAfterMs = 2000
const historyFetchMs = 10 * 60_000

/** Is told of every time that a strategy was asked for placements, and of everything that one did wrong. */
export type RoundWatcher = {
  readonly round: (strategy: string, ms: number) => void
  readonly fault: (strategy: string, kind: string) => void
}

type Parts = {
  readonly log: Log
  readonly blobs: Blobs
  readonly contexts: Contexts
  readonly source: string
  readonly card: MemberCard
}

export class Coordinator implements AsyncDisposable {
  readonly version: string
  /** Which coordinator this is. */
  readonly name: string
  readonly startedAtMs: number
  readonly blobs: Blobs
  readonly contexts: Contexts
  readonly feed: Feed
  readonly seat: Seat
  /** Asked before something outside is called. */
  readonly integrations: IntegrationBreakers
  /** Asks the chosen schedulers, as long as this coordinator leads. */
  readonly scheduling: SchedulerHost
  readonly #roundWatchers = new Set<RoundWatcher>()
  /** What was answered about runs, while it is right. */
  readonly answers: KeptAnswers
  readonly #options: CoordinatorOptions
  readonly #log: Log
  readonly #source: string
  #card: MemberCard
  readonly #storing: StoredInputs
  readonly #retention: Retention
  readonly #history: KeptHistory
  readonly #gathered = new GatheredEstimates((...question) => this.estimates(...question))
  readonly #view: WatchedView
  readonly #runsWithoutWorker = new Map<string, number>()
  readonly #observers = new Set<(entry: Committed) => void>()
  readonly #firstPlace = Promise.withResolvers<void>()
  #logTrouble: string | undefined
  #logTroubleCode: LogTrouble = 'log_failed'
  readonly overloadLimits: OverloadLimits
  readonly #overload: Overload
  #disk: { readonly freeBytes: number; readonly totalBytes: number } | undefined
  #blobTrouble: string | undefined
  readonly #noted = new Map<string, string>()
  #outlook: Outlook & { readonly atMs: number; readonly tookMs: number }
  #tick: NodeJS.Timeout
  readonly #gone = new GoneMembers()
  #membersTimer: NodeJS.Timeout | undefined
  #leaving = false
  #closing: Promise<void> | undefined

  private constructor(options: CoordinatorOptions, parts: Parts) {
    this.#options = options
    this.#card = parts.card
    this.name = parts.card.member
    this.startedAtMs = parts.card.startedAtMs
    this.version = options.version
    this.blobs = parts.blobs
    this.contexts = parts.contexts
    this.#log = parts.log
    this.#source = parts.source
    this.#storing = new StoredInputs(parts.blobs, (trouble) => {
      if (trouble !== undefined && this.#blobTrouble === undefined) this.#say('error', trouble, {})
      this.#blobTrouble = trouble
    })
    const { cluster } = options
    const limits = { ...defaultLimits, ...options.limits }
    this.overloadLimits = { ...defaultOverloadLimits, ...options.overload }
    this.#overload = new Overload(systemClock, this.overloadLimits, {
      queuedTasks: () => this.state.queuedCount,
      queuedTasksMax: () => this.state.limits.queuedTasksMax,
      queuedInputs: () => this.seat.queuedInputs,
      logFill: () => cluster?.log.fill ?? 0,
      disk: () => this.#disk,
      blobTrouble: () => this.#blobTrouble,
    })
    this.scheduling = new SchedulerHost({
      registry: options.plugins ?? new Registry(),
      say: (level, message, detail) => this.#say(level, message, detail),
      onRound: (strategy, ms) => {
        for (const watcher of this.#roundWatchers) watcher.round(strategy, ms)
      },
      onFault: (strategy, kind) => {
        for (const watcher of this.#roundWatchers) watcher.fault(strategy, kind)
      },
    })
    this.seat = new Seat({
      clock: systemClock,
      scheduler: this.scheduling,
      log: logPort(parts.log, cluster?.log, (error) => this.#fatal(error)),
      ...(cluster ? { peers: cluster.peers } : { appendFailuresMax }),
      card: parts.card,
      limits,
      ...(options.shares === undefined ? {} : { shares: options.shares }),
      sessionTimes: options.times ?? defaultSessionTimes,
      times: cluster?.times ?? defaultClusterTimes,
      restore: ({ bytes }) =>
        restore(JSON.parse(zstdDecompressSync(bytes).toString('utf8')) as SnapshotData, limits, options.shares),
      inputOf: (worker, message, done) => this.#storing.of(worker, message, done),
      onCommitted: (entry) => this.#committed(entry),
      onReset: () => this.#reset(),
      onRole: (role) => this.#onRole(role),
      onLive: (run, name, message) => this.feed.live(run, name, message),
      onSnapshotWanted: () => void this.#retention.snapshotFor((result) => this.seat.snapshotted(result)),
      onSnapshotted: (position) => void this.#retention.snapshotted(position),
      onHealth: (trouble, code) => {
        if (trouble !== this.#logTrouble)
          this.#say(trouble ? 'error' : 'info', trouble ?? 'the log can be written again', {})
        this.#logTrouble = trouble
        this.#logTroubleCode = code ?? 'log_failed'
      },
      inputsMax: this.overloadLimits.inputsMax,
      admit: (input) => this.#refusal(input),
      onFatal: (error) => this.#fatal(error),
      historyPosition: () => this.#history.position,
      say: (message, detail) => this.#say('info', message, detail),
    })
    const { state } = this.seat
    this.integrations = new IntegrationBreakers(state, (input) => this.seat.submit(input, () => undefined))
    this.answers = new KeptAnswers(() => this.seat.position, systemClock)
    const { seat } = this
    this.#view = {
      state,
      available: (worker) => seat.isConnected(worker),
      silence: (worker, nowMs) => seat.silence(worker, nowMs),
      get availableVersion() {
        return seat.connectionsVersion
      },
    }
    this.#outlook = { atMs: 0, tookMs: 0, of: new Map(), fleets: new Fleets(this.#view) }
    this.feed = new Feed(
      state,
      (run) => this.view(run),
      (run, on) => this.seat.watch(run, on),
      {
        position: () => this.position,
        strained: () => (this.#overload.strained ? 'the coordinator is overloaded' : undefined),
        limits: this.overloadLimits,
      },
    )
    this.#retention = new Retention({
      log: parts.log,
      blobs: parts.blobs,
      contexts: parts.contexts,
      seat: this.seat,
      historyPosition: () => this.#history.position,
      fill: () => cluster?.log.fill ?? 0,
      logBlobs: async () => (cluster ? [...(await cluster.log.namedBlobs()), cluster.blobsMark] : []),
      say: (level, message, detail) => this.#say(level, message, detail),
    })
    this.#history = new KeptHistory({
      directory: options.history ?? join(options.directory, 'history'),
      blobsLocation: cluster?.blobsLocation ?? join(options.directory, 'blobs'),
      source: parts.source,
      log: parts.log,
      ...(cluster ? { fetch: (to) => this.#fetchHistory(to) } : {}),
      guard: this.integrations.guard(cluster ? `history@${parts.card.member}` : 'history'),
      onTrouble: (trouble) => this.#say('warn', `history is away: ${trouble}`, {}),
    })
    this.#tick = setInterval(() => this.#onTick(), tickMs)
    this.#tick.unref()
  }

  /**
   * Opens the log and takes its place. Alone it leads when this resolves. In a cluster it may be that
   * nobody leads yet: `start` must be called once the others can reach this coordinator.
   */
  static async open(options: CoordinatorOptions): Promise<Coordinator> {
    if (options.cluster) {
      const { log, blobs, contexts, source, card } = options.cluster
      return new Coordinator(options, { log, blobs: options.wrapBlobs?.(blobs) ?? blobs, contexts, source, card })
    }
    const log = options.log === 'memory' ? new MemoryLog() : await SqliteLog.open(join(options.directory, 'log'))
    let coordinator: Coordinator | undefined
    try {
      const blobs = await DirectoryBlobs.open(join(options.directory, 'blobs'))
      const contexts = await DirectoryContexts.open(join(options.directory, 'contexts'))
      coordinator = new Coordinator(options, {
        log,
        blobs: options.wrapBlobs?.(blobs) ?? blobs,
        contexts,
        source: options.log === 'memory' ? randomUUID() : await logName(options.directory),
        card: soloCard(options.version),
      })
      await coordinator.start()
      await contexts.keepOnly(new Set(contextReferences(coordinator.state).values()))
      return coordinator
    } catch (error) {
      if (coordinator) await coordinator.close()
      else await log[Symbol.asyncDispose]()
      throw error
    }
  }

  /** Takes its place among the others; resolves when it leads, or follows somebody. */
  async start(): Promise<void> {
    const { cluster } = this.#options
    if (cluster) {
      await cluster.log.announce(this.#card)
      await this.#lookForMembers(cluster.log)
    }
    this.seat.start()
    await this.#firstPlace.promise
  }

  async #lookForMembers(log: SharedLog): Promise<void> {
    try {
      const members = await log.members()
      this.seat.setMembers(members)
      this.#gone.seen(members, Date.now())
    } catch (error) {
      // The log says itself when it can't be reached; who is there is asked again in any case.
      this.#say('warn', 'the members of the cluster cannot be listed', { error: String(error) })
    }
    if (this.#closing) return
    this.#membersTimer = setTimeout(() => void this.#lookForMembers(log), membersEveryMs)
    this.#membersTimer.unref()
  }

  #onRole(role: Role): void {
    this.#say('info', `this coordinator is ${role}`, { role, epoch: this.seat.epoch, position: this.seat.position })
    if (role === 'leading' || role === 'following') this.#firstPlace.resolve()
  }

  get state(): State {
    return this.seat.state
  }

  get position(): number {
    return this.seat.position
  }

  /** Resolves when it is durable and state here includes it. Rejects with Refused, or MusterError when nobody can take it. */
  submit(input: Input): Promise<Written> {
    return new Promise((resolve, reject) => {
      this.seat.submit(input, (outcome) => (outcome.type === 'ok' ? resolve(outcome) : reject(outcome.error)))
    })
  }

  /**
   * Waits until what state shows is durable, and includes the entry at `position`; every read goes
   * through it. Rejects with MusterError unavailable when that takes too long.
   */
  async settled(position = 0): Promise<void> {
    if (this.seat.role === 'loading') await this.#within(this.#firstPlace.promise, 'it is still reading the log')
    if (position > this.seat.position) {
      let forget = (): void => undefined
      const reached = new Promise<void>((resolve) => {
        forget = this.seat.whenReached(position, resolve)
      })
      await this.#within(reached, `it has not come to position ${position} of the log yet`).finally(forget)
    }
    let settled = false
    const between = new Promise<void>((resolve) => {
      this.seat.between(() => {
        settled = true
        resolve()
      })
    })
    if (!settled) await this.#within(between, () => this.#logTrouble ?? 'the log takes too long for an entry')
  }

  async #within(work: Promise<void>, why: string | (() => string)): Promise<void> {
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<never>((_resolve, reject) => {
      timer = setTimeout(() => {
        const words = typeof why === 'string' ? why : why()
        reject(new MusterError('unavailable', `this coordinator can't answer: ${words}`))
      }, reachWaitMs)
    })
    await Promise.race([work, late]).finally(() => clearTimeout(timer))
  }

  connectWorker(socket: WorkerSocket): WorkerConnection {
    return this.seat.connectWorker(socket)
  }

  /** Workers connected to any coordinator, as far as this one knows. */
  get workersConnected(): number {
    return this.seat.workersConnected
  }

  /** Its process was seen to end: no need to wait for the lease. */
  workerLost(id: string, why: string): void {
    this.seat.lost(id, why)
  }

  // ---- runs ----

  /** Creates the run and returns it once it is durable. The same key again returns the same run. */
  async submitRun(request: SubmitRequest): Promise<Run> {
    this.#admit(request.spec.priority, request.key)
    let id = newRunId()
    while (this.state.runs.has(id)) id = newRunId()
    const { project, suite, framework } = request.spec
    const { fileBytes: bytes } = request
    const about = { framework, ...(bytes === undefined ? {} : { bytes }) }
    const estimates = await this.estimates(project, suite, request.files, about)
    const reference = request.context ? await this.contexts.put(id, request.context) : ''
    const spec: RunSpec = {
      ...request.spec,
      context: reference,
      startupMs: estimates.startupMs ?? request.spec.startupMs ?? 0,
    }
    const input: Submit = {
      type: 'submit',
      run: id,
      who: request.who,
      ...(request.key === undefined ? {} : { key: request.key }),
      spec,
      files: request.files,
      ...toldEstimates(estimates),
      ...(request.kinds === undefined ? {} : { kinds: request.kinds }),
      ...(request.dependencies === undefined ? {} : { dependencies: request.dependencies }),
    }
    try {
      if (request.admission === 'refuse' && !(request.key !== undefined && this.state.keys.has(request.key)))
        refuseLate(this.#view, input, Date.now())
      await this.submit(input)
    } catch (error) {
      // Otherwise nobody knows: it may be a run yet.
      if (error instanceof Refused || (isMusterError(error) && refusals.has(error.code)))
        await this.#removeContext(reference)
      throw error
    }
    // The same key was there before: so was its run.
    const taken = this.state.runs.has(id)
    if (!taken) await this.#removeContext(reference)
    return this.run(taken ? id : this.state.keys.get(request.key!)!)
  }

  /**
   * The private context of a run. `reference`: as a worker was told it, who may know of a run that this coordinator has
   * not read of yet.
   */
  async contextOf(run: string, reference = ''): Promise<RunContext | undefined> {
    const { runs, letters } = this.state
    const known = runs.get(run)?.spec.context ?? letters.sources.get(run)?.spec.context ?? reference
    return known === '' ? undefined : await this.contexts.get(known)
  }

  async #removeContext(reference: string): Promise<void> {
    if (reference !== '') await this.contexts.remove(reference)
  }

  /** Before anything is done for it; the leader asks again. The run of a key that is known costs nothing. */
  #admit(priority: number, key: string | undefined): void {
    if (key !== undefined && this.state.keys.has(key)) return
    const refusal = this.#overload.refusal(priority)
    if (refusal) throw refusal
  }

  /** On the leader: why more work can't be taken on now. */
  #refusal(input: Input): MusterError | undefined {
    if (input.type === 'choose-scheduler') return this.#schedulerRefusal(input)
    if (input.type !== 'submit' && input.type !== 'extend') return undefined
    if (input.type === 'submit' && input.key !== undefined && this.state.keys.has(input.key)) return undefined
    if (this.#logTrouble !== undefined) {
      return new MusterError(this.#logTroubleCode, this.#logTrouble, { retryAfterMs: logRetryAfterMs })
    }
    const priority = input.type === 'submit' ? input.spec.priority : (this.state.runs.get(input.run)?.priority ?? 0)
    return this.#overload.refusal(priority)
  }

  /** On the leader, who must be able to do it. */
  #schedulerRefusal({ strategy, config }: Extract<Input, { type: 'choose-scheduler' }>): MusterError | undefined {
    if (strategy === undefined) return undefined
    const fault = this.scheduling.faultOf({ strategy, ...(config === undefined ? {} : { config }) })
    if (!fault) return undefined
    const hint = fault.unknown
      ? `Of a plugin, name its file in 'plugins' of coordinator.json of every coordinator, and start them again.`
      : `'muster scheduler show ${strategy}' prints what it can be configured with.`
    return new MusterError(fault.unknown ? 'not_found' : 'request_invalid', fault.why, { hint })
  }

  /** As the coordinator that leads knows them. */
  async schedulers(): Promise<SchedulersView> {
    const { role, leadership } = this.seat
    if (role === 'leading' || memberOf(leadership.owner) === this.name || !this.#options.cluster)
      return this.ownSchedulers()
    const signal = AbortSignal.timeout(reachWaitMs)
    return this.#askMember<SchedulersView>(addressOf(leadership.owner), '/cluster/scheduler', { signal })
  }

  ownSchedulers(): SchedulersView {
    return schedulersView(this.name, this.scheduling, this.state, Date.now())
  }

  /** Until the returned function is called. */
  watchRounds(watcher: RoundWatcher): () => void {
    this.#roundWatchers.add(watcher)
    return () => this.#roundWatchers.delete(watcher)
  }

  /** Of tasks that are added to an open run. */
  async extendRun({ run, who, files, kinds, fileBytes }: ExtendRequest): Promise<Written> {
    const { spec } = this.run(run)
    const told = await this.#gathered.of(spec, files, fileBytes)
    return await this.submit({ type: 'extend', run, who, files, ...told, ...(kinds === undefined ? {} : { kinds }) })
  }

  run(id: string): Run {
    const run = this.state.runs.get(id)
    if (!run) throw new Refused('not_found', `no run ${id}; muster runs lists those that are kept`)
    return run
  }

  view(run: Run): RunView {
    const nowMs = Date.now()
    // They cost a look at every active run, and nobody needs them fresher than this. A new run's are made at
    // once, unless so many are submitted that nothing else would be done.
    const isNew = run.state === 'queued' && !this.#outlook.of.has(run.id)
    const ageMs = nowMs - this.#outlook.atMs
    const pauseMs = Math.floor(this.#outlook.tookMs * outlookPause)
    if (ageMs >= pauseMs && (isNew || ageMs > outlookAgeMaxMs)) {
      const sinceMs = performance.now()
      const fleets = new Fleets(this.#view)
      const of = forecasts(this.#view, fleets, nowMs)
      this.#outlook = { atMs: nowMs, tookMs: performance.now() - sinceMs, of, fleets }
    }
    return runView(this.#view, run, this.#outlook, nowMs)
  }

  /** What a run or one of its tasks waits for, and until when; on any coordinator. */
  why(run: Run, task?: number): Why {
    return explain(this.#view, run, task, this.#strategyOf(run), Date.now())
  }

  #strategyOf({ spec: { project } }: Run): ChosenStrategy {
    const chosen = schedulerOf(this.state, project)
    const { config } = this.scheduling.inEffect(this.state, chosen)
    const strategy = this.scheduling.explained(this.state, chosen)
    const mine = (run: Run) => schedulerOf(this.state, run.spec.project) === chosen
    // Under the empty name is the choice for all others.
    const several =
      this.state.schedulers.size > 1 || (this.state.schedulers.size === 1 && !this.state.schedulers.has(''))
    return { strategy, config, mine, several }
  }

  /** What was submitted, how long it took and who was there, for `muster replay` and `muster plan`. */
  async recording(query: RecordingQuery): Promise<Recording> {
    const nowMs = Date.now()
    const seen = query.only && this.state.runs.has(query.run ?? '') ? { workers: [] } : await this.#seenOf(query, nowMs)
    const { name } = this.scheduling.inEffect(this.state, schedulerOf(this.state, ''))
    await this.settled()
    return recordingOf(this.state, query, name, seen, nowMs)
  }

  /** Without history it is known only of workers that are here, or that took part, and of runs that are kept. */
  async #seenOf({ run, sinceMs }: RecordingQuery, nowMs: number): Promise<Seen> {
    try {
      const history = await this.history()
      const workers = await history.workerEvents({ untilMs: nowMs, limit: workerEventsMax })
      const known = [...this.state.runs.keys()]
      const from = run === undefined ? { sinceMs: sinceMs ?? 0 } : { sinceMs: nowMs, from: run }
      return { workers, rows: await history.recordedRuns({ ...from, ...recordedMax, known }) }
    } catch (error) {
      if (!isMusterError(error)) throw error
      this.#say('warn', 'a recording is made without history', { error: error.message })
      return { workers: [] }
    }
  }

  runs(): Run[] {
    return [...this.state.runs.values()].reverse()
  }

  /** By its id or its name. */
  worker(named: string): WorkerDetailView | undefined {
    const worker = findWorker(this.state, named)
    if (worker === undefined) return undefined
    const view = workerView(this.state, worker, this.seat.isConnected(worker), this.seat.lastHeardMs(worker.id))
    return workerDetailView(worker, view)
  }

  workers(): WorkerView[] {
    return [...this.state.workers.values()].map((worker) =>
      workerView(this.state, worker, this.seat.isConnected(worker), this.seat.lastHeardMs(worker.id)),
    )
  }

  isConnected(worker: Worker): boolean {
    return this.seat.isConnected(worker)
  }

  /** Active runs that have something to do. */
  get activeRuns(): number {
    return this.state.active.size
  }

  /** Calls back with every durable entry, until the returned function is called. */
  observe(observer: (entry: Committed) => void): () => void {
    this.#observers.add(observer)
    return () => this.#observers.delete(observer)
  }

  // ---- history ----

  /** Durations from history; without history, or when it takes too long, nothing is known. */
  estimates(project: string, suite: string, files: readonly string[], about?: AboutFiles): Promise<Estimates> {
    return this.#history.estimates(project, suite, files, about)
  }

  /** History with everything committed so far; MusterError unavailable without it. */
  history(): Promise<History> {
    return this.#history.current()
  }

  // ---- life ----

  #committed(entry: Committed): void {
    this.answers.committed(entry)
    this.feed.committed(entry.events, entry.atMs)
    this.#history.committed(entry)
    this.#retention.committed(entry)
    this.#overload.committed(entry)
    this.scheduling.committed(entry.events)
    for (const observer of this.#observers) observer(entry)
  }

  /** State was read anew as a whole: what happened meanwhile was not told event by event. */
  #reset(): void {
    this.answers.reset()
    this.feed.reset()
    this.#history.missed()
    this.#outlook = { ...this.#outlook, atMs: 0 }
  }

  #onTick(): void {
    this.integrations.tick()
    void this.#lookAtDisk()
    if (this.seat.role !== 'leading') return this.#runsWithoutWorker.clear()
    const now = Date.now()
    // Thousands may wait for the same.
    const fleets = new Fleets(this.#view)
    for (const id of this.state.active) {
      const run = this.state.runs.get(id)!
      if (run.startedAtMs === undefined) this.feed.refresh(run)
      const starved = this.#starvedGroups(run, fleets)
      if (starved.length === 0) {
        this.#runsWithoutWorker.delete(id)
        continue
      }
      const since = this.#runsWithoutWorker.get(id) ?? now
      this.#runsWithoutWorker.set(id, since)
      if (now - since < run.spec.noWorkerTimeoutMs) continue
      this.#runsWithoutWorker.delete(id)
      const why = reasonWords(nobodyReason(this.#view, run, starved[0]!, fleets), now)
      const kinds = starved.length === run.groups.length ? {} : { kinds: starved.map((group) => group.kind) }
      // Refused: the run has ended meanwhile. Unavailable: the next tick finds it again.
      this.seat.submit({ type: 'abandon', run: id, ...kinds, why }, () => undefined)
    }
    for (const id of this.#runsWithoutWorker.keys()) if (!this.state.active.has(id)) this.#runsWithoutWorker.delete(id)
    this.#retention.tick()
  }

  /** Those with tasks that no worker fits. */
  #starvedGroups(run: Run, fleets: Fleets): Group[] {
    if (run.queuedCount === 0 || run.state === 'paused' || run.after.length > 0) return []
    return run.groups.filter((group) => group.queuedCount > 0 && fleets.of(run, group).workers.length === 0)
  }

  /** Of a coordinator of its own only: a cluster's data lies elsewhere. */
  async #lookAtDisk(): Promise<void> {
    const { cluster, log, directory } = this.#options
    if (cluster || log === 'memory') return
    try {
      const { bavail, blocks, bsize } = await statfs(directory)
      this.#disk = { freeBytes: bavail * bsize, totalBytes: blocks * bsize }
    } catch (error) {
      this.#disk = undefined
      this.#say('warn', 'the free space of the disk is not known', { error: String(error) })
    }
  }

  health(): { readonly status: 'ok' | 'degraded'; readonly problems: readonly string[] } {
    const problems: string[] = []
    if (this.#logTrouble !== undefined) problems.push(`log: ${this.#logTrouble}`)
    if (this.#blobTrouble !== undefined) problems.push(`results can't be stored: ${this.#blobTrouble}`)
    if (this.seat.role === 'stopped') problems.push('it has stopped')
    else if (!this.seat.canWrite) problems.push('no coordinator leads, as far as it knows')
    if (this.#overload.trouble !== undefined) problems.push(`overloaded: ${this.#overload.trouble}`)
    if (this.#history.trouble !== undefined) problems.push(`history: ${this.#history.trouble}`)
    problems.push(...this.scheduling.problems(this.state, Date.now()))
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
    if (this.seat.role === 'stopped' && !this.#leaving) reasons.push('it has stopped')
    else if (this.seat.role === 'loading') reasons.push('it is reading the log')
    else if (!this.seat.canWrite) reasons.push('no coordinator leads')
    if (this.#logTrouble !== undefined) reasons.push('the log cannot be written')
    return { ready: reasons.length === 0, reasons }
  }

  standing(): Standing {
    const { role, epoch, position, headPosition, silentMs } = this.seat
    return {
      coordinator: this.name,
      role: role === 'leading' ? 'leader' : 'follower',
      epoch,
      position,
      headPosition,
      behindMs: position < headPosition || !this.seat.canWrite ? silentMs : 0,
      logWritable: this.#logTrouble === undefined && this.seat.canWrite,
      logFill: this.#options.cluster?.log.fill,
      historyBehind: this.#history.behind(position),
    }
  }

  cluster(): Promise<ClusterView> {
    const { cluster } = this.#options
    return clusterView({
      seat: this.seat,
      card: this.#card,
      blobs: this.blobs,
      shared: cluster?.log,
      logBytes: () => this.#log.sizeBytes(),
      gone: this.#gone.list,
      ask: (address, signal) => this.#askMember<MemberView>(address, '/cluster/member', { signal }),
      problems: this.health().problems,
    })
  }

  member(): MemberView {
    return ownMember(this.seat, this.#card)
  }

  /** Hands leadership to another coordinator, wherever this is asked. */
  async transfer(member: string | undefined): Promise<void> {
    const { role, leadership, epoch } = this.seat
    if (role !== 'leading' && this.seat.canWrite && memberOf(leadership.owner) !== this.name) {
      const body = JSON.stringify(member === undefined ? {} : { member })
      const signal = AbortSignal.timeout(reachWaitMs)
      await this.#askMember(addressOf(leadership.owner), '/cluster/transfer', { method: 'POST', body, signal })
    } else {
      await new Promise<void>((resolve, reject) => {
        this.seat.transfer(member, (error) => (error ? reject(error) : resolve()))
      })
    }
    // Whoever asked wants to hear who leads now, and this coordinator may be the last to learn it.
    const lateMs = performance.now() + reachWaitMs
    while (this.seat.epoch <= epoch && performance.now() < lateMs) await delay(transferLookMs)
  }

  async #askMember<T>(address: string, path: string, init: RequestInit): Promise<T> {
    return (await (await this.#call(address, path, init)).json()) as T
  }

  async #call(address: string, path: string, init: RequestInit): Promise<Response> {
    const token = this.#options.cluster?.peerToken ?? ''
    const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' }
    const response = await fetch(new URL(`/api/v1${path}`, address), { ...init, headers }).catch((error: Error) => {
      const cause = error.cause instanceof Error ? error.cause : error
      throw new MusterError('unavailable', `Cannot reach the coordinator at ${address}: ${cause.message}`, { cause })
    })
    if (response.ok) return response
    const { code, detail, hint } = (await response.json()) as Problem
    throw new MusterError(code as ErrorCode, detail, hint === undefined ? {} : { hint })
  }

  /** History that the log no longer has, from whoever of the others has it. */
  async #fetchHistory(to: string): Promise<boolean> {
    await this.#firstPlace.promise
    for (const { member, address } of this.seat.members) {
      if (member === this.name || this.#closing) continue
      try {
        const response = await this.#call(address, '/cluster/history', { signal: AbortSignal.timeout(historyFetchMs) })
        await pipeline(Readable.fromWeb(response.body as ReadableStream), createWriteStream(to, { mode: 0o600 }))
        this.#say('info', 'history came from another coordinator', { from: member })
        return true
      } catch (error) {
        this.#say('warn', 'another coordinator could not give its history', { from: member, error: String(error) })
      }
    }
    return false
  }

  /** A copy of history for another coordinator, in a file that the caller removes. */
  async copyHistory(): Promise<string> {
    const file = join(this.#options.directory, `history-for-another-${randomUUID()}`)
    await this.#history.copy(file)
    return file
  }

  /** Before it closes: takes no new leadership, and hands over its own, if somebody can take it. */
  async handOver(): Promise<void> {
    this.leave()
    const { cluster } = this.#options
    if (!cluster) return
    this.#card = { ...this.#card, draining: true }
    cluster.log.announce(this.#card).catch((error: unknown) => {
      this.#say('warn', 'the others could not be told that it leaves', { error: String(error) })
    })
    await new Promise<void>((resolve) => this.seat.drain(resolve))
  }

  /** What an archive of this coordinator is made from, while it serves. */
  archiveSource(): Omit<ArchiveSource, 'records'> {
    const { version, blobs, contexts } = this
    return { log: this.#log, source: this.#source, version, blobs, contexts, state: () => this.state }
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
    this.#firstPlace.reject(error)
    this.#firstPlace.promise.catch(() => undefined)
    this.#say('error', 'the coordinator cannot go on', { error: error instanceof Error ? error.stack : String(error) })
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
    clearTimeout(this.#membersTimer)
    this.#storing.close()
    await new Promise<void>((resolve) => this.seat.stop(resolve))
    await this.#retention.stop()
    await this.#history.close()
    await this.#log[Symbol.asyncDispose]()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }
}

function soloCard(version: string): MemberCard {
  const member = `${hostname()}:${process.pid}`
  return {
    member,
    name: member,
    address: '',
    version,
    build: '',
    format: readableFormat,
    draining: false,
    startedAtMs: Date.now(),
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
