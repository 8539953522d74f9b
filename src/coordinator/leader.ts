/**
 * The leader loop: inputs in, one log entry, then effects. All inputs that arrive while an append is
 * under way form the next entry (group commit), so one append is in flight at a time and the rate of
 * inputs isn't bounded by the rate of syncs. No caller is answered and no effect is carried out
 * before the entry is durable. State runs at most that one entry ahead of the log; readers who must
 * not see it wait for `settled()`.
 *
 * When nobody knows whether an append was written, the same bytes are sent again to the same
 * position until somebody does: nothing else would be safe. Meanwhile inputs wait, and above
 * `inputsMax` they are turned away. A leader that finds another epoch is deposed: its state may hold
 * an entry that never was, and must be thrown away.
 *
 * Synchronous, with time and log given, so that the simulator runs this very loop.
 */
import { advance } from '../core/advance.ts'
import { tickDueMs } from '../core/breaker.ts'
import { nextDueMs } from '../core/due.ts'
import type { Event } from '../core/events.ts'
import { encodeEntry } from '../core/events.ts'
import { Refused, type Input } from '../core/input.ts'
import type { State, Worker } from '../core/state.ts'
import { MusterError } from '../protocol/errors.ts'
import { earlyProbes } from '../scheduling/early-probe.ts'
import { lookAgainMs, looksAgain } from '../scheduling/look-again.ts'
import { defaultStrategy } from '../scheduling/strategies/builtin.ts'
import type { Placement, Scheduler } from '../scheduling/strategy.ts'
import { systemClock, type Clock } from '../stdx/clock.ts'
import type { AppendOutcome } from './ports.ts'

export type Committed = {
  readonly position: number
  readonly atMs: number
  readonly events: readonly Event[]
  readonly bytes: Uint8Array
  /** From handing it to the log to knowing that it is durable; on the leader only. */
  readonly appendMs?: number
  /** Inputs that led to it; on the leader only. */
  readonly inputs?: number
  /** Times it was sent again because the outcome was unknown; on the leader only. */
  readonly retries?: number
}

/** What became of an input. */
export type Taken =
  /** Durable. `position`: of its entry, or of the last one when it changed nothing. */
  | { readonly type: 'ok'; readonly events: readonly Event[]; readonly position: number }
  | { readonly type: 'refused'; readonly error: Refused }
  /** `undecided`: it may turn out to be in the log. Otherwise nothing happened, and it may go elsewhere. */
  | { readonly type: 'unavailable'; readonly error: MusterError; readonly undecided: boolean }

export type LeaderOptions = {
  readonly append: (epoch: number, position: number, bytes: Uint8Array, done: (outcome: AppendOutcome) => void) => void
  /** Which epoch is the newest in the log now; undefined when it doesn't say. Without it there is no other coordinator. */
  readonly confirm?: (done: (epoch: number | undefined) => void) => void
  readonly clock?: Clock
  readonly state: State
  readonly epoch: number
  /** Position of the last entry in state. */
  readonly position: number
  readonly available: (worker: Worker) => boolean
  /** Another number whenever `available` may say something else; absent = asked for all workers at each round. */
  readonly availableVersion?: () => number
  /** Called once per durable entry, before the callers of its inputs are answered. Must not throw. */
  readonly onCommitted: (entry: Committed) => void
  /** Another coordinator has claimed the log. State can't be trusted any more. */
  readonly onDeposed: (epoch: number) => void
  /** The loop can't go on: a bug, or a medium that keeps failing. */
  readonly onFatal: (error: unknown) => void
  /** Trouble with the log began (its words, and of which kind) or ended (undefined). */
  readonly onHealth: (trouble: string | undefined, code?: LogTrouble) => void
  readonly inputsMax?: number
  /** Why an input is turned away for want of room; undefined: it is taken. Reports of workers are not asked about. */
  readonly admit?: (input: Input) => MusterError | undefined
  /** Default: the default strategy alone. */
  readonly scheduler?: Scheduler
  /** Tries of one append before the loop gives up; default: never. A full disk is waited for in any case. */
  readonly appendFailuresMax?: number
}

const plainScheduler: Scheduler = {
  place: (view) => defaultStrategy.place(view, undefined),
  refused: (placement, why) => {
    throw new Error(`the ${defaultStrategy.name} strategy broke a rule for run ${placement.run}: ${why}`)
  },
}

export type LogTrouble = 'log_failed' | 'disk_full'

type Waiting = { readonly input: Input; readonly done: (taken: Taken) => void }

/**
 * What workers say, and what follows from their silence: never turned away, whatever the load. How much of it there can
 * be is bounded by the window in which each worker has reports on the wire.
 */
const fromWorkers: ReadonlySet<Input['type']> = new Set([
  'join',
  'start',
  'report',
  'end',
  'leave',
  'recycled',
  'drain',
])

const retryFirstMs = 20
const retryMaxMs = 500
/**
 * What one entry is made of at most: a leader that thinks about one for longer than a moment is late with
 * everything else, and is taken for dead.
 */
const roundInputsMax = 1000
const roundPlacementsMax = 500
/** A single lost answer is no news. */
const failuresToTell = 3

export class Leader {
  readonly state: State
  readonly epoch: number
  readonly #options: LeaderOptions
  readonly #clock: Clock
  readonly #inputsMax: number
  /** An instant by both clocks: time as entries have it, and the monotonic one. */
  #sinceAtMs: number
  #sinceMonotonicMs: number
  #position: number
  readonly #queue: Waiting[] = []
  /** Whose events are being appended. */
  #inRound: Waiting[] = []
  /** A round is scheduled, or its append is under way. */
  #running = false
  #stopped = false
  /** How many want no more rounds. */
  #holds = 0
  /** Something may be placed that could not be before. */
  #again = false
  #troubled = false
  #appending = false
  #dueMs: number | undefined
  #forgetDue: () => void = () => undefined
  readonly #looks: (() => void)[] = []

  constructor(options: LeaderOptions) {
    this.#options = options
    this.#clock = options.clock ?? systemClock
    this.state = options.state
    this.#sinceAtMs = options.state.atMs
    this.#sinceMonotonicMs = this.#clock.monotonicMs()
    this.epoch = options.epoch
    this.#position = options.position
    this.#inputsMax = options.inputsMax ?? 100_000
  }

  get position(): number {
    return this.#position
  }

  /** Inputs that wait for the next entry. */
  get queued(): number {
    return this.#queue.length
  }

  get stopped(): boolean {
    return this.#stopped
  }

  /** State holds nothing that isn't durable. */
  get settledNow(): boolean {
    return !this.#appending
  }

  /** Calls back once the input's events are durable, or once it is clear that there will be none. */
  take(input: Input, done: (taken: Taken) => void): void {
    if (this.#stopped) return this.#clock.soon(() => done(unavailable(false)))
    const error = fromWorkers.has(input.type) ? undefined : this.#refusal(input)
    if (error) return this.#clock.soon(() => done({ type: 'unavailable', error, undecided: false }))
    this.#queue.push({ input, done })
    this.kick()
  }

  #refusal(input: Input): MusterError | undefined {
    if (this.#queue.length < this.#inputsMax) return this.#options.admit?.(input)
    return new MusterError('overloaded', `${this.#queue.length} requests are waiting for the log; try again later`)
  }

  /** As `take`: resolves with the events; rejects with Refused, or with MusterError when the loop is full or stopped. */
  submit(input: Input): Promise<readonly Event[]> {
    return new Promise((resolve, reject) => {
      this.take(input, (taken) => (taken.type === 'ok' ? resolve(taken.events) : reject(taken.error)))
    })
  }

  /** Starts a round, or asks for one more; also when only the availability of a worker changed. */
  kick(): void {
    this.#again = true
    if (this.#running || this.#stopped || this.#holds > 0) return
    this.#running = true
    this.#clock.soon(() => this.#next())
  }

  /** Resolves when state holds nothing that isn't durable. What is read must be read before anything is awaited. */
  settled(): Promise<void> {
    return new Promise((resolve) => this.between(resolve))
  }

  /** Calls `look` between two rounds, when state is exactly that of `position`: now, if no append is under way. */
  between(look: () => void): void {
    if (this.#running) this.#looks.push(look)
    else look()
  }

  /** Takes no more inputs; resolves when the last round is durable. */
  stop(): Promise<void> {
    return new Promise((resolve) => {
      this.between(() => {
        this.#stop(false)
        resolve()
      })
    })
  }

  /** Begins no more rounds and keeps the inputs that come; calls back when the last round is durable. */
  hold(held: () => void): void {
    this.#holds += 1
    this.between(held)
  }

  /** Once after each `hold`: goes on, unless others hold it. */
  release(): void {
    this.#holds -= 1
    if (this.#holds > 0) return
    if (this.#queue.length > 0 || this.#again) this.kick()
  }

  /** Ends this leader at once; callers learn that nobody knows what became of their inputs. */
  abandon(): void {
    this.#stop(true)
    // Whatever it could not write is the next leader's now; here nobody tries any more.
    this.#tellHealth(undefined)
  }

  #stop(undecided: boolean): void {
    if (this.#stopped) return
    this.#stopped = true
    this.#forgetDue()
    // Those of the round under way may be in the log; those that wait are not.
    for (const waiting of this.#inRound.splice(0)) waiting.done(unavailable(undecided))
    for (const waiting of this.#queue.splice(0)) waiting.done(unavailable(false))
    for (const look of this.#looks.splice(0)) look()
  }

  #next(): void {
    if (this.#stopped) return
    try {
      if (this.#looks.length > 0) {
        for (const look of this.#looks.splice(0)) look()
        // Who waited for `settled` reads now, before the next round touches state.
        if (!this.#idle) return this.#clock.later(() => this.#next())
      }
      if (this.#idle) {
        this.#running = false
        return this.#wakeWhenDue()
      }
      this.#again = false
      this.#inRound = this.#queue.splice(0, roundInputsMax)
      this.#round(this.#inRound)
    } catch (error) {
      this.#fail(error)
    }
  }

  /** What waits for its time is placed when that has come, also if nobody asks for anything. */
  #wakeWhenDue(): void {
    const nowMs = this.#nowMs()
    const dueMs = this.#stopped ? undefined : this.#nextDueMs(nowMs)
    if (dueMs === this.#dueMs) return
    this.#forgetDue()
    this.#dueMs = dueMs
    if (dueMs === undefined) return
    this.#forgetDue = this.#clock.after(Math.max(1, dueMs - nowMs), () => {
      this.#dueMs = undefined
      this.kick()
    })
  }

  /**
   * What entries are stamped with: wall time, unless that is behind what the log has come to (it jumped,
   * or the leader before was ahead). Time then goes on from there, so that nobody waits until it is made up for.
   */
  #nowMs(): number {
    const monotonicMs = this.#clock.monotonicMs()
    const wallMs = this.#clock.wallMs()
    const onwardsMs = Math.floor(this.#sinceAtMs + monotonicMs - this.#sinceMonotonicMs)
    if (wallMs <= onwardsMs) return Math.max(onwardsMs, this.state.atMs)
    this.#sinceAtMs = wallMs
    this.#sinceMonotonicMs = monotonicMs
    return wallMs
  }

  #nextDueMs(nowMs: number): number | undefined {
    const again = looksAgain(this.state) ? nowMs + lookAgainMs : Infinity
    const dueMs = Math.min(nextDueMs(this.state, nowMs) ?? Infinity, tickDueMs(this.state) ?? Infinity, again)
    return dueMs === Infinity ? undefined : dueMs
  }

  get #idle(): boolean {
    return this.#stopped || this.#holds > 0 || (!this.#again && this.#queue.length === 0)
  }

  #fail(error: unknown): void {
    if (this.#stopped) return
    this.#stop(true)
    this.#options.onFatal(error)
  }

  #round(round: readonly Waiting[]): void {
    const atMs = this.#nowMs()
    const events: Event[] = []
    const answers: ((position: number) => void)[] = []
    for (const waiting of round) {
      try {
        const led = advance(this.state, waiting.input, atMs)
        for (const event of led) events.push(event)
        answers.push((position) => waiting.done({ type: 'ok', events: led, position }))
      } catch (error) {
        // A refusal changed nothing. Anything else may have, and then state can't be trusted any more.
        if (!(error instanceof Refused)) throw error
        answers.push(() => waiting.done({ type: 'refused', error }))
      }
    }
    this.#placeAll(events, atMs)
    if (events.length === 0) return this.#confirm(answers, 0)
    const bytes = encodeEntry({ atMs, events })
    const entry = { position: this.#position + 1, atMs, events, bytes, inputs: round.length }
    this.#appending = true
    this.#append(entry, this.#clock.monotonicMs(), 0, (appendMs, retries) => {
      this.#appending = false
      this.#position = entry.position
      this.#again = true
      this.#options.onCommitted({ ...entry, appendMs, retries })
      this.#answer(answers)
    })
  }

  /**
   * Nothing is to be written, so nothing proves that this is still the leader: somebody else's log may
   * say otherwise. It is asked before anybody is told that there was nothing to do.
   */
  #confirm(answers: readonly ((position: number) => void)[], failures: number): void {
    const { confirm } = this.#options
    if (!confirm || answers.length === 0) return this.#answer(answers)
    confirm((epoch) => {
      if (this.#stopped) return
      try {
        if (epoch === this.epoch) return this.#answer(answers)
        if (epoch === undefined) return this.#later(failures, () => this.#confirm(answers, failures + 1))
        this.#stop(false)
        this.#options.onDeposed(epoch)
      } catch (error) {
        this.#fail(error)
      }
    })
  }

  #later(failures: number, call: () => void): void {
    this.#clock.after(Math.min(retryFirstMs * 2 ** Math.min(failures, 10), retryMaxMs), () => {
      if (!this.#stopped) call()
    })
  }

  #answer(answers: readonly ((position: number) => void)[]): void {
    this.#inRound = []
    for (const answer of answers) answer(this.#position)
    this.#next()
  }

  #placeAll(events: Event[], atMs: number): void {
    const { available, availableVersion } = this.#options
    const view = {
      state: this.state,
      available,
      ...(availableVersion === undefined ? {} : { availableVersion: availableVersion() }),
    }
    const take = (input: Input) => {
      for (const event of advance(this.state, input, atMs)) events.push(event)
    }
    // Breakers whose time has come, and those that must not keep a run waiting.
    if ((tickDueMs(this.state) ?? Infinity) <= atMs) take({ type: 'tick' })
    for (const probe of earlyProbes(view, atMs)) take(probe)
    const { scheduler = plainScheduler } = this.#options
    let placed = 0
    const assign = (next: Placement) => {
      try {
        take({ type: 'assign', ...next })
      } catch (error) {
        if (!(error instanceof Refused)) throw error
        scheduler.refused(next, error.message)
      }
      placed += 1
      // The rest with the next entry, which follows every entry.
      return placed < roundPlacementsMax
    }
    const round = { ...view, nowMs: atMs }
    if (scheduler.placeAll) scheduler.placeAll(round, assign)
    else for (const next of scheduler.place(round)) if (!assign(next)) break
    for (const fault of scheduler.takeFaults?.() ?? []) take(fault)
  }

  #append(
    entry: { readonly position: number; readonly bytes: Uint8Array },
    sinceMs: number,
    failures: number,
    written: (appendMs: number, retries: number) => void,
  ): void {
    this.#options.append(this.epoch, entry.position, entry.bytes, (outcome) => {
      if (this.#stopped) return
      try {
        switch (outcome.type) {
          case 'ok':
            this.#tellHealth(undefined)
            return written(this.#clock.monotonicMs() - sinceMs, failures)
          case 'fenced':
            this.#stop(true)
            return this.#options.onDeposed(outcome.epoch)
          case 'taken':
            throw new Error(`log position ${entry.position} holds an entry of somebody else under our own epoch`)
          default:
            this.#failed(outcome.why, outcome.code, failures + 1)
            this.#later(failures, () => this.#append(entry, sinceMs, failures + 1, written))
        }
      } catch (error) {
        this.#fail(error)
      }
    })
  }

  #failed(why: string, code: LogTrouble, failures: number): void {
    if (failures >= failuresToTell || code === 'disk_full') this.#tellHealth(why, code)
    // A full disk may be cleared while we wait; a medium that keeps failing wants a new process.
    const { appendFailuresMax = Infinity } = this.#options
    if (code !== 'disk_full' && failures >= appendFailuresMax) throw new MusterError(code, why)
  }

  #tellHealth(trouble: string | undefined, code?: LogTrouble): void {
    if (trouble === undefined && !this.#troubled) return
    this.#troubled = trouble !== undefined
    this.#options.onHealth(trouble, code)
  }
}

function unavailable(undecided: boolean): Taken {
  const error = new MusterError('unavailable', 'the coordinator has stopped, or is about to')
  return { type: 'unavailable', error, undecided }
}
