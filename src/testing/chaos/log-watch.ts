/**
 * Reads the real log while it grows, from its first entry on, and gives each entry to the simulator's
 * books (`Ledger`) and to its replay (`Shadow`). Reading along and not afterwards, because the log is trimmed behind
 * snapshots. Everything read is also written down, decoded, for whoever looks into a failure.
 */
import { createWriteStream, type WriteStream } from 'node:fs'
import path from 'node:path'
import { openBlobs } from '../../blobs/location.ts'
import { decodeEntry, type Event } from '../../core/events.ts'
import { openEtcdLog, type EtcdLog } from '../../log/etcd/etcd-log.ts'
import { parseEtcdUrl } from '../../log/etcd/url.ts'
import { Ledger } from '../sim/ledger.ts'
import { Shadow } from '../sim/shadow.ts'
import { Violations } from '../sim/violations.ts'
import { limits, type Cluster } from './cluster.ts'

const bytesMax = 4 * 1024 * 1024
const readEveryMs = 400
/** All is hashed, and compared with what a snapshot gives, so often. */
const compareEvery = 100

export class LogWatch implements AsyncDisposable {
  readonly violations = new Violations()
  readonly ledger = new Ledger(this.violations)
  readonly shadow = new Shadow(this.violations, limits, compareEvery)
  /** Runs by the key they were submitted with; more than one is a fault. */
  readonly submitted = new Map<string, string[]>()
  readonly requeues = new Map<string, number>()
  /** When each entry was written, by its leader's clock. */
  readonly writtenAtMs: number[] = []
  readonly #log: EtcdLog
  readonly #written: WriteStream
  readonly #names = new Map<string, string>()
  #reading: Promise<void> = Promise.resolve()
  #timer: NodeJS.Timeout | undefined

  private constructor(log: EtcdLog, written: WriteStream) {
    this.#log = log
    this.#written = written
  }

  static async open(cluster: Cluster): Promise<LogWatch> {
    const blobs = await openBlobs(cluster.blobs)
    const log = await openEtcdLog({ address: parseEtcdUrl(cluster.etcdUrl), blobs, onWarning: () => undefined })
    return new LogWatch(log, createWriteStream(path.join(cluster.root, 'logs', 'log.jsonl')))
  }

  /** Reads along until it is closed. A failure to read while faults strike is no news: it is tried again. */
  follow(): void {
    this.#timer = setTimeout(async () => {
      await this.catchUp().catch(() => undefined)
      if (this.#timer !== undefined) this.follow()
    }, readEveryMs)
  }

  /** To the end that the log has now. */
  async catchUp(): Promise<void> {
    // One after the other: whoever comes meanwhile waits for its turn.
    this.#reading = this.#reading.catch(() => undefined).then(() => this.#read())
    await this.#reading
  }

  async #read(): Promise<void> {
    const head = await this.#log.head()
    while (this.ledger.position < head.position) {
      const read = await this.#log.read(this.ledger.position + 1, bytesMax)
      if (read.type === 'trimmed') {
        throw new Error(
          `the log was trimmed below ${read.firstPosition} before entry ${this.ledger.position + 1} was read`,
        )
      }
      for (const entry of read.entries) {
        this.#written.write(
          `${JSON.stringify({ position: entry.position, epoch: entry.epoch, ...decodeEntry(entry.bytes) })}\n`,
        )
        const events = this.ledger.entry(entry)
        this.writtenAtMs.push(this.ledger.atMs)
        for (const event of events) this.#note(event)
        this.shadow.entry(entry.position, this.ledger.atMs, events)
      }
    }
  }

  #note(event: Event): void {
    if (event.type === 'worker.joined') this.#names.set(event.worker, event.name)
    if (event.type === 'task.requeued') {
      this.requeues.set(event.cause, (this.requeues.get(event.cause) ?? 0) + event.tasks.length)
    }
    if (event.type !== 'run.submitted' || event.key === undefined) return
    const known = this.submitted.get(event.key)
    if (known) known.push(event.run)
    else this.submitted.set(event.key, [event.run])
  }

  nameOf(worker: string): string {
    return this.#names.get(worker) ?? worker
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearTimeout(this.#timer)
    this.#timer = undefined
    await this.#reading.catch(() => undefined)
    await this.#log[Symbol.asyncDispose]()
    await new Promise<void>((resolve) => this.#written.end(resolve))
  }
}
