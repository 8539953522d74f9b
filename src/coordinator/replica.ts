/**
 * State as the log has it: loaded from the newest snapshot, then every entry after it, in order. What
 * it is handed may skip and repeat (the tail is a hint): a hole is read from the log. The state object
 * stays the same for life; what it holds is replaced when it can't be trusted any more.
 */
import { apply } from '../core/advance.ts'
import { decodeEntry } from '../core/events.ts'
import { emptyState, replaceState, type State } from '../core/state.ts'
import type { Entry, Snapshot } from '../log/log.ts'
import type { Clock } from '../stdx/clock.ts'
import type { Committed } from './leader.ts'
import type { LogPort } from './ports.ts'

export type ReplicaOptions = {
  readonly clock: Clock
  readonly log: LogPort
  readonly state: State
  /** State from a snapshot's bytes. Throws when it is of a version that this program can't read. */
  readonly restore: (snapshot: Snapshot) => State
  /** Called once per entry, after it was applied. */
  readonly onApplied: (entry: Committed) => void
  /** What state held is void; it now holds what a snapshot said. */
  readonly onReset: () => void
  /** State can't be had: the log or a snapshot can't be read by this program, or a hole in the log. */
  readonly onFatal: (error: unknown) => void
}

const readBytes = 8 * 1024 * 1024
const retryMs = 50
const retryMaxMs = 1000
/** A snapshot that should be there, and isn't: looked for again this often. */
const gapsMax = 10

export class Replica {
  readonly state: State
  readonly #options: ReplicaOptions
  position = 0
  /** Of the snapshot it was loaded from; 0 = none. */
  snapshotPosition = 0
  #reading: (() => void)[] | undefined
  /** Counts the owners of state: what a read brings that was begun under an earlier one is not applied. */
  #generation = 0
  #stopped = false

  constructor(options: ReplicaOptions) {
    this.#options = options
    this.state = options.state
  }

  stop(): void {
    this.#stopped = true
  }

  /** From nothing: newest snapshot, then the log to its present end. Whatever is being read is dropped. */
  load(done: () => void): void {
    this.#begin()
    this.#load(this.#finish(done), 0)
  }

  /** From now on somebody else changes state (the leader loop); nothing is applied until the next `load` or `catchUp`. */
  handOver(): void {
    this.#generation += 1
    this.#reading = undefined
  }

  #begin(): void {
    this.#generation += 1
    this.#reading = []
  }

  /** What follows a completed read: its caller, then those who asked meanwhile, for whom it looks once more. */
  #finish(done: () => void): () => void {
    return () => {
      const waiting = this.#reading ?? []
      const generation = this.#generation
      this.#reading = undefined
      done()
      if (waiting.length > 0 && generation === this.#generation) this.catchUp(() => waiting.forEach((one) => one()))
    }
  }

  /** The callback of a request to the log, unless state has another owner by the time it is called. */
  #current<T>(call: (value: T) => void): (value: T) => void {
    const generation = this.#generation
    return (value) => {
      if (!this.#stopped && generation === this.#generation) call(value)
    }
  }

  #load(done: () => void, failures: number): void {
    this.#options.log.snapshot(
      this.#current((snapshot) => {
        if (snapshot === undefined) return this.#again(failures, () => this.#load(done, failures + 1))
        try {
          this.#install(snapshot)
        } catch (error) {
          return this.#options.onFatal(error)
        }
        this.#read(done, 0, 0)
      }),
    )
  }

  #install(snapshot: Snapshot | 'none'): void {
    const fresh =
      snapshot === 'none' ? emptyState(this.state.limits, this.state.shares) : this.#options.restore(snapshot)
    replaceState(this.state, fresh)
    this.position = snapshot === 'none' ? 0 : snapshot.position
    this.snapshotPosition = this.position
    this.#options.onReset()
  }

  /** Reads what is missing up to the log's present end; calls back when nothing more is there. */
  catchUp(done: () => void): void {
    // What is under way may have looked before the caller's cause: it looks once more.
    if (this.#reading) return void this.#reading.push(done)
    this.#begin()
    this.#read(this.#finish(done), 0, 0)
  }

  get isReading(): boolean {
    return this.#reading !== undefined
  }

  #read(done: () => void, failures: number, gaps: number): void {
    this.#options.log.read(
      this.position + 1,
      readBytes,
      this.#current((result) => {
        if (result === undefined) return this.#again(failures, () => this.#read(done, failures + 1, gaps))
        if (result.type === 'trimmed') return this.#trimmed(result.firstPosition, done, gaps)
        if (result.entries.length === 0) return done()
        if (this.#applyAll(result.entries)) this.#read(done, 0, 0)
      }),
    )
  }

  /** Others have gone on and thrown away what we lack: a snapshot holds it. */
  #trimmed(firstPosition: number, done: () => void, gaps: number): void {
    this.#options.log.snapshot(
      this.#current((snapshot) => {
        if (snapshot !== undefined && snapshot !== 'none' && snapshot.position >= firstPosition - 1) {
          try {
            this.#install(snapshot)
          } catch (error) {
            return this.#options.onFatal(error)
          }
          return this.#read(done, 0, gaps)
        }
        if (snapshot !== undefined && gaps >= gapsMax) {
          const reaches =
            snapshot === 'none' ? 'there is no snapshot' : `the newest snapshot ends at ${snapshot.position}`
          return this.#options.onFatal(new Error(`Cannot read the log: it begins at ${firstPosition}, and ${reaches}`))
        }
        this.#again(gaps, () => this.#read(done, 0, gaps + 1))
      }),
    )
  }

  #again(failures: number, call: () => void): void {
    const again = this.#current<void>(call)
    this.#options.clock.after(Math.min(retryMs * 2 ** Math.min(failures, 10), retryMaxMs), () => again())
  }

  /** Takes a hint: applies what follows on, ignores what is known, reads when something is missing. */
  hint(entries: readonly Entry[], missing: () => void): void {
    if (this.#stopped) return
    const last = entries.at(-1)
    if (!last || last.position <= this.position) return
    if (this.isReading || !this.#applyAll(entries.filter((entry) => entry.position > this.position))) missing()
  }

  /** False when an entry was missing in between; what came before it is applied. */
  #applyAll(entries: readonly Entry[]): boolean {
    for (const entry of entries) {
      if (entry.position !== this.position + 1) return false
      try {
        const body = decodeEntry(entry.bytes)
        for (const event of body.events) apply(this.state, event, body.atMs)
        this.position = entry.position
        this.#options.onApplied({ position: entry.position, atMs: body.atMs, events: body.events, bytes: entry.bytes })
      } catch (error) {
        this.#stopped = true
        this.#options.onFatal(error)
        return false
      }
    }
    return true
  }

  /** The leader loop has changed state itself. */
  advanced(position: number): void {
    this.position = position
  }
}
