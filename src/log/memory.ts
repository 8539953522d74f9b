/**
 * The log in memory: for tests, the simulator and one-off runs that nobody will ask about later.
 * The medium is separate from the log, so that a test can "restart" by opening a second log on the
 * same medium, and two logs on one medium fence each other as two processes would.
 * Leaves out: any bound on memory (trim is the bound) and any durability.
 */
import { MusterError } from '../protocol/errors.ts'
import { assert } from '../stdx/assert.ts'
import { deposed, judgeAppend, sameBytes, takeWithin } from './append-rules.ts'
import type { AppendResult, Entry, Head, Log, ReadResult, Snapshot } from './log.ts'

const snapshotsKept = 2

/** What would be on the disk. */
export class MemoryMedium {
  epoch = 0
  firstPosition = 1
  entries: Entry[] = []
  /** Oldest first. */
  snapshots: Snapshot[] = []

  get lastPosition(): number {
    return this.firstPosition + this.entries.length - 1
  }

  at(position: number): Entry | undefined {
    return this.entries[position - this.firstPosition]
  }
}

export class MemoryLog implements Log {
  readonly #medium: MemoryMedium
  #closed = false

  constructor(medium: MemoryMedium = new MemoryMedium()) {
    this.#medium = medium
  }

  async claim(_owner: string): Promise<Head> {
    this.#open().epoch += 1
    return this.head()
  }

  async append(epoch: number, position: number, bytes: Uint8Array): Promise<AppendResult> {
    const medium = this.#open()
    const held = medium.at(position)
    const verdict = judgeAppend({
      epoch,
      position,
      currentEpoch: medium.epoch,
      lastPosition: medium.lastPosition,
      held: held && { epoch: held.epoch, same: sameBytes(held.bytes, bytes) },
    })
    if (verdict !== 'write') return verdict
    // A copy: the caller may reuse its buffer, and a disk wouldn't notice.
    medium.entries.push({ position, epoch, bytes: bytes.slice() })
    return { type: 'ok' }
  }

  async read(from: number, maxBytes: number): Promise<ReadResult> {
    const medium = this.#open()
    if (from < medium.firstPosition) return { type: 'trimmed', firstPosition: medium.firstPosition }
    const entries = takeWithin(
      medium.entries.slice(from - medium.firstPosition, from - medium.firstPosition + 100_000),
      maxBytes,
    )
    return { type: 'entries', entries }
  }

  async head(): Promise<Head> {
    const medium = this.#open()
    return { position: medium.lastPosition, epoch: medium.epoch, firstPosition: medium.firstPosition }
  }

  async putSnapshot(epoch: number, snapshot: Snapshot): Promise<void> {
    const medium = this.#open()
    if (epoch !== medium.epoch) throw deposed('store a snapshot', epoch, medium.epoch)
    assert(
      snapshot.position <= medium.lastPosition,
      `snapshot at ${snapshot.position} is above the log's head ${medium.lastPosition}`,
    )
    const others = medium.snapshots.filter((one) => one.position !== snapshot.position)
    medium.snapshots = [...others, { position: snapshot.position, bytes: snapshot.bytes.slice() }]
      .sort((a, b) => a.position - b.position)
      .slice(-snapshotsKept)
  }

  async getSnapshot(): Promise<Snapshot | undefined> {
    return this.#open().snapshots.at(-1)
  }

  async trim(below: number): Promise<void> {
    const medium = this.#open()
    const newest = medium.snapshots.at(-1)?.position ?? 0
    assert(below <= newest + 1, `trim below ${below}: the newest snapshot is at ${newest}`)
    if (below <= medium.firstPosition) return
    medium.entries.splice(0, below - medium.firstPosition)
    medium.firstPosition = below
  }

  async sizeBytes(): Promise<number> {
    const medium = this.#open()
    return [...medium.entries, ...medium.snapshots].reduce((sum, one) => sum + one.bytes.length, 0)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true
  }

  #open(): MemoryMedium {
    if (this.#closed) throw new MusterError('log_failed', 'The log is closed')
    return this.#medium
  }
}
