/**
 * The leader loop: inputs in, one log entry, then effects. All inputs that arrive while an append is
 * under way form the next entry (group commit), so one append is in flight at a time and the rate of
 * inputs isn't bounded by the rate of syncs. No caller is answered and no effect is carried out
 * before the entry is durable. State runs at most that one entry ahead of the log; readers who must
 * not see it wait for `settled()`.
 *
 * When an append fails for want of space or a passing fault, the same bytes are tried again at the
 * same position until it works: nothing else would be safe, because the outcome is unknown.
 * Meanwhile inputs wait, and above `inputsMax` they are turned away.
 */
import { advance } from '../core/advance.ts'
import type { Event } from '../core/events.ts'
import { encodeEntry } from '../core/events.ts'
import { Refused, type Assign, type Input } from '../core/input.ts'
import type { State, Worker } from '../core/state.ts'
import type { Log } from '../log/log.ts'
import { MusterError } from '../protocol/errors.ts'
import { place } from '../scheduling/place.ts'

export type Committed = {
  readonly position: number
  readonly atMs: number
  readonly events: readonly Event[]
  readonly bytes: Uint8Array
}

export type LeaderOptions = {
  readonly log: Log
  readonly state: State
  readonly epoch: number
  /** Position of the last entry in state. */
  readonly position: number
  readonly available: (worker: Worker) => boolean
  /** Called once per durable entry, before the callers of its inputs are answered. Must not throw. */
  readonly onCommitted: (entry: Committed) => void
  /** The loop can't go on: another leader, or state that can't be trusted. */
  readonly onFatal: (error: unknown) => void
  /** Trouble with the log began (its words) or ended (undefined). */
  readonly onHealth: (trouble: string | undefined) => void
  readonly now?: () => number
  readonly inputsMax?: number
}

type Waiting = {
  readonly input: Input
  readonly resolve: (events: readonly Event[]) => void
  readonly reject: (error: unknown) => void
}

const appendRetryMs = 500
const appendFailuresMax = 20

export class Leader {
  readonly state: State
  readonly epoch: number
  readonly #options: LeaderOptions
  readonly #now: () => number
  readonly #inputsMax: number
  #position: number
  #queue: Waiting[] = []
  #running = false
  #stopped = false
  /** Something may be placed that could not be before. */
  #again = false
  readonly #looks: (() => void)[] = []

  constructor(options: LeaderOptions) {
    this.#options = options
    this.state = options.state
    this.epoch = options.epoch
    this.#position = options.position
    this.#now = options.now ?? Date.now
    this.#inputsMax = options.inputsMax ?? 100_000
  }

  get position(): number {
    return this.#position
  }

  /** Resolves with the events it led to once they are durable; rejects with Refused, or MusterError when the loop is full or stopped. */
  submit(input: Input): Promise<readonly Event[]> {
    return new Promise((resolve, reject) => {
      if (this.#stopped) return reject(stoppedError())
      if (this.#queue.length >= this.#inputsMax) {
        return reject(
          new MusterError('overloaded', `${this.#queue.length} requests are waiting for the log; try again later`),
        )
      }
      this.#queue.push({ input, resolve, reject })
      this.kick()
    })
  }

  /** Starts a round, or asks for one more; also when only the availability of a worker changed. */
  kick(): void {
    this.#again = true
    if (this.#running || this.#stopped) return
    this.#running = true
    queueMicrotask(() => void this.#run())
  }

  /** Resolves when state holds nothing that isn't durable. What is read must be read before anything is awaited. */
  settled(): Promise<void> {
    return this.between(() => undefined)
  }

  /**
   * Calls `read` between two rounds, when state is exactly that of `position`, and resolves with what
   * it returns. The call itself is synchronous: by the time a promise has resolved, the next round
   * may have begun.
   */
  between<T>(read: () => T): Promise<T> {
    return new Promise((resolve, reject) => {
      const look = () => {
        try {
          resolve(read())
        } catch (error) {
          reject(error as Error)
        }
      }
      if (this.#running) this.#looks.push(look)
      else look()
    })
  }

  /** Takes no more inputs; resolves when the last round is durable. */
  stop(): Promise<void> {
    return this.between(() => {
      this.#stopped = true
    })
  }

  get stopped(): boolean {
    return this.#stopped
  }

  async #run(): Promise<void> {
    try {
      while (!this.#stopped && (this.#again || this.#queue.length > 0)) {
        this.#again = false
        const round = this.#queue
        this.#queue = []
        if (await this.#round(round)) this.#again = true
        if (this.#looks.length === 0) continue
        for (const look of this.#looks.splice(0)) look()
        // Who waited for `settled` reads now, before the next round touches state.
        await new Promise((resolve) => setImmediate(resolve))
      }
    } catch (error) {
      this.#stopped = true
      this.#options.onFatal(error)
    } finally {
      this.#running = false
      for (const look of this.#looks.splice(0)) look()
      if (this.#stopped) for (const waiting of this.#queue.splice(0)) waiting.reject(stoppedError())
    }
  }

  /** One entry. Returns whether anything was written. */
  async #round(round: readonly Waiting[]): Promise<boolean> {
    const atMs = Math.max(this.#now(), this.state.atMs)
    const events: Event[] = []
    const answers: (() => void)[] = []
    for (const waiting of round) {
      try {
        const led = advance(this.state, waiting.input, atMs)
        for (const event of led) events.push(event)
        answers.push(() => waiting.resolve(led))
      } catch (error) {
        // A refusal changed nothing. Anything else may have, and then state can't be trusted any more.
        if (!(error instanceof Refused)) {
          for (const one of round) one.reject(stoppedError())
          throw error
        }
        answers.push(() => waiting.reject(error))
      }
    }
    this.#placeAll(events, atMs)
    if (events.length > 0) {
      const bytes = encodeEntry({ atMs, events })
      const position = this.#position + 1
      try {
        await this.#append(position, bytes)
      } catch (error) {
        for (const waiting of round) waiting.reject(stoppedError())
        throw error
      }
      this.#position = position
      this.#options.onCommitted({ position, atMs, events, bytes })
    }
    for (const answer of answers) answer()
    return events.length > 0
  }

  #placeAll(events: Event[], atMs: number): void {
    const view = { state: this.state, available: this.#options.available }
    for (let next: Assign | undefined = place(view, atMs); next; next = place(view, atMs)) {
      for (const event of advance(this.state, next, atMs)) events.push(event)
    }
  }

  async #append(position: number, bytes: Uint8Array): Promise<void> {
    for (let failures = 1; ; failures += 1) {
      try {
        const result = await this.#options.log.append(this.epoch, position, bytes)
        if (result.type === 'ok') {
          this.#options.onHealth(undefined)
          return
        }
        throw new Error(
          result.type === 'fenced'
            ? `another coordinator took over (epoch ${result.epoch})`
            : `log position ${position} holds an entry of somebody else`,
        )
      } catch (error) {
        if (!(error instanceof MusterError)) throw error
        this.#options.onHealth(error.message)
        // A full disk may be cleared while we wait; a medium that keeps failing wants a new process.
        if (error.code !== 'disk_full' && failures >= appendFailuresMax) throw error
        await new Promise((resolve) => setTimeout(resolve, appendRetryMs))
      }
    }
  }
}

function stoppedError(): MusterError {
  return new MusterError('unavailable', 'the coordinator has stopped, or is about to')
}
