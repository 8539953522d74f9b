/**
 * The medium of the shared log, as an etcd behind a network gives it: each request takes effect at one
 * instant, whole. What may go wrong on the way there and back is the port's part (`log-access.ts`).
 * An append is judged by the rules of every backend; what those would refuse with an assertion, an entry
 * beyond the next position, is told to the checker instead.
 */
import { judgeAppend, sameBytes, takeWithin } from '../../log/append-rules.ts'
import type { AppendResult, Entry, Head, Leadership, ReadResult, Snapshot } from '../../log/log.ts'

const snapshotsKept = 2

export type Written = { readonly entry: Entry; readonly byProcess: string }

export class LogStore {
  epoch = 0
  owner = ''
  firstPosition = 1
  lastPosition = 0
  /** Oldest first. */
  snapshots: Snapshot[] = []
  /** Requests aren't answered while it is above 0: no quorum. */
  away = 0
  /** Writes fail while it is above 0: no space. */
  full = 0
  /** Every write takes so much longer. */
  slowMs = 0
  readonly #entries = new Map<number, Entry>()
  #revision = 0
  #claimedFrom = -1
  onWritten: (written: Written) => void = () => {}
  /** Somebody asked for an entry beyond the next position. */
  onHole: (position: number, byProcess: string) => void = () => {}
  onClaimed: (leadership: Leadership) => void = () => {}
  onTrimmed: (below: number) => void = () => {}

  at(position: number): Entry | undefined {
    return this.#entries.get(position)
  }

  append(epoch: number, position: number, bytes: Uint8Array, byProcess: string): AppendResult & { repeat?: boolean } {
    const held = this.#entries.get(position)
    if (position > this.lastPosition + 1 && epoch === this.epoch) this.onHole(position, byProcess)
    const verdict = judgeAppend({
      epoch,
      position,
      currentEpoch: this.epoch,
      lastPosition: Math.max(this.lastPosition, position - 1),
      held: held && { epoch: held.epoch, same: sameBytes(held.bytes, bytes) },
    })
    if (verdict !== 'write') return verdict.type === 'ok' ? { type: 'ok', repeat: true } : verdict
    this.write({ position, epoch, bytes }, byProcess)
    return { type: 'ok' }
  }

  /** Whatever was there before; the rules are the caller's. */
  write(entry: Entry, byProcess: string): void {
    this.#revision += 1
    this.#entries.set(entry.position, entry)
    this.lastPosition = Math.max(this.lastPosition, entry.position)
    this.onWritten({ entry, byProcess })
  }

  claim(fromEpoch: number, owner: string): (Head & { repeat?: boolean }) | 'lost' {
    if (fromEpoch !== this.epoch) {
      // Its own claim, whose answer got lost.
      const own = this.owner === owner && this.#claimedFrom === fromEpoch
      return own ? { ...this.head(), repeat: true } : 'lost'
    }
    return this.seize(owner, fromEpoch)
  }

  /** Makes `owner` the leader whoever was. */
  seize(owner: string, fromEpoch: number): Head {
    this.#revision += 1
    this.epoch = this.#revision
    this.owner = owner
    this.#claimedFrom = fromEpoch
    this.onClaimed(this.leadership())
    return this.head()
  }

  leadership(): Leadership {
    return { epoch: this.epoch, owner: this.owner }
  }

  head(): Head {
    return { position: this.lastPosition, epoch: this.epoch, firstPosition: this.firstPosition }
  }

  read(from: number, maxBytes: number): ReadResult {
    if (from < this.firstPosition) return { type: 'trimmed', firstPosition: this.firstPosition }
    return { type: 'entries', entries: takeWithin(this.#following(from), maxBytes) }
  }

  *#following(from: number): Generator<Entry> {
    for (let at = from; at <= this.lastPosition; at += 1) {
      const entry = this.#entries.get(at)
      if (entry !== undefined) yield entry
    }
  }

  putSnapshot(snapshot: Snapshot): void {
    const others = this.snapshots.filter((one) => one.position !== snapshot.position)
    this.snapshots = [...others, snapshot].sort((a, b) => a.position - b.position).slice(-snapshotsKept)
  }

  trim(below: number): void {
    if (below <= this.firstPosition) return
    for (let at = this.firstPosition; at < below; at += 1) this.#entries.delete(at)
    this.firstPosition = below
    this.onTrimmed(below)
  }
}
