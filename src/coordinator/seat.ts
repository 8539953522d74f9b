/**
 * One coordinator's place in its cluster: it follows the log, and leads when it must. Who leads is
 * decided by a compare-and-set on the log alone; suspicion, guard and stagger only decide when to
 * try. A new leader first reads the log to its end, then writes `leader.started`, and only then takes
 * inputs. A leader that finds a newer epoch throws away what it may have run ahead with.
 *
 * Alone (no peers) it claims and leads at once. Synchronous, with time, log and network given: the
 * simulator runs this very class.
 */
import { readableFormat } from '../core/format.ts'
import type { Input } from '../core/input.ts'
import type { Limits } from '../core/limits.ts'
import type { Shares } from '../core/shares.ts'
import { emptyState, type Run, type State, type Worker } from '../core/state.ts'
import type { Head, Leadership, MemberCard, Snapshot } from '../log/log.ts'
import { MusterError } from '../protocol/errors.ts'
import type { FollowerMessage, LeaderMessage, PeerMessage } from '../protocol/peer-messages.ts'
import type { Live } from '../protocol/worker-messages.ts'
import type { Silence } from '../scheduling/expected.ts'
import type { Clock } from '../stdx/clock.ts'
import type { ClusterTimes } from './cluster-times.ts'
import { Followers, type FollowerView } from './followers.ts'
import { Gateway } from './gateway.ts'
import { Leader, type Committed, type LeaderOptions } from './leader.ts'
import { LeaderLink } from './leader-link.ts'
import type { LogPort, PeerLink, PeerPort, WorkerSocket } from './ports.ts'
import { Replica } from './replica.ts'
import { addressOf, memberOf, ownerOf } from './owner.ts'
import { Takeover } from './takeover.ts'
import { WorkerSessions, type ReportMessage, type SessionTimes, type WorkerConnection } from './worker-sessions.ts'
import { Writes, type Outcome } from './writes.ts'

export type Role = 'loading' | 'following' | 'claiming' | 'leading' | 'stopped'

export type Failover = {
  readonly epoch: number
  readonly owner: string
  /** Wall time at which it led, as seen here. */
  readonly atMs: number
  /** From the last sign of the leader before it to then; undefined when this coordinator hadn't heard one. */
  readonly tookMs: number | undefined
}

export type SeatOptions = {
  readonly clock: Clock
  readonly log: LogPort
  /** Absent: this coordinator is alone. */
  readonly peers?: PeerPort
  readonly card: MemberCard
  readonly limits: Limits
  /** Weights and quotas; default: none. */
  readonly shares?: Shares
  readonly sessionTimes: SessionTimes
  readonly times: ClusterTimes
  readonly inputsMax?: number
  readonly admit?: LeaderOptions['admit']
  /** Default: the default strategy alone. */
  readonly scheduler?: LeaderOptions['scheduler']
  readonly appendFailuresMax?: number
  readonly restore: (snapshot: Snapshot) => State
  readonly inputOf: (worker: string, message: ReportMessage, done: (input: Input | undefined) => void) => void
  /** Every durable entry in order, on leader and follower alike. */
  readonly onCommitted: (entry: Committed) => void
  /** State was replaced as a whole: whoever derived something from it begins anew. */
  readonly onReset: () => void
  readonly onRole: (role: Role) => void
  readonly onLive: (run: Run, worker: string, message: Live) => void
  /** It is asked for a snapshot; answer with `snapshotted`. */
  readonly onSnapshotWanted: () => void
  readonly onSnapshotted: (position: number) => void
  readonly onHealth: LeaderOptions['onHealth']
  readonly onFatal: (error: unknown) => void
  /** What its history has applied, for the leader to know. */
  readonly historyPosition: () => number
  readonly say: (message: string, detail: Record<string, unknown>) => void
}

/** Part of a lease for which a leader takes itself for one without asking the log again. */
const confirmedPart = 0.2
const failoversMax = 20
/** Before a leader that never answered here is replaced once more; doubles. */
const blindWaitMs = 500
const blindWaitMaxMs = 30_000
/** How long the last append is waited for at the end. */
const stopMaxMs = 2000
/** A tail that says nothing while the leader is ahead is no tail. */
const lagCheckMs = 100
const connectedDelayMs = 20

export class Seat {
  readonly state: State
  readonly #options: SeatOptions
  readonly #clock: Clock
  readonly #replica: Replica
  readonly #gateway = new Gateway()
  readonly #writes: Writes
  readonly #takeover: Takeover
  readonly #owner: string
  readonly failovers: Failover[] = []
  #role: Role = 'loading'
  #turn = 0
  #leadership: Leadership = { epoch: 0, owner: '' }
  #members: readonly MemberCard[] = []
  #draining = false
  #leader: Leader | undefined
  #sessions: WorkerSessions | undefined
  #followers: Followers | undefined
  #link: LeaderLink | undefined
  #endTail: () => void = () => undefined
  /** Monotonic time at which this leader last knew that it leads. */
  #confirmedMs = -Infinity
  #confirming = false
  #leaderPosition = 0
  /** Leaders in a row that it has replaced without ever having heard from them. */
  #blindClaims = 0
  #blindWaiting = 0
  #madeSnapshot = 0
  #lagging = false
  /** Workers that came or went since the others were last told. */
  #changedWorkers = new Set<string>()
  #lastLeaderSignMs: number | undefined
  /** On a follower: workers that are connected anywhere. */
  #connected = new Set<string>()
  #connectionsVersion = 0
  readonly #watched = new Set<string>()
  /** Who waits for state to be loaded. */
  readonly #loads: (() => void)[] = []
  readonly #reached = new Set<{ readonly position: number; readonly call: () => void }>()

  constructor(options: SeatOptions) {
    this.#options = options
    this.#clock = options.clock
    this.#draining = options.card.draining
    this.#owner = ownerOf(options.card)
    this.state = emptyState(options.limits, options.shares)
    this.#replica = new Replica({
      clock: options.clock,
      log: options.log,
      state: this.state,
      restore: options.restore,
      onApplied: (entry) => this.#applied(entry),
      onReset: () => {
        options.onReset()
        this.#tellReached(this.position)
      },
      onFatal: (error) => this.#fatal(error),
    })
    this.#writes = new Writes({
      clock: options.clock,
      waitMs: options.times.submitWaitMs,
      reached: (position, call) => void this.whenReached(position, call),
      has: (run) => this.state.runs.has(run),
    })
    this.#takeover = new Takeover({
      clock: options.clock,
      log: options.log,
      times: options.times,
      ask: (member, epoch, heard) => this.#ask(member, epoch, heard),
    })
  }

  // ---- what it shows ----

  get role(): Role {
    return this.#role
  }

  get epoch(): number {
    return this.#leadership.epoch
  }

  get leadership(): Leadership {
    return this.#leadership
  }

  /** Of the last durable entry in state. */
  get position(): number {
    return this.#leader?.position ?? this.#replica.position
  }

  /** Of the last entry there is, as far as it knows. */
  get headPosition(): number {
    return Math.max(this.position, this.#leaderPosition)
  }

  /** Of the snapshot that state was read from; 0 = none. */
  get loadedSnapshotPosition(): number {
    return this.#replica.snapshotPosition
  }

  /** Of the newest snapshot that it knows of; 0 = none. */
  get snapshotPosition(): number {
    return Math.max(this.#replica.snapshotPosition, this.#madeSnapshot)
  }

  snapshotMade(position: number): void {
    this.#madeSnapshot = position
  }

  /** Whether somebody leads who takes what is submitted here. */
  get canWrite(): boolean {
    if (this.#role === 'leading') return this.#confirmed
    return this.#link?.linked === true && this.#link.silentMs <= this.#options.times.suspicionMs * 2
  }

  get members(): readonly MemberCard[] {
    return this.#members
  }

  /** On the leader: who follows. */
  get followers(): readonly FollowerView[] {
    return this.#followers?.list() ?? []
  }

  /** Workers connected to this coordinator. */
  get workersHere(): number {
    return this.#gateway.size
  }

  /** Workers connected to any coordinator, as far as it knows. */
  get workersConnected(): number {
    return this.#sessions?.connected ?? this.#connected.size
  }

  get queuedInputs(): number {
    return this.#leader?.queued ?? 0
  }

  isConnected(worker: Worker): boolean {
    return this.#sessions?.isConnected(worker) ?? this.#connected.has(worker.id)
  }

  /** Grows whenever `isConnected` may say something else than before. */
  get connectionsVersion(): number {
    return this.#connectionsVersion + (this.#sessions?.connections ?? 0)
  }

  lastHeardMs(worker: string): number {
    return this.#sessions?.lastHeardMs(worker) ?? 0
  }

  /** Of a worker that is away, or that hasn't been heard from for so long that it seems to be. */
  silence(worker: Worker, nowMs: number): Silence | undefined {
    const { leaseMs } = this.#options.sessionTimes
    if (!this.#sessions) return this.isConnected(worker) ? undefined : { givenUpAtMs: nowMs + leaseMs }
    const sinceMs = this.#sessions.lastHeardMs(worker.id)
    if (this.isConnected(worker) && nowMs - sinceMs < leaseMs / 2) return undefined
    // 0 = it has been given up, only that has not been recorded yet.
    return { ...(sinceMs === 0 ? {} : { sinceMs }), givenUpAtMs: Math.max(nowMs, sinceMs + leaseMs) }
  }

  /** Milliseconds since the leader last gave a sign of life; 0 for the leader itself. */
  get silentMs(): number {
    return this.#role === 'leading' ? 0 : (this.#link?.silentMs ?? 0)
  }

  // ---- what is asked of it ----

  /** Reads the log and takes its place. */
  start(): void {
    this.#load()
  }

  /** Durable and applied here when it calls back with `ok`. */
  submit(input: Input, done: (outcome: Outcome) => void): void {
    this.#writes.submit(input, done)
  }

  /** Calls `look` when state holds nothing that isn't durable: at once, after the append under way, or once it is read anew. */
  between(look: () => void): void {
    const leader = this.#leader
    // A leader that is deposed meanwhile leaves state ahead of the log: it is read anew.
    if (leader) leader.between(() => (leader.settledNow ? look() : this.#loads.push(look)))
    else if (this.#role === 'loading') this.#loads.push(look)
    else look()
  }

  /** Calls back once state includes the entry at `position`, be there one or not; the returned function forgets it. */
  whenReached(position: number, call: () => void): () => void {
    if (this.position >= position) {
      call()
      return () => undefined
    }
    const waiting = { position, call }
    this.#reached.add(waiting)
    this.#lookSoon()
    return () => void this.#reached.delete(waiting)
  }

  connectWorker(socket: WorkerSocket): WorkerConnection {
    return this.#gateway.connect(socket)
  }

  /** The worker's process was seen to end. */
  lost(worker: string, why: string): void {
    if (this.#sessions) this.#sessions.lost(worker, why)
    else this.submit({ type: 'leave', worker, why }, () => undefined)
  }

  /** Somebody here wants the run's unlogged messages, or no more. */
  watch(run: string, on: boolean): void {
    if (on) this.#watched.add(run)
    else this.#watched.delete(run)
    if (this.#link?.linked) this.#link.send({ type: 'watch', run, on })
  }

  setMembers(members: readonly MemberCard[]): void {
    this.#members = members
    this.#raiseFormat()
  }

  /** A new chance for what could not be placed. */
  kick(): void {
    this.#leader?.kick()
  }

  /** It is about to leave: leads no more, if somebody else can. Calls back when somebody else does, or nobody can. */
  drain(done: () => void): void {
    this.#draining = true
    if (this.#role === 'leading' && this.followers.length > 0) this.transfer(undefined, () => done())
    else done()
  }

  /** Asks a follower to make a snapshot; false when there is none. */
  requestSnapshot(): boolean {
    return this.#followers?.requestSnapshot() ?? false
  }

  snapshotted(result: { readonly position: number; readonly bytes: number } | { readonly why: string }): void {
    this.#link?.send('why' in result ? { type: 'snapshot-failed', ...result } : { type: 'snapshotted', ...result })
  }

  /** Ends everything at once; nothing is handed over. */
  stop(done: () => void): void {
    let ended = false
    const end = () => {
      if (ended) return
      ended = true
      this.#setRole('stopped')
      this.#takeover.stop()
      this.#endTail()
      this.#endLink()
      this.#sessions?.close()
      this.#gateway.close(1012, 'the coordinator is going down; connect again')
      this.#followers?.close(0, '')
      this.#leader?.abandon()
      this.#replica.stop()
      this.#writes.stop()
      done()
    }
    if (!this.#leader || this.#leader.stopped) return end()
    const leader = this.#leader
    this.#sessions?.close()
    leader.hold(() => end())
    // The log may be away. What is under way there may or may not come to be, as after a crash.
    this.#clock.after(stopMaxMs, end)
  }

  // ---- following ----

  #setRole(role: Role): void {
    if (this.#role === role || this.#role === 'stopped') return
    this.#role = role
    this.#options.onRole(role)
  }

  #fatal(error: unknown): void {
    if (this.#role === 'stopped') return
    this.#setRole('stopped')
    this.#takeover.stop()
    this.#endTail()
    this.#endLink()
    this.#replica.stop()
    this.#sessions?.abandon()
    this.#gateway.detach()
    this.#leader?.abandon()
    this.#writes.stop()
    this.#options.onFatal(error)
  }

  /** It sets out to do something else: what was asked of the log for the sake of what it did before is void. */
  #begin(): number {
    this.#turn += 1
    return this.#turn
  }

  /** From nothing. What is read on the way is no news: who derives from state begins anew at its end. */
  #load(): void {
    this.#setRole('loading')
    this.#replica.load(() => {
      this.#options.onReset()
      for (const look of this.#loads.splice(0)) look()
      this.#orient()
    })
  }

  /** Finds out who leads. State is loaded, and as the log has it. */
  #orient(): void {
    if (this.#role === 'stopped') return
    if (!this.#options.peers) return this.#claim(0)
    const turn = this.#begin()
    this.#options.log.leadership((leadership) => {
      if (turn !== this.#turn || this.#role === 'stopped' || this.#role === 'leading') return
      if (leadership === undefined) {
        this.#clock.after(this.#options.times.againMs * 10, () => {
          if (turn === this.#turn) this.#orient()
        })
        return
      }
      this.#setRole('following')
      this.#follow(leadership, true)
    })
  }

  #startTail(): void {
    this.#endTail()
    this.#endTail = this.#options.log.tail(this.position + 1, {
      entries: (entries) => this.#replica.hint(entries, () => this.#catchUp()),
      claimed: (leadership) => this.#follow(leadership, false),
      resumed: () => this.#catchUp(),
    })
  }

  #catchUp(): void {
    if (this.#leader || this.#role === 'stopped') return
    this.#replica.catchUp(() => undefined)
  }

  /** The leader knows of entries that we lack. */
  #lookForMore(position: number): void {
    if (position > this.#leaderPosition) this.#leaderPosition = position
    if (this.position < this.#leaderPosition) this.#lookSoon()
  }

  /** Should the tail not bring what is missing, it is read. */
  #lookSoon(): void {
    if (this.#lagging || this.#leader) return
    this.#lagging = true
    this.#clock.after(lagCheckMs, () => {
      this.#lagging = false
      if (this.position < this.#leaderPosition || this.#reached.size > 0) this.#catchUp()
    })
  }

  #follow(leadership: Leadership, anew: boolean): void {
    if (this.#role !== 'following' && this.#role !== 'leading') return
    const newer = leadership.epoch > this.#leadership.epoch
    if (this.#role === 'leading') {
      if (newer) this.#deposed()
      return
    }
    if (!newer && !(anew && leadership.epoch === this.#leadership.epoch)) return
    this.#begin()
    this.#leadership = leadership
    this.#takeover.forget()
    this.#endLink()
    this.#startTail()
    this.#catchUp()
    const { epoch, owner } = leadership
    // Nobody leads (a new log, or an imported one), or it was us: this process, whose claim went unanswered, or the one before it.
    if (owner === '' || memberOf(owner) === this.#options.card.member) return this.#suspect(true)
    this.#link = new LeaderLink({
      clock: this.#clock,
      peers: this.#options.peers!,
      times: this.#options.times,
      member: this.#options.card.member,
      epoch,
      address: addressOf(owner),
      position: () => this.position,
      history: this.#options.historyPosition,
      onLinked: () => this.#linked(),
      onUnlinked: () => this.#unlinked(),
      onSuspect: (gone) => this.#suspect(gone),
      onOther: (other, by) => {
        if (other > this.#leadership.epoch) this.#follow({ epoch: other, owner: by }, false)
      },
      onMessage: (message) => this.#fromLeader(message),
    })
  }

  #endLink(): void {
    const link = this.#link
    this.#link = undefined
    link?.end()
  }

  #linked(): void {
    const link = this.#link!
    this.#blindClaims = 0
    this.#takeover.forget()
    this.#led()
    for (const run of this.#watched) link.send({ type: 'watch', run, on: true })
    this.#gateway.attach(link.upstream)
    this.#writes.attach((input, done) => {
      link.take(input, (result) => done(result ?? { type: 'unavailable', undecided: true, ...lostLeader }))
    })
    this.#catchUp()
  }

  #unlinked(): void {
    this.#connected = new Set()
    this.#connectionsVersion += 1
    this.#gateway.detach()
    this.#writes.detach()
  }

  #fromLeader(message: LeaderMessage): void {
    switch (message.type) {
      case 'alive':
        this.#lastLeaderSignMs = this.#clock.monotonicMs()
        this.#takeover.forget()
        return this.#lookForMore(message.position)
      case 'connected':
        this.#connected = new Set(message.workers)
        this.#connectionsVersion += 1
        return
      case 'connections':
        for (const worker of message.came) this.#connected.add(worker)
        for (const worker of message.went) this.#connected.delete(worker)
        this.#connectionsVersion += 1
        return
      case 'live': {
        const run = this.state.runs.get(message.run)
        if (run) this.#options.onLive(run, message.worker, message.message)
        return
      }
      case 'yield':
        if (message.epoch === this.#leadership.epoch && this.#mayLead) this.#claim(message.epoch)
        return
      case 'snapshot':
        return this.#options.onSnapshotWanted()
      default:
    }
  }

  #applied(entry: Committed): void {
    if (this.#role === 'loading') return this.#tellReached(entry.position)
    for (const event of entry.events) {
      if (event.type === 'leader.started' && event.epoch > this.#leadership.epoch) {
        const { epoch, owner } = event
        this.#clock.soon(() => this.#follow({ epoch, owner }, false))
      }
    }
    this.#advanced(entry)
  }

  #advanced(entry: Committed): void {
    this.#options.onCommitted(entry)
    this.#tellReached(entry.position)
  }

  #tellReached(position: number): void {
    for (const waiting of this.#reached) {
      if (waiting.position <= position && this.#reached.delete(waiting)) waiting.call()
    }
  }

  /** Somebody leads, as seen from here: now. */
  #led(): void {
    const { epoch, owner } = this.#leadership
    if (this.failovers.at(-1)?.epoch === epoch) return
    const nowMs = this.#clock.monotonicMs()
    const tookMs = this.#lastLeaderSignMs === undefined ? undefined : nowMs - this.#lastLeaderSignMs
    this.failovers.push({ epoch, owner, atMs: this.#clock.wallMs(), tookMs })
    if (this.failovers.length > failoversMax) this.failovers.shift()
    this.#lastLeaderSignMs = nowMs
  }

  // ---- taking over ----

  get #mayLead(): boolean {
    return this.#role === 'following' && (!this.#draining || this.#members.every((card) => card.draining))
  }

  /**
   * `gone`: its host refused the connection. Of a leader that never answered here that may be a wrong address, and the
   * leader be well: then the others are asked first, and who has replaced leaders so in vain waits longer every time.
   */
  #suspect(gone: boolean): void {
    if (this.#role !== 'following') return
    const blind = this.#link !== undefined && !this.#link.wasLinked
    if (!blind) return this.#suspectNow(gone)
    const { epoch } = this.#leadership
    const waitMs = this.#blindClaims === 0 ? 0 : Math.min(blindWaitMs * 2 ** this.#blindClaims, blindWaitMaxMs)
    if (waitMs === 0) return this.#suspectNow(false)
    if (this.#blindWaiting === epoch) return
    this.#blindWaiting = epoch
    this.#clock.after(waitMs, () => {
      this.#blindWaiting = 0
      if (this.#leadership.epoch === epoch && this.#link?.wasLinked === false) this.#suspectNow(false)
    })
  }

  #suspectNow(gone: boolean): void {
    if (this.#role !== 'following') return
    if (!this.#mayLead) {
      // Somebody else will; should nobody, the others may have left meanwhile.
      this.#clock.after(this.#options.times.suspicionMs, () => this.#link?.trust())
      return
    }
    const suspect = memberOf(this.#leadership.owner)
    const able = this.#members.filter((card) => !card.draining && card.member !== suspect)
    const rank = able.filter((card) => card.member < this.#options.card.member).length
    const others = this.#members.filter((card) => card.member !== suspect && card.member !== this.#options.card.member)
    this.#options.say('the leader is suspected', { ...this.#leadership, gone })
    this.#takeover.begin({
      epoch: this.#leadership.epoch,
      gone,
      rank,
      others,
      claim: () => {
        if (this.#role !== 'following') return
        if (this.#link && !this.#link.wasLinked) this.#blindClaims += 1
        this.#claim(this.#leadership.epoch)
      },
      newer: (leadership) => this.#follow(leadership, false),
      alive: () => this.#link?.trust(),
    })
  }

  /** Asks another coordinator whether it hears the leader of this epoch. */
  #ask(card: MemberCard, epoch: number, heard: (yes: boolean) => void): void {
    const link = this.#options.peers!.dial(card.address, {
      opened: () => link.send({ type: 'ask', epoch }),
      message: (message: PeerMessage) => {
        if (message.type !== 'heard') return
        heard(message.heard && message.epoch >= epoch)
        link.close()
      },
      closed: (refused) => {
        // Nobody is there who could hear the leader.
        if (refused) heard(false)
      },
    })
    this.#clock.after(this.#options.times.answerMs, () => link.close())
  }

  #claim(fromEpoch: number): void {
    this.#setRole('claiming')
    this.#takeover.forget()
    const turn = this.#begin()
    this.#options.log.claim(fromEpoch, this.#owner, (head) => {
      if (turn !== this.#turn || this.#role !== 'claiming') return
      if (head === undefined) {
        this.#clock.after(this.#options.times.againMs, () => {
          if (turn === this.#turn && this.#role === 'claiming') this.#claim(fromEpoch)
        })
      } else if (head === 'lost') {
        // Somebody else leads: whom this one followed until now is not to be suspected any more.
        this.#endLink()
        this.#setRole('following')
        this.#orient()
      } else this.#claimed(head)
    })
  }

  /** From now on nobody of an earlier epoch can write. What they have written is read first. */
  #claimed(head: Head): void {
    this.#leadership = { epoch: head.epoch, owner: this.#owner }
    this.#endLink()
    this.#endTail()
    this.#replica.catchUp(() => {
      if (this.#role !== 'claiming') return
      if (this.#replica.position < head.position) return this.#claimed(head)
      this.#lead()
    })
  }

  #lead(): void {
    this.#replica.handOver()
    const { epoch, owner } = this.#leadership
    const { clock, log, card } = this.#options
    let sentBefore = 0
    const leader = new Leader({
      clock,
      state: this.state,
      epoch,
      position: this.#replica.position,
      ...(this.#options.inputsMax === undefined ? {} : { inputsMax: this.#options.inputsMax }),
      ...(this.#options.admit === undefined ? {} : { admit: this.#options.admit }),
      ...(this.#options.scheduler === undefined ? {} : { scheduler: this.#options.scheduler }),
      ...(this.#options.appendFailuresMax === undefined ? {} : { appendFailuresMax: this.#options.appendFailuresMax }),
      append: (withEpoch, position, bytes, done) => {
        const sinceMs = clock.monotonicMs()
        // Of one that is sent again, 'ok' may mean that it was written then, and somebody has claimed since.
        const again = position === sentBefore
        sentBefore = position
        log.append(withEpoch, position, bytes, (outcome) => {
          if (outcome.type === 'ok' && !again) this.#confirmedMs = sinceMs
          done(outcome)
        })
      },
      ...(this.#options.peers
        ? { confirm: (done: (epoch: number | undefined) => void) => log.leadership((newest) => done(newest?.epoch)) }
        : {}),
      available: (worker) => this.#sessions?.isConnected(worker) ?? false,
      availableVersion: () => this.connectionsVersion,
      onCommitted: (entry) => {
        this.#replica.advanced(entry.position)
        this.#sessions?.committed(entry.events)
        this.#advanced(entry)
      },
      onDeposed: () => this.#deposed(),
      onFatal: (error) => this.#fatal(error),
      onHealth: this.#options.onHealth,
    })
    this.#leader = leader
    this.#confirmedMs = clock.monotonicMs()
    leader.take({ type: 'lead', epoch, owner, version: card.version }, (taken) => {
      if (taken.type === 'ok' && this.#leader === leader) this.#leading(leader)
    })
  }

  #leading(leader: Leader): void {
    const sessions = new WorkerSessions({
      clock: this.#clock,
      state: this.state,
      leader: () => leader,
      times: this.#options.sessionTimes,
      inputOf: this.#options.inputOf,
      confirmed: () => this.#confirmed,
      coordinators: () => Math.max(1, this.#members.length),
      onLive: (run, worker, message) => {
        this.#options.onLive(run, worker, message)
        this.#followers?.live(run.id, worker, message)
      },
      onConnected: (worker) => this.#tellConnected(worker),
      log: this.#options.say,
    })
    this.#sessions = sessions
    this.#connectionsVersion += 1
    this.#followers = new Followers({
      epoch: leader.epoch,
      position: () => leader.position,
      take: (input, done) => leader.take(input, done),
      openWorker: (socket) => sessions.connect(socket),
      connectedWorkers: () => sessions.connectedIds(),
      onSnapshotted: this.#options.onSnapshotted,
      onSnapshotFailed: (why) => this.#options.say('a snapshot could not be made', { why }),
      nowMs: () => this.#clock.monotonicMs(),
    })
    this.#led()
    this.#setRole('leading')
    sessions.expectKnown()
    this.#gateway.attach((socket) => sessions.connect(socket))
    this.#writes.attach((input, done) => leader.take(input, done))
    this.#raiseFormat()
    if (this.#options.peers) this.#beat(leader)
  }

  /** All workers come at once when somebody new leads: the others are told of many with one message. */
  #tellConnected(worker: string): void {
    this.#changedWorkers.add(worker)
    if (this.#changedWorkers.size > 1) return
    this.#clock.after(connectedDelayMs, () => {
      const changed = [...this.#changedWorkers]
      this.#changedWorkers = new Set()
      const sessions = this.#sessions
      if (!sessions) return
      const came = changed.filter((id) => sessions.isConnected({ id }))
      const went = changed.filter((id) => !sessions.isConnected({ id }))
      this.#followers?.connections(came, went)
    })
  }

  /** New kinds of events are written once every member can read them. */
  #raiseFormat(): void {
    if (this.#role !== 'leading') return
    // In a cluster, not before it is known who else is there.
    if (this.#options.peers && !this.#members.some((card) => card.member === this.#options.card.member)) return
    const format = Math.min(readableFormat, this.#options.card.format, ...this.#members.map((card) => card.format))
    if (format > this.state.format) this.submit({ type: 'raise-format', format }, () => undefined)
  }

  // ---- leading ----

  get #confirmed(): boolean {
    if (!this.#options.peers) return true
    const { leaseMs } = this.#options.sessionTimes
    return this.#clock.monotonicMs() - this.#confirmedMs <= leaseMs * confirmedPart
  }

  /** From the main loop: a leader that can't do this is none. */
  #beat(leader: Leader): void {
    this.#clock.after(this.#options.times.heartbeatMs, () => {
      if (this.#leader !== leader || leader.stopped) return
      // One that can't reach the log is no use as a leader, and doesn't say that it is one until it can.
      if (this.#confirmed) this.#followers?.alive()
      else this.#followers?.unsure()
      this.#lastLeaderSignMs = this.#clock.monotonicMs()
      const { leaseMs } = this.#options.sessionTimes
      if (this.#clock.monotonicMs() - this.#confirmedMs > (leaseMs * confirmedPart) / 2) this.#confirm(leader)
      this.#beat(leader)
    })
  }

  /** Asks the log whether it still leads; an idle leader would not learn otherwise. */
  #confirm(leader: Leader): void {
    if (this.#confirming) return
    this.#confirming = true
    const sinceMs = this.#clock.monotonicMs()
    this.#options.log.leadership((leadership) => {
      this.#confirming = false
      if (this.#leader !== leader || leadership === undefined) return
      if (leadership.epoch > leader.epoch) this.#deposed()
      else this.#confirmedMs = Math.max(this.#confirmedMs, sinceMs)
    })
  }

  /** Somebody else leads. What state may hold beyond the log is thrown away. */
  #deposed(): void {
    const leader = this.#leader
    if (!leader) return
    const clean = leader.settledNow
    this.#options.say('this coordinator no longer leads', { epoch: leader.epoch })
    this.#setRole(clean ? 'following' : 'loading')
    this.#leader = undefined
    this.#sessions?.abandon()
    this.#connectionsVersion += 1 + (this.#sessions?.connections ?? 0)
    this.#sessions = undefined
    this.#gateway.detach()
    this.#writes.detach()
    leader.abandon()
    this.#followers?.close(0, '')
    this.#followers = undefined
    if (clean) this.#orient()
    else this.#load()
  }

  /**
   * Hands leadership over, to the follower that is furthest unless one is named: no more entries are
   * begun, the heir claims, and what waits here goes to it. Should it not, this one goes on.
   */
  transfer(member: string | undefined, done: (error: MusterError | undefined) => void): void {
    const leader = this.#leader
    const leaving = new Set(this.#members.filter((card) => card.draining).map((card) => card.member))
    const heir = this.#followers?.heir(member, leaving)
    if (this.#role !== 'leading' || !leader || !heir) {
      const why =
        this.#role !== 'leading'
          ? 'this coordinator does not lead'
          : member === undefined
            ? 'no other coordinator follows this one'
            : member === this.#options.card.member
              ? `${member} leads already`
              : `no coordinator '${member}' follows this one`
      const hint = "'muster cluster status' lists those that can lead."
      return done(new MusterError('conflict', `Cannot hand over leadership: ${why}`, { hint }))
    }
    leader.hold(() => {
      if (this.#leader !== leader) return done(undefined)
      this.#followers?.yieldTo(heir.member, leader.position)
      const untilMs = this.#clock.monotonicMs() + this.#options.times.transferMs
      // Whoever is answered may ask at once who leads now.
      const left = (): void => {
        const { epoch } = this
        if (epoch > leader.epoch || this.#role === 'stopped' || this.#clock.monotonicMs() >= untilMs) done(undefined)
        else this.#clock.after(this.#options.times.againMs, left)
      }
      const look = (): void => {
        if (this.#leader !== leader) return left()
        this.#options.log.leadership((leadership) => {
          if (this.#leader !== leader) return left()
          if (leadership !== undefined && leadership.epoch > leader.epoch) {
            this.#deposed()
            return left()
          }
          if (this.#clock.monotonicMs() < untilMs) {
            this.#clock.after(this.#options.times.againMs, look)
            return
          }
          leader.release()
          done(new MusterError('unavailable', `${heir.member} did not take over in time; this coordinator goes on`))
        })
      }
      this.#clock.after(this.#options.times.againMs, look)
    })
  }

  /** A connection from another coordinator; feed it every message. */
  accept(link: PeerLink): { message(message: PeerMessage): void; closed(): void } {
    let follower: { message(message: FollowerMessage): void; closed(): void } | undefined
    return {
      message: (message) => {
        if (follower) return follower.message(message as FollowerMessage)
        if (message.type === 'ask') {
          const hears = this.#role === 'leading' || (this.#link?.linked === true && this.silentMs < this.#hearingMs)
          return link.send({ type: 'heard', epoch: this.epoch, heard: hears })
        }
        if (message.type !== 'follow') return link.close()
        if (this.#followers && this.#role === 'leading' && message.epoch <= this.epoch) {
          follower = this.#followers.accept(message, link)
          return
        }
        const { epoch, owner } = this.#leadership
        link.send({ type: 'not-leading', epoch, owner })
        link.close()
        if (message.epoch > this.epoch && this.#leader) this.#confirm(this.#leader)
      },
      closed: () => follower?.closed(),
    }
  }

  get #hearingMs(): number {
    return this.#options.times.suspicionMs / 2
  }
}

const lostLeader = { code: 'unavailable', message: 'the leader went away before it answered' } as const
