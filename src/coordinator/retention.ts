/**
 * Keeps restart time and disk bounded: snapshots the state and trims the log behind it, forgets the
 * oldest finished runs, and collects blobs that nothing names any more. The log is never trimmed past
 * what history has applied.
 */
import { promisify } from 'node:util'
import { zstdCompress } from 'node:zlib'
import type { Blobs } from '../blobs/blobs.ts'
import { capture } from '../core/snapshot.ts'
import type { Event } from '../core/events.ts'
import type { Log } from '../log/log.ts'
import { isMusterError } from '../protocol/errors.ts'
import { contextReferences, type Contexts } from './contexts.ts'
import { letterManifests, namedBlobs } from './named-blobs.ts'
import type { Committed } from './leader.ts'
import type { Seat } from './seat.ts'
import { workspaceBlobs } from './workspace-check.ts'

const compress = promisify(zstdCompress)

/** A snapshot is due after this much log, whichever comes first. */
const snapshotBytesMax = 16 * 1024 * 1024
const snapshotEntriesMax = 20_000
/**
 * Blobs that nothing names and nobody used for this long are dropped. Much longer than an input that names one can be
 * on its way, and than the day by which an S3 store's last use may lag.
 */
const blobIdleMs = 7 * 24 * 3_600_000
const collectEveryMs = 6 * 3_600_000
/** A shared log this full wants a snapshot whatever else; and this full, that histories which lag are left behind. */
const fillToSnapshot = 0.25
const fillToForceTrim = 0.6
/** A snapshot that was asked for and didn't come is asked for again. */
const requestAgainMs = 60_000

type RetentionOptions = {
  readonly log: Log
  readonly blobs: Blobs
  readonly contexts: Contexts
  readonly seat: Pick<
    Seat,
    | 'state'
    | 'role'
    | 'epoch'
    | 'position'
    | 'between'
    | 'submit'
    | 'followers'
    | 'loadedSnapshotPosition'
    | 'snapshotMade'
    | 'requestSnapshot'
  >
  /** What history here has applied; huge when there is none to wait for. */
  readonly historyPosition: () => number
  /** Of a shared log, against its own budget; 0 for others. */
  readonly fill: () => number
  /** Blobs that the log itself needs. */
  readonly logBlobs: () => Promise<readonly string[]>
  readonly say: (level: 'info' | 'warn', message: string, detail: Record<string, unknown>) => void
}

export class Retention {
  readonly #options: RetentionOptions
  /** Of the newest snapshot; 0 = none known, then nothing is trimmed. */
  #previousPosition = 0
  #bytes = 0
  #entries = 0
  #snapshotting: Promise<void> | undefined
  #collecting: Promise<void> | undefined
  #collectedAtMs = Date.now()
  #requestedAtMs = 0
  #pruning = false
  /** By run: when a run is forgotten, state no longer says which context was its own. */
  #contexts: Map<string, string> = new Map()
  #removing: Promise<void> = Promise.resolve()

  constructor(options: RetentionOptions) {
    this.#options = options
  }

  committed(entry: Committed): void {
    this.#bytes += entry.bytes.length
    this.#entries += 1
    for (const event of entry.events) {
      if (event.type === 'run.finished') this.#prune()
      else if (event.type === 'run.forgotten' || event.type.startsWith('dead-letter.')) this.#dropContext(event)
    }
  }

  /** Kept while state knows the run, or dead letters of it that may be replayed. */
  #dropContext(event: Event): void {
    if (!('run' in event)) return
    const { contexts, seat } = this.#options
    const { state } = seat
    if (state.runs.has(event.run) || state.letters.sources.has(event.run)) return
    const reference = this.#contexts.get(event.run) ?? ''
    this.#contexts.delete(event.run)
    // One member is enough; should it end before, the collector or the next start finds what nothing refers to.
    if (reference === '' || seat.role !== 'leading') return
    this.#removing = this.#removing.then(() => this.#guard(contexts.remove(reference)))
  }

  #prune(): void {
    const { seat } = this.#options
    if (this.#pruning || seat.role !== 'leading') return
    this.#rememberContexts()
    this.#pruning = true
    seat.submit({ type: 'prune' }, () => {
      this.#pruning = false
    })
  }

  #rememberContexts(): void {
    for (const [run, reference] of contextReferences(this.#options.seat.state)) this.#contexts.set(run, reference)
  }

  /** Once a second, on the leader. */
  tick(): void {
    const { seat, fill } = this.#options
    if (this.#contexts.size === 0) this.#rememberContexts()
    const grown = this.#bytes > snapshotBytesMax || this.#entries > snapshotEntriesMax
    const due = grown || (fill() > fillToSnapshot && this.#wouldTrim)
    // A follower makes it, if there is one: the leader has its hands full. It says so by `snapshotted`.
    if (due && !this.#snapshotting && Date.now() - this.#requestedAtMs > requestAgainMs) {
      this.#requestedAtMs = Date.now()
      if (!seat.requestSnapshot()) {
        this.#snapshotting = this.#guard(this.snapshot()).finally(() => {
          this.#snapshotting = undefined
          this.#requestedAtMs = 0
        })
      }
    }
    if (!this.#collecting && Date.now() - this.#collectedAtMs > collectEveryMs) {
      this.#collectedAtMs = Date.now()
      this.#collecting = this.#guard(this.collect(Date.now())).finally(() => {
        this.#collecting = undefined
      })
    }
  }

  /** Whether another snapshot would let the log be trimmed further, or a history that lags keeps it anyway. */
  get #wouldTrim(): boolean {
    return this.#options.fill() > fillToForceTrim || this.#historiesPosition >= this.#previousPosition
  }

  /** What every history that is known of has applied. */
  get #historiesPosition(): number {
    const { historyPosition, seat } = this.#options
    return Math.min(historyPosition(), ...seat.followers.map((follower) => follower.history))
  }

  /** Makes a snapshot and trims the log behind the one before it. */
  async snapshot(): Promise<void> {
    const { position } = await this.#store()
    await this.#trim(position)
  }

  /** On a follower that was asked to: makes one; the leader trims. */
  async snapshotFor(
    done: (result: { readonly position: number; readonly bytes: number } | { readonly why: string }) => void,
  ): Promise<void> {
    try {
      const stored = await this.#store()
      this.#previousPosition = stored.position
      this.#options.seat.snapshotMade(stored.position)
      done(stored)
    } catch (error) {
      done({ why: error instanceof Error ? error.message : String(error) })
    }
  }

  /** On the leader: a follower has made one. */
  async snapshotted(position: number): Promise<void> {
    this.#bytes = 0
    this.#entries = 0
    this.#requestedAtMs = 0
    await this.#guard(this.#trim(position))
  }

  async #store(): Promise<{ position: number; bytes: number }> {
    const { seat, log } = this.#options
    const { position, epoch, text } = await new Promise<{ position: number; epoch: number; text: string }>(
      (resolve) => {
        seat.between(() => {
          this.#bytes = 0
          this.#entries = 0
          resolve({ position: seat.position, epoch: seat.epoch, text: JSON.stringify(capture(seat.state)) })
        })
      },
    )
    const bytes = await compress(Buffer.from(text))
    await log.putSnapshot(epoch, { position, bytes })
    this.#options.say('info', 'snapshot taken', { position, bytes: bytes.length })
    return { position, bytes: bytes.length }
  }

  /**
   * To the older of the two snapshots that are kept: should the newest not verify, the other one must
   * still join up with the log. And not past what a history has applied, unless the log runs full; nor past what
   * a leader knows of: where it repeats an append whose answer got lost, the entry must still be there to be compared.
   */
  async #trim(newest: number): Promise<void> {
    const { seat, log, fill } = this.#options
    const previous = Math.max(this.#previousPosition, Math.min(seat.loadedSnapshotPosition, newest))
    this.#previousPosition = newest
    seat.snapshotMade(newest)
    const needed = fill() > fillToForceTrim ? previous : Math.min(previous, this.#historiesPosition)
    if (seat.role === 'leading') await log.trim(Math.min(needed, seat.position) + 1)
  }

  async collect(nowMs: number): Promise<void> {
    const { blobs, contexts, seat } = this.#options
    const named = namedBlobs(seat.state)
    for (const key of await this.#options.logBlobs()) named.add(key)
    for (const reference of contextReferences(seat.state).values()) {
      const key = contexts.blobKey(reference)
      if (key !== undefined) named.add(key)
    }
    for (const manifest of letterManifests(seat.state)) {
      for (const key of (await workspaceBlobs(blobs, manifest)) ?? []) named.add(key)
    }
    const idle: string[] = []
    for await (const blob of blobs.list()) {
      if (nowMs - blob.usedAtMs >= blobIdleMs && !named.has(blob.key)) idle.push(blob.key)
    }
    const dropped = await blobs.removeUnused(idle, nowMs - blobIdleMs)
    if (dropped > 0) this.#options.say('info', 'dropped unused blobs', { dropped })
  }

  async #guard(work: Promise<unknown>): Promise<void> {
    try {
      await work
    } catch (error) {
      this.#options.say('warn', isMusterError(error) ? error.message : String(error), {})
    }
  }

  async stop(): Promise<void> {
    await this.#snapshotting
    await this.#collecting
    await this.#removing
  }
}
