/**
 * Content that was fetched once, by hash, on this worker's disk. Not the coordinator's blob store:
 * nothing here is worth a sync (it can be fetched again), which makes thousands of small files
 * quick. A file that a power cut left short is noticed by its size and fetched anew.
 */
import { createHash, randomUUID } from 'node:crypto'
import { createReadStream, createWriteStream } from 'node:fs'
import { mkdir, opendir, rename, rm, stat, utimes } from 'node:fs/promises'
import path from 'node:path'
import { pipeline } from 'node:stream/promises'
import { MusterError } from '../protocol/errors.ts'
import type { CoordinatorHttp } from './endpoint.ts'
import { withPatience } from './run-contexts.ts'

const fetchedAtOnce = 8
const useRenewedAfterMs = 3_600_000
const checkMaxMs = 10_000

export type Wanted = { readonly hash: string; readonly bytes: number }
export type CachedContent = { readonly file: string; readonly bytes: number; readonly usedAtMs: number }

export class ContentCache {
  readonly #directory: string
  readonly #http: CoordinatorHttp
  /** Under way: wanted by two batches, fetched once. */
  readonly #fetching = new Map<string, Promise<void>>()

  constructor(directory: string, http: CoordinatorHttp) {
    this.#directory = directory
    this.#http = http
  }

  path(hash: string): string {
    return path.join(this.#directory, hash.slice(0, 2), hash)
  }

  /** Brings in what is not here. Resolves to how many were fetched. */
  async fetch(wanted: Iterable<Wanted>, signal: AbortSignal): Promise<number> {
    const missing: Wanted[] = []
    for (const one of wanted) if (!(await this.#has(one))) missing.push(one)
    const queue = missing.values()
    const fetchSome = async (): Promise<void> => {
      for (const one of queue) {
        signal.throwIfAborted()
        await this.#fetchOnce(one, signal)
      }
    }
    await Promise.all(Array.from({ length: fetchedAtOnce }, fetchSome))
    return missing.length
  }

  async *list(): AsyncIterable<CachedContent> {
    await mkdir(this.#directory, { recursive: true })
    for await (const folder of await opendir(this.#directory)) {
      for await (const entry of await opendir(path.join(this.#directory, folder.name))) {
        const file = path.join(this.#directory, folder.name, entry.name)
        const found = await stat(file).catch(absent)
        if (found !== undefined) yield { file, bytes: found.size, usedAtMs: found.mtimeMs }
      }
    }
  }

  /** Reads everything again, what was used last first, for ten seconds at most. Resolves to how many were removed. */
  async removeDamaged(): Promise<number> {
    const untilMs = performance.now() + checkMaxMs
    const all: CachedContent[] = []
    for await (const one of this.list()) all.push(one)
    let removed = 0
    for (const { file } of all.toSorted((a, b) => b.usedAtMs - a.usedAtMs)) {
      if (performance.now() > untilMs) break
      const digest = createHash('sha256')
      await pipeline(createReadStream(file), digest)
      if (digest.digest('hex') === path.basename(file)) continue
      await rm(file, { force: true })
      removed += 1
    }
    return removed
  }

  async #has({ hash, bytes }: Wanted): Promise<boolean> {
    const file = this.path(hash)
    const found = await stat(file).catch(absent)
    if (found === undefined || found.size !== bytes) return false
    const nowMs = Date.now()
    if (nowMs - found.mtimeMs > useRenewedAfterMs) await utimes(file, nowMs / 1000, nowMs / 1000)
    return true
  }

  #fetchOnce(wanted: Wanted, signal: AbortSignal): Promise<void> {
    const running = this.#fetching.get(wanted.hash)
    if (running !== undefined) return running
    const fetching = withPatience(() => this.#fetch(wanted, signal), signal).finally(() =>
      this.#fetching.delete(wanted.hash),
    )
    this.#fetching.set(wanted.hash, fetching)
    return fetching
  }

  async #fetch({ hash, bytes }: Wanted, signal: AbortSignal): Promise<void> {
    const file = this.path(hash)
    const aside = `${file}.${randomUUID()}`
    await mkdir(path.dirname(file), { recursive: true, mode: 0o700 })
    const response = await this.#http.open(`/api/v1/blobs/${hash}`, signal)
    const digest = createHash('sha256')
    let received = 0
    const check = async function* (chunks: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
      for await (const chunk of chunks) {
        received += chunk.length
        if (received > bytes) break
        digest.update(chunk)
        yield chunk
      }
    }
    try {
      await pipeline(response, check, createWriteStream(aside, { flags: 'wx', mode: 0o600 }), { signal }).catch(
        (cause: NodeJS.ErrnoException) => {
          signal.throwIfAborted()
          if (cause.code === 'ENOSPC')
            throw new MusterError(
              'disk_full',
              `Cannot keep the workspace's files in ${this.#directory}: the disk is full`,
              { cause },
            )
          throw new MusterError('coordinator_unreachable', `Cannot fetch blob ${hash}: ${cause.message}`, { cause })
        },
      )
      if (received !== bytes || digest.digest('hex') !== hash) {
        throw new MusterError(
          'workspace_invalid',
          `Blob ${hash} came with other content: expected ${bytes} bytes, received ${received}`,
        )
      }
      await rename(aside, file)
    } catch (error) {
      await rm(aside, { force: true })
      throw error
    }
  }
}

export function absent(error: NodeJS.ErrnoException): undefined {
  if (error.code !== 'ENOENT') throw error
}
