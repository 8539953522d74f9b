/**
 * The outbox of a real worker: reports that the coordinator has not acknowledged. A window of them
 * is in memory and on the wire; what doesn't fit waits in a file, so that a long outage or a slow
 * coordinator costs disk and not memory. When the disk is full as well, the rest waits in memory, up to a limit at
 * which the worker ends and what it held is run elsewhere. It outlives connections, not the worker's process: sequence
 * numbers and the worker's id begin anew with every process.
 */
import {
  closeSync,
  existsSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readdirSync,
  readSync,
  rmSync,
  writeSync,
} from 'node:fs'
import path from 'node:path'
import { MusterError } from '../protocol/errors.ts'
import { assert } from '../stdx/assert.ts'
import { numbered, type Outbox, type OutboxEntry } from './outbox.ts'

/** UTF-16 units held in memory: sent and not acknowledged, or about to be sent. */
const memoryMax = 8 * 1024 * 1024
/** Sent and not acknowledged, at most. */
const windowMax = 4 * 1024 * 1024
/** UTF-16 units that a full disk has no room for. */
const overflowMax = 64 * 1024 * 1024

export class Spool implements Outbox {
  readonly #file: string
  #seq = 0
  /** Unacknowledged, oldest first; the first `#sent` of them are on the wire. */
  #memory: OutboxEntry[] = []
  #head = 0
  #sent = 0
  #memorySize = 0
  #windowSize = 0
  /** Entries on disk: sizes in bytes, oldest first; all younger than those in memory. */
  #disk: { readonly seq: number; readonly batch: string; readonly bytes: number }[] = []
  #diskHead = 0
  #diskReadAt = 0
  #diskWriteAt = 0
  #fd: number | undefined
  /** Younger than all on disk, which is full. */
  #overflow: OutboxEntry[] = []
  #overflowSize = 0
  /** Batches whose entries on disk are to be passed over. */
  readonly #forgotten = new Set<string>()

  constructor(directory: string, worker: string) {
    this.#file = path.join(directory, `${worker}.${process.pid}.jsonl`)
  }

  get size(): number {
    return this.#memory.length - this.#head + this.#disk.length - this.#diskHead + this.#overflow.length
  }

  get bytesOnDisk(): number {
    return this.#diskWriteAt
  }

  append(batch: string, body: string): number {
    this.#seq += 1
    const entry = { seq: this.#seq, batch, text: numbered(this.#seq, body) }
    const waits = this.#disk.length > this.#diskHead || this.#overflow.length > 0
    if (!waits && this.#memorySize + entry.text.length <= memoryMax) this.#toMemory(entry)
    else if (this.#overflow.length > 0 || !this.#toDisk(entry)) this.#toOverflow(entry)
    return this.#seq
  }

  /** The next entry to put on the wire, or undefined when the window is full or nothing waits. */
  next(): OutboxEntry | undefined {
    if (this.#windowSize >= windowMax) return undefined
    if (this.#head + this.#sent === this.#memory.length) this.#refill()
    const entry = this.#memory[this.#head + this.#sent]
    if (entry === undefined) return undefined
    this.#sent += 1
    this.#windowSize += entry.text.length
    return entry
  }

  /** Everything up to and including `seq` need never be sent again. */
  acknowledge(seq: number): void {
    for (;;) {
      const entry = this.#memory[this.#head]
      if (entry === undefined || entry.seq > seq) break
      this.#head += 1
      this.#memorySize -= entry.text.length
      if (this.#sent > 0) {
        this.#sent -= 1
        this.#windowSize -= entry.text.length
      }
    }
    if (this.#head > 1024 && this.#head * 2 > this.#memory.length) {
      this.#memory = this.#memory.slice(this.#head)
      this.#head = 0
    }
    if (this.#head === this.#memory.length) {
      this.#memory = []
      this.#head = 0
    }
  }

  /** A new connection: everything unacknowledged is sent again, from the oldest. */
  rewind(): void {
    this.#sent = 0
    this.#windowSize = 0
  }

  /** Its reports are of no use to anybody. Only between connections (before anything is sent again). */
  forget(batch: string): void {
    assert(this.#sent === 0, 'spool: forget() while reports are on the wire')
    const kept = this.#memory.slice(this.#head).filter((entry) => entry.batch !== batch)
    this.#memory = kept
    this.#head = 0
    this.#memorySize = kept.reduce((sum, entry) => sum + entry.text.length, 0)
    if (this.#disk.length > this.#diskHead) this.#forgotten.add(batch)
    this.#overflow = this.#overflow.filter((entry) => entry.batch !== batch)
    this.#overflowSize = this.#overflow.reduce((sum, entry) => sum + entry.text.length, 0)
    this.#refill()
  }

  close(): void {
    if (this.#fd === undefined) return
    closeSync(this.#fd)
    this.#fd = undefined
    rmSync(this.#file, { force: true })
  }

  #toMemory(entry: OutboxEntry): void {
    this.#memory.push(entry)
    this.#memorySize += entry.text.length
  }

  #toOverflow(entry: OutboxEntry): void {
    this.#overflow.push(entry)
    this.#overflowSize += entry.text.length
    if (this.#overflowSize <= overflowMax) return
    throw new MusterError('disk_full', `Cannot keep more reports in ${this.#file}: the disk is full`, {
      hint: 'Free some space where the worker has its data.',
    })
  }

  /** False when the disk is full. */
  #toDisk(entry: OutboxEntry): boolean {
    const line = Buffer.from(`${entry.text}\n`)
    try {
      this.#write(line)
    } catch (error) {
      if (!['ENOSPC', 'EDQUOT', 'EFBIG'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error
      return false
    }
    this.#diskWriteAt += line.length
    this.#disk.push({ seq: entry.seq, batch: entry.batch, bytes: line.length })
    return true
  }

  #write(line: Buffer): void {
    if (this.#fd === undefined) {
      mkdirSync(path.dirname(this.#file), { recursive: true })
      this.#fd = openSync(this.#file, 'w+', 0o600)
    }
    let written = 0
    while (written < line.length) {
      written += writeSync(this.#fd, line, written, line.length - written, this.#diskWriteAt + written)
    }
  }

  /** Fills memory up again, a window's worth at most. */
  #refill(): void {
    this.#fromDisk()
    if (this.#disk.length > this.#diskHead) return
    while (this.#overflow.length > 0 && this.#memorySize < windowMax) {
      const entry = this.#overflow.shift()!
      this.#overflowSize -= entry.text.length
      this.#toMemory(entry)
    }
  }

  #fromDisk(): void {
    if (this.#fd === undefined) return
    while (this.#diskHead < this.#disk.length && this.#memorySize < windowMax) {
      const { seq, batch, bytes } = this.#disk[this.#diskHead]!
      this.#diskHead += 1
      if (!this.#forgotten.has(batch)) {
        const line = Buffer.alloc(bytes)
        const read = readSync(this.#fd, line, 0, bytes, this.#diskReadAt)
        assert(read === bytes, `spool: read ${read} of ${bytes} bytes`)
        this.#toMemory({ seq, batch, text: line.toString('utf8', 0, bytes - 1) })
      }
      this.#diskReadAt += bytes
    }
    if (this.#diskHead < this.#disk.length || this.#diskWriteAt === 0) return
    this.#forgotten.clear()
    this.#disk = []
    this.#diskHead = 0
    this.#diskReadAt = 0
    this.#diskWriteAt = 0
    ftruncateSync(this.#fd, 0)
  }
}

/** Removes what workers that are no more have left; their ids are gone, and with them the use of it. */
export function removeStaleSpools(directory: string, isRunning: (pid: number) => boolean): void {
  if (!existsSync(directory)) return
  for (const name of readdirSync(directory)) {
    const pid = Number(name.split('.').at(-2))
    if (!isRunning(pid)) rmSync(path.join(directory, name), { force: true })
  }
}
