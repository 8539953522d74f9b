/**
 * The shell round the core: opens log, blobs, history; gives the seat (which leads or follows) its
 * clock, log and network; carries out effects; and offers the API what it needs. Everything it holds
 * in memory can be thrown away and rebuilt from log and blobs.
 */
import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { zstdDecompressSync } from 'node:zlib'
import { DirectoryBlobs } from '../blobs/directory.ts'
import type { Blobs } from '../blobs/blobs.ts'
import type { Input } from '../core/input.ts'
import { defaultLimits, type Limits } from '../core/limits.ts'
import type { Shares } from '../core/shares.ts'
import { restore, type SnapshotData } from '../core/snapshot.ts'
import type { Run, State, Worker } from '../core/state.ts'
import type { AboutFiles, Estimates, History } from '../history/history.ts'
import type { Log, MemberCard, SharedLog } from '../log/log.ts'
import { MemoryLog } from '../log/memory.ts'
import { SqliteLog } from '../log/sqlite.ts'
import type { ClusterView, MemberView } from '../protocol/api.ts'
import type { OwnMetrics } from '../plugins/own-metrics.ts'
import { Registry } from '../plugins/registry.ts'
import { SchedulerHost } from '../plugins/scheduler-host.ts'
import { MusterError } from '../protocol/errors.ts'
import type { RunView, WorkerDetailView, WorkerView } from '../protocol/run-view.ts'
import type { SchedulersView } from '../protocol/scheduler.ts'
import type { RunContext } from '../protocol/worker-messages.ts'
import type { WatchedView } from '../scheduling/expected.ts'
import type { Recording } from '../scheduling/recording.ts'
import type { Why } from '../scheduling/why.ts'
import { systemClock } from '../stdx/clock.ts'
import { defaultClusterTimes, type ClusterTimes } from './cluster-times.ts'
import { Condition, type Health } from './condition.ts'
import { Explanations } from './explanations.ts'
import { Submissions, type ExtendRequest, type SubmitRequest, type Written } from './submissions.ts'
import { WithoutWorker } from './without-worker.ts'
import { clusterView } from './cluster-view.ts'
import type { ArchiveSource } from './archive.ts'
import { contextReferences, DirectoryContexts, type Contexts } from './contexts.ts'
import { Feed } from './feed.ts'
import { IntegrationBreakers } from './integration-breakers.ts'
import { KeptAnswers } from './kept-answers.ts'
import { KeptHistory } from './kept-history.ts'
import type { Committed } from './leader.ts'
import { Membership, soloCard } from './membership.ts'
import { logPort } from './log-port.ts'
import type { PeerPort, WorkerSocket } from './ports.ts'
import type { RecordingQuery } from './recording.ts'
import { Retention } from './retention.ts'
import { schedulersView } from './scheduler-views.ts'
import { Seat, type Role } from './seat.ts'
import type { Readiness, Standing } from './standing.ts'
import { StoredInputs } from './stored-input.ts'
import { logName } from './log-name.ts'
import { defaultOverloadLimits, Overload, type OverloadLimits } from './overload.ts'
import { findWorker, workerDetailView, workerView } from './views.ts'
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

const tickMs = 1000
/** A log of one coordinator that fails so often in a row wants a new process. */
const appendFailuresMax = 20
/** A reader who asks for a position that isn't here waits so long for it. */
const reachWaitMs = 5000

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
  readonly #storing: StoredInputs
  readonly #retention: Retention
  readonly #history: KeptHistory
  readonly #submissions: Submissions
  readonly #explanations: Explanations
  readonly #withoutWorker: WithoutWorker
  readonly #condition: Condition
  readonly #membership: Membership
  readonly #view: WatchedView
  readonly #observers = new Set<(entry: Committed) => void>()
  readonly #firstPlace = Promise.withResolvers<void>()
  readonly overloadLimits: OverloadLimits
  readonly #overload: Overload
  #tick: NodeJS.Timeout
  #closing: Promise<void> | undefined

  private constructor(options: CoordinatorOptions, parts: Parts) {
    this.#options = options
    this.name = parts.card.member
    this.startedAtMs = parts.card.startedAtMs
    this.version = options.version
    this.blobs = parts.blobs
    this.contexts = parts.contexts
    this.#log = parts.log
    this.#source = parts.source
    const ownDisk = !options.cluster && options.log !== 'memory'
    this.#condition = new Condition({
      ...(ownDisk ? { directory: options.directory } : {}),
      say: (level, message, detail) => this.#say(level, message, detail),
    })
    this.#storing = new StoredInputs(parts.blobs, (trouble) => this.#condition.blobsAre(trouble))
    const { cluster } = options
    const limits = { ...defaultLimits, ...options.limits }
    this.overloadLimits = { ...defaultOverloadLimits, ...options.overload }
    this.#overload = new Overload(systemClock, this.overloadLimits, {
      queuedTasks: () => this.state.queuedCount,
      queuedTasksMax: () => this.state.limits.queuedTasksMax,
      queuedInputs: () => this.seat.queuedInputs,
      logFill: () => cluster?.log.fill ?? 0,
      disk: () => this.#condition.disk,
      blobTrouble: () => this.#condition.blobTrouble,
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
      onHealth: (trouble, code) => this.#condition.logIs(trouble, code),
      inputsMax: this.overloadLimits.inputsMax,
      admit: (input) => this.#refusal(input),
      onFatal: (error) => this.#fatal(error),
      historyPosition: () => this.#history.position,
      say: (message, detail) => this.#say('info', message, detail),
    })
    this.#membership = new Membership({
      seat: this.seat,
      card: parts.card,
      ...(cluster ? { log: cluster.log, peerToken: cluster.peerToken } : {}),
      say: (level, message, detail) => this.#say(level, message, detail),
    })
    const { state } = this.seat
    this.integrations = new IntegrationBreakers(state, (input) => this.seat.submit(input, () => undefined))
    this.answers = new KeptAnswers(() => this.seat.position, systemClock)
    const { seat } = this
    const view: WatchedView = {
      state,
      available: (worker) => seat.isConnected(worker),
      silence: (worker, nowMs) => seat.silence(worker, nowMs),
      get availableVersion() {
        return seat.connectionsVersion
      },
    }
    this.#view = view
    this.#submissions = new Submissions({
      view,
      contexts: parts.contexts,
      overload: this.#overload,
      logRefusal: () => this.#condition.logRefusal(),
      write: (input) => this.submit(input),
      estimates: (...question) => this.estimates(...question),
    })
    this.#explanations = new Explanations({
      view,
      scheduling: this.scheduling,
      history: () => this.history(),
      say: (level, message, detail) => this.#say(level, message, detail),
    })
    // Refused: the run has ended meanwhile. Unavailable: the next tick finds it again.
    this.#withoutWorker = new WithoutWorker(view, (input) => seat.submit(input, () => undefined))
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
      ...(cluster ? { fetch: (to) => this.#firstPlace.promise.then(() => this.#membership.fetchHistory(to)) } : {}),
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
    await this.#membership.start()
    this.seat.start()
    await this.#firstPlace.promise
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
    if (!settled) await this.#within(between, () => this.#condition.logTrouble ?? 'the log takes too long for an entry')
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
  submitRun(request: SubmitRequest): Promise<Run> {
    return this.#submissions.submit(request)
  }

  /** Of tasks that are added to an open run. */
  extendRun(request: ExtendRequest): Promise<Written> {
    return this.#submissions.extend(request)
  }

  /** The private context of a run; `reference`: as a worker was told it. */
  contextOf(run: string, reference?: string): Promise<RunContext | undefined> {
    return this.#submissions.contextOf(run, reference)
  }

  /** On the leader: why it can't be done now. */
  #refusal(input: Input): MusterError | undefined {
    return input.type === 'choose-scheduler' ? this.#schedulerRefusal(input) : this.#submissions.refusal(input)
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
  schedulers(): Promise<SchedulersView> {
    return this.#membership.ofLeader('/cluster/scheduler', () => this.ownSchedulers())
  }

  /** What a plugin's scheduler says of itself; undefined where it places nothing, and on a coordinator that doesn't lead. */
  schedulerMetrics(name: string): OwnMetrics | undefined {
    if (this.seat.role !== 'leading') return undefined
    return this.scheduling.metricsOf({ ...this.#view, nowMs: Date.now() }, name)
  }

  ownSchedulers(): SchedulersView {
    return schedulersView(this.name, this.scheduling, { ...this.#view, nowMs: Date.now() })
  }

  /** Until the returned function is called. */
  watchRounds(watcher: RoundWatcher): () => void {
    this.#roundWatchers.add(watcher)
    return () => this.#roundWatchers.delete(watcher)
  }

  /** Throws Refused for one that isn't kept. */
  run(id: string): Run {
    return this.#submissions.run(id)
  }

  view(run: Run): RunView {
    return this.#explanations.runView(run)
  }

  /** What a run or one of its tasks waits for, and until when; on any coordinator. */
  why(run: Run, task?: number): Why {
    return this.#explanations.why(run, task)
  }

  /** What was submitted, how long it took and who was there, for `muster replay` and `muster plan`. */
  recording(query: RecordingQuery): Promise<Recording> {
    return this.#explanations.recording(query, () => this.settled())
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
    this.#explanations.reset()
  }

  #onTick(): void {
    this.integrations.tick()
    void this.#condition.lookAtDisk()
    if (this.seat.role !== 'leading') return this.#withoutWorker.forget()
    for (const id of this.state.active) {
      const run = this.state.runs.get(id)!
      if (run.startedAtMs === undefined) this.feed.refresh(run)
    }
    this.#withoutWorker.look(Date.now())
    this.#retention.tick()
  }

  health(): Health {
    return this.#condition.health(this.#parts())
  }

  /** A problem of the process round it, shown by `health()` until it is undefined. */
  note(subject: string, problem: string | undefined): void {
    this.#condition.note(subject, problem)
  }

  /** Whether it can serve: take a submission and answer for it. What needs a person but stops nobody is `health()`'s. */
  readiness(): Readiness {
    return this.#condition.readiness(this.seat)
  }

  #parts() {
    return { seat: this.seat, overload: this.#overload, history: this.#history, scheduling: this.scheduling }
  }

  standing(): Standing {
    return this.#condition.standing(this.name, this.#options.cluster?.log.fill, this.#parts())
  }

  cluster(): Promise<ClusterView> {
    const { cluster } = this.#options
    return clusterView({
      seat: this.seat,
      card: this.#membership.card,
      blobs: this.blobs,
      shared: cluster?.log,
      logBytes: () => this.#log.sizeBytes(),
      gone: this.#membership.gone,
      ask: (address, signal) => this.#membership.memberAt(address, signal),
      problems: this.health().problems,
    })
  }

  member(): MemberView {
    return this.#membership.self()
  }

  /** Hands leadership to another coordinator, wherever this is asked. */
  transfer(member: string | undefined): Promise<void> {
    return this.#membership.transfer(member)
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
    await this.#membership.leave()
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
    this.#condition.leave()
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
    this.#membership.close()
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
