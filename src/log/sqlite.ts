/**
 * The embedded log: a directory with one SQLite file and the newest two snapshots. This is the side
 * that the coordinator holds; the database itself lives in a thread of its own (sqlite-thread.ts),
 * so that a sync never stops the event loop. One message per append, its bytes handed over, not
 * cloned; appends that are sent while another is under way share one transaction.
 *
 * After a failed append its outcome is unknown: append the same bytes at the same position again.
 */
import { once } from 'node:events'
import { mkdir } from 'node:fs/promises'
import { getCompileCacheDir } from 'node:module'
import { dirname, extname } from 'node:path'
import { fileURLToPath } from 'node:url'
import { MessageChannel, receiveMessageOnPort, Worker } from 'node:worker_threads'
import type { MessagePort } from 'node:worker_threads'
import { MusterError } from '../protocol/errors.ts'
import { assert, AssertionFailed } from '../stdx/assert.ts'
import { deposed } from './append-rules.ts'
import type { AppendResult, Head, Log, ReadResult, Snapshot } from './log.ts'
import { SnapshotFiles } from './snapshot-files.ts'
import type { Failure, Request, Response, ThreadData } from './sqlite-thread.ts'

export type SqliteLogOptions = {
  /** How long to wait for another process to let go of the directory; default 1000. */
  readonly lockTimeoutMs?: number
  /** For tests of a full disk: SQLite's limit on the file, in pages of 4096 bytes. */
  readonly maxPages?: number
  /** Told what went wrong and was survived, e.g. a snapshot that didn't verify. Default: a process warning. */
  readonly onWarning?: (text: string) => void
}

type Waiting = { readonly resolve: (value: unknown) => void; readonly reject: (error: Error) => void }
/** The request without the number it will be answered under. */
type Unnumbered<R> = R extends Request ? Omit<R, 'id'> : never

// This file is .ts in a clone and .js in the package; its thread is its sibling in either.
const threadUrl = new URL(`./sqlite-thread${extname(fileURLToPath(import.meta.url))}`, import.meta.url)

export class SqliteLog implements Log {
  readonly #directory: string
  readonly #worker: Worker
  readonly #port: MessagePort
  readonly #snapshots: SnapshotFiles
  readonly #waiting = new Map<number, Waiting>()
  #lastId = 0
  /** Position of a snapshot that is known to verify; what trim goes by. */
  #verifiedPosition: number | undefined
  #closed: MusterError | undefined

  private constructor(directory: string, options: SqliteLogOptions) {
    this.#directory = directory
    this.#snapshots = new SnapshotFiles(directory, options.onWarning ?? ((text) => process.emitWarning(text)))
    const { port1, port2 } = new MessageChannel()
    this.#port = port1
    const data: ThreadData = {
      port: port2,
      directory,
      options: {
        lockTimeoutMs: options.lockTimeoutMs ?? 1000,
        ...(options.maxPages === undefined ? {} : { maxPages: options.maxPages }),
      },
    }
    const cache = getCompileCacheDir()
    // node:sqlite still announces itself as experimental in Node 24.
    this.#worker = new Worker(threadUrl, {
      workerData: data,
      transferList: [port2],
      // A thread takes over its process's cache of compiled code only by the environment, which nobody else gets from it.
      ...(cache === undefined ? {} : { env: { NODE_COMPILE_CACHE: dirname(cache), ...process.env } }),
      execArgv: ['--disable-warning=ExperimentalWarning'],
    })
    this.#port.on('message', (responses: readonly Response[]) => this.#settle(responses))
    this.#worker.on('error', (error) => this.#died(String(error)))
    this.#worker.on('exit', (code) => this.#died(`its thread ended with code ${code}`))
  }

  static async open(directory: string, options: SqliteLogOptions = {}): Promise<SqliteLog> {
    await mkdir(directory, { recursive: true, mode: 0o700 })
    const log = new SqliteLog(directory, options)
    // Id 0 is the thread's word that it has the database, or why not.
    await new Promise<unknown>((resolve, reject) => log.#waiting.set(0, { resolve, reject }))
    // Only now that the directory is ours.
    await log.#snapshots.prepare()
    return log
  }

  claim(owner: string): Promise<Head> {
    return this.#ask<Head>({ type: 'claim', owner })
  }

  append(epoch: number, position: number, bytes: Uint8Array): Promise<AppendResult> {
    // A copy to give away: the caller keeps its bytes, to repeat them after an unknown outcome.
    const copy = new Uint8Array(bytes)
    return this.#ask<AppendResult>({ type: 'append', epoch, position, bytes: copy }, [copy.buffer])
  }

  read(from: number, maxBytes: number): Promise<ReadResult> {
    return this.#ask<ReadResult>({ type: 'read', from, maxBytes })
  }

  head(): Promise<Head> {
    return this.#ask<Head>({ type: 'head' })
  }

  async putSnapshot(epoch: number, snapshot: Snapshot): Promise<void> {
    const head = await this.head()
    if (epoch !== head.epoch) throw deposed('store a snapshot', epoch, head.epoch)
    assert(
      snapshot.position <= head.position,
      `snapshot at ${snapshot.position} is above the log's head ${head.position}`,
    )
    await this.#snapshots.put(snapshot)
    this.#verifiedPosition = Math.max(this.#verifiedPosition ?? 0, snapshot.position)
  }

  async getSnapshot(): Promise<Snapshot | undefined> {
    const snapshot = await this.#snapshots.newest()
    this.#verifiedPosition = snapshot?.position ?? 0
    return snapshot
  }

  async trim(below: number): Promise<void> {
    if (this.#verifiedPosition === undefined) await this.getSnapshot()
    const newest = this.#verifiedPosition ?? 0
    assert(below <= newest + 1, `trim below ${below}: the newest snapshot is at ${newest}`)
    // In portions, so that appends get their turn in between.
    while (await this.#ask<boolean>({ type: 'trim', below })) continue
  }

  async sizeBytes(): Promise<number> {
    return (await this.#ask<number>({ type: 'size' })) + (await this.#snapshots.sizeBytes())
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#closed !== undefined) return
    const exited = once(this.#worker, 'exit')
    const closing = this.#ask({ type: 'close' })
    this.#closed = new MusterError('log_failed', `The log in ${this.#directory} is closed`)
    await closing
    this.#port.close()
    await exited
  }

  #ask<T>(request: Unnumbered<Request>, transfer: ArrayBuffer[] = []): Promise<T> {
    if (this.#closed !== undefined) return Promise.reject(this.#closed)
    this.#lastId += 1
    const id = this.#lastId
    return new Promise<T>((resolve, reject) => {
      this.#waiting.set(id, { resolve: resolve as (value: unknown) => void, reject })
      this.#port.postMessage({ ...request, id }, transfer)
    })
  }

  #settle(responses: readonly Response[]): void {
    for (const response of responses) {
      const waiting = this.#waiting.get(response.id)
      this.#waiting.delete(response.id)
      if ('failure' in response) waiting?.reject(revive(response.failure))
      else waiting?.resolve(response.value)
    }
  }

  #died(why: string): void {
    // Its last words may still be on the way.
    for (let last = receiveMessageOnPort(this.#port); last !== undefined; last = receiveMessageOnPort(this.#port)) {
      this.#settle(last.message as readonly Response[])
    }
    this.#closed ??= new MusterError('log_failed', `The log in ${this.#directory} has stopped: ${why}`, {
      hint: 'Restart the coordinator.',
    })
    this.#port.close()
    for (const waiting of this.#waiting.values()) waiting.reject(this.#closed)
    this.#waiting.clear()
  }
}

function revive(failure: Failure): Error {
  if (failure.kind === 'assertion') return new AssertionFailed(failure.message)
  const options = failure.hint === undefined ? {} : { hint: failure.hint }
  return new MusterError(failure.code ?? 'internal', failure.message, options)
}
