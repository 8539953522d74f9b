/**
 * Reports that the coordinator has not acknowledged, in the order of their sequence numbers. The
 * worker's own is the file-backed `Spool`; this one, in memory and without limits, is for whoever
 * runs the protocol without a disk.
 */
export type OutboxEntry = { readonly seq: number; readonly batch: string; readonly text: string }

export interface Outbox {
  /** Unacknowledged entries. */
  readonly size: number
  /** `body` is a JSON object without `seq`. Returns its number; numbers begin at 1 and have no holes. */
  append(batch: string, body: string): number
  /** The next entry to put on the wire; undefined when enough is on it or nothing waits. */
  next(): OutboxEntry | undefined
  /** Everything up to and including `seq` need never be sent again. */
  acknowledge(seq: number): void
  /** Everything unacknowledged is given out again, from the oldest. */
  rewind(): void
  /** Drops a batch's reports. Only straight after `rewind`. */
  forget(batch: string): void
}

export function numbered(seq: number, body: string): string {
  return `{"seq":${seq},${body.slice(1)}`
}

export class MemoryOutbox implements Outbox {
  #seq = 0
  #sent = 0
  #entries: OutboxEntry[] = []

  get size(): number {
    return this.#entries.length
  }

  append(batch: string, body: string): number {
    this.#seq += 1
    this.#entries.push({ seq: this.#seq, batch, text: numbered(this.#seq, body) })
    return this.#seq
  }

  next(): OutboxEntry | undefined {
    const entry = this.#entries[this.#sent]
    if (entry !== undefined) this.#sent += 1
    return entry
  }

  acknowledge(seq: number): void {
    const kept = this.#entries.findIndex((entry) => entry.seq > seq)
    const dropped = kept === -1 ? this.#entries.length : kept
    this.#entries.splice(0, dropped)
    this.#sent = Math.max(0, this.#sent - dropped)
  }

  rewind(): void {
    this.#sent = 0
  }

  forget(batch: string): void {
    this.#entries = this.#entries.filter((entry) => entry.batch !== batch)
  }
}
