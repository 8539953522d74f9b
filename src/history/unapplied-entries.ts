/**
 * Entries handed over and not yet known to be in the database, oldest first. A part of them is on its
 * way to the process; that part is bounded too, so that a slow process doesn't pile them up in the
 * pipe. After a restart everything is sent again (`rewind`).
 */
import type { FedEntry } from './messages.ts'

const sentBytesMax = 8 * 1024 * 1024
/** Small entries cost more than their bytes. */
const entryBytes = 256

export class UnappliedEntries {
  readonly #bytesMax: number
  #entries: FedEntry[] = []
  #bytes = 0
  /** How many from the front have been sent. */
  #sent = 0
  #sentBytes = 0
  #waiting: (() => void)[] = []

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax
  }

  add(entry: FedEntry): void {
    this.#entries.push(entry)
    this.#bytes += entry.bytes.length + entryBytes
  }

  /** Resolves when there is room for more. */
  room(): Promise<void> {
    if (this.#bytes <= this.#bytesMax) return Promise.resolve()
    return new Promise((resolve) => this.#waiting.push(resolve))
  }

  takeToSend(): readonly FedEntry[] {
    const from = this.#sent
    while (this.#sent < this.#entries.length && this.#sentBytes < sentBytesMax) {
      this.#sentBytes += this.#entries[this.#sent]!.bytes.length + entryBytes
      this.#sent += 1
    }
    return this.#entries.slice(from, this.#sent)
  }

  dropThrough(position: number): void {
    let count = 0
    for (const entry of this.#entries) {
      if (entry.position > position) break
      this.#bytes -= entry.bytes.length + entryBytes
      if (count < this.#sent) this.#sentBytes -= entry.bytes.length + entryBytes
      count += 1
    }
    this.#entries = this.#entries.slice(count)
    this.#sent = Math.max(0, this.#sent - count)
    if (this.#bytes <= this.#bytesMax) this.#release()
  }

  rewind(): void {
    this.#sent = 0
    this.#sentBytes = 0
  }

  clear(): void {
    this.#entries = []
    this.#bytes = 0
    this.rewind()
    this.#release()
  }

  #release(): void {
    const waiting = this.#waiting
    this.#waiting = []
    for (const resolve of waiting) resolve()
  }
}
