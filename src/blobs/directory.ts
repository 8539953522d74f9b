/**
 * Blobs in a directory: `ab/abcdef…`, 256 folders made once at the first opening, so that a put
 * never has to make one. A blob is written aside, synced, renamed, and its folder synced: a crash
 * leaves it whole or absent, never in part. The content is checked against its key when read.
 *
 * The file's modification time is its last use, renewed at most once an hour, also by a put, `has`
 * or `missing` that finds it: garbage collection must not take what somebody was just told is there.
 * Leaves out compression (callers know what is worth it) and quotas (the collector's business).
 */
import { createHash, randomUUID } from 'node:crypto'
import { mkdir, open, opendir, readdir, readFile, rename, rm, stat, utimes } from 'node:fs/promises'
import { join } from 'node:path'
import { MusterError } from '../protocol/errors.ts'
import type { Blobs } from './blobs.ts'

const useRenewedAfterMs = 3_600_000
/** A blob older than this was certainly synced by the process that wrote it, whatever became of that process. */
const settledAfterMs = 60_000
const keyPattern = /^[0-9a-f]{64}$/
const fanOut = Array.from({ length: 256 }, (_, i) => i.toString(16).padStart(2, '0'))
const temporaryFolder = 'tmp'

export class DirectoryBlobs implements Blobs {
  readonly #directory: string
  /** Puts under way, so that the same content is written once however many ask. */
  readonly #putting = new Map<string, Promise<void>>()

  private constructor(directory: string) {
    this.#directory = directory
  }

  static async open(directory: string): Promise<DirectoryBlobs> {
    await mkdir(directory, { recursive: true, mode: 0o700 })
    const present = new Set(await readdir(directory))
    const absent = [...fanOut, temporaryFolder].filter((name) => !present.has(name))
    for (const name of absent) await mkdir(join(directory, name), { recursive: true, mode: 0o700 })
    if (absent.length > 0) await syncDirectory(directory)
    const blobs = new DirectoryBlobs(directory)
    if (present.has(temporaryFolder)) await blobs.#removeAbandoned()
    return blobs
  }

  async put(bytes: Uint8Array): Promise<string> {
    const key = createHash('sha256').update(bytes).digest('hex')
    const running = this.#putting.get(key)
    if (running !== undefined) {
      await running
      return key
    }
    const putting = this.#put(key, bytes).finally(() => this.#putting.delete(key))
    this.#putting.set(key, putting)
    await putting
    return key
  }

  async putStream(key: string, source: AsyncIterable<Uint8Array>, maxBytes: number): Promise<void> {
    const path = this.#path(key)
    const aside = this.#aside()
    try {
      const received = await this.#receive(aside, source, maxBytes)
      if (received !== key) {
        throw new MusterError(
          'request_invalid',
          `Cannot store blob ${key}: the content received has the SHA-256 ${received}`,
          {
            hint: 'Send the content whose hash the key is.',
          },
        )
      }
      await rename(aside, path)
      await syncDirectory(join(path, '..'))
    } catch (error) {
      await rm(aside, { force: true })
      throw this.#translate(error, 'store', key)
    }
  }

  async get(key: string): Promise<Uint8Array | undefined> {
    const path = this.#path(key)
    let bytes: Uint8Array
    try {
      bytes = await readFile(path)
    } catch (error) {
      if (hasCode(error, 'ENOENT')) return undefined
      throw this.#translate(error, 'read', key)
    }
    const actual = createHash('sha256').update(bytes).digest('hex')
    if (actual !== key) {
      await rm(path, { force: true })
      throw new MusterError(
        'unavailable',
        `Cannot read blob ${key}: its content no longer matches (SHA-256 ${actual}); it was dropped`,
        {
          hint: 'Check the disk; what made it can be run again.',
        },
      )
    }
    await this.#find(key)
    return bytes
  }

  async has(key: string): Promise<boolean> {
    return (await this.#find(key)) !== undefined
  }

  async missing(keys: readonly string[]): Promise<string[]> {
    const absent: string[] = []
    // In portions: a workspace asks for thousands, and the thread pool has four threads.
    for (let from = 0; from < keys.length; from += 64) {
      const portion = keys.slice(from, from + 64)
      const found = await Promise.all(portion.map((key) => this.has(key)))
      absent.push(...portion.filter((_, i) => !found[i]))
    }
    return absent
  }

  async remove(key: string): Promise<void> {
    await rm(this.#path(key), { force: true })
  }

  async *list(): AsyncIterable<{ readonly key: string; readonly bytes: number; readonly usedAtMs: number }> {
    for (const folder of fanOut) {
      for await (const file of await opendir(join(this.#directory, folder))) {
        if (!keyPattern.test(file.name)) continue
        const found = await stat(join(this.#directory, folder, file.name)).catch(absentIsUndefined)
        if (found !== undefined) yield { key: file.name, bytes: found.size, usedAtMs: found.mtimeMs }
      }
    }
  }

  async #put(key: string, bytes: Uint8Array): Promise<void> {
    const path = this.#path(key)
    const found = await this.#find(key)
    // Another length is a damaged blob: the good content replaces it.
    if (found?.size === bytes.length) {
      if (Date.now() - found.mtimeMs < settledAfterMs) await syncDirectory(join(path, '..'))
      return
    }
    const aside = this.#aside()
    try {
      const file = await open(aside, 'wx', 0o600)
      try {
        await file.writeFile(bytes)
        await file.sync()
      } finally {
        await file.close()
      }
      await rename(aside, path)
      await syncDirectory(join(path, '..'))
    } catch (error) {
      await rm(aside, { force: true })
      throw this.#translate(error, 'store', key)
    }
  }

  /** Writes the stream aside and returns its SHA-256. */
  async #receive(aside: string, source: AsyncIterable<Uint8Array>, maxBytes: number): Promise<string> {
    await using file = await open(aside, 'wx', 0o600)
    const hash = createHash('sha256')
    let bytes = 0
    for await (const chunk of source) {
      bytes += chunk.length
      if (bytes > maxBytes) {
        throw new MusterError(
          'request_invalid',
          `Cannot store a blob: expected at most ${maxBytes} bytes, received more`,
          {
            hint: 'Leave large files out of the workspace, or raise the limit.',
          },
        )
      }
      hash.update(chunk)
      await file.writeFile(chunk)
    }
    await file.sync()
    return hash.digest('hex')
  }

  /** Its size and last use; being looked for is a use. */
  async #find(key: string): Promise<{ readonly size: number; readonly mtimeMs: number } | undefined> {
    const path = this.#path(key)
    const found = await stat(path).catch(absentIsUndefined)
    if (found === undefined) return undefined
    const now = Date.now()
    if (now - found.mtimeMs > useRenewedAfterMs) {
      // Collected between the two calls: then it is absent.
      const renewed = await utimes(path, now / 1000, now / 1000).then(() => true, absentIsUndefined)
      if (renewed === undefined) return undefined
    }
    return found
  }

  async #removeAbandoned(): Promise<void> {
    const folder = join(this.#directory, temporaryFolder)
    for (const name of await readdir(folder)) {
      const found = await stat(join(folder, name)).catch(absentIsUndefined)
      // Younger ones may belong to another process that shares the directory.
      if (found !== undefined && Date.now() - found.mtimeMs > useRenewedAfterMs)
        await rm(join(folder, name), { force: true })
    }
  }

  #path(key: string): string {
    if (!keyPattern.test(key)) {
      throw new MusterError(
        'request_invalid',
        `Cannot use the blob key: expected 64 lower-case hex digits, received '${key.slice(0, 80)}'`,
      )
    }
    return join(this.#directory, key.slice(0, 2), key)
  }

  #aside(): string {
    return join(this.#directory, temporaryFolder, randomUUID())
  }

  #translate(error: unknown, action: string, key: string): unknown {
    if (error instanceof MusterError) return error
    if (hasCode(error, 'ENOSPC') || hasCode(error, 'EDQUOT')) {
      return new MusterError('disk_full', `Cannot ${action} blob ${key} in ${this.#directory}: the disk is full`, {
        hint: 'Free some space.',
        cause: error,
      })
    }
    // Not of the file system, e.g. the sender's connection broke: the caller's to judge.
    if (!(error instanceof Error && 'syscall' in error)) return error
    return new MusterError('unavailable', `Cannot ${action} blob ${key} in ${this.#directory}: ${error.message}`, {
      hint: "Check the disk and the directory's permissions.",
      cause: error,
    })
  }
}

function hasCode(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code
}

function absentIsUndefined(error: unknown): undefined {
  if (!hasCode(error, 'ENOENT')) throw error
}

async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, 'r')
  try {
    await directory.sync()
  } finally {
    await directory.close()
  }
}
