/**
 * Blobs in a directory: `ab/abcdef…`, 256 folders made once at the first opening, so that a put
 * never has to make one. A blob is written aside, synced, renamed, and its folder synced: a crash
 * leaves it whole or absent, never in part. The content is checked against its key when read.
 *
 * The file's modification time is its last use, renewed at most once an hour, also by a put, `has`
 * or `missing` that finds it: garbage collection must not take what somebody was just told is there.
 * Several processes, on several hosts, may share it: nothing is ever changed in place, each step is a
 * rename, and a collector takes a blob aside before it looks at its last use again.
 *
 * Leaves out compression (callers know what is worth it) and quotas (the collector's business).
 */
import { createHash, randomUUID } from 'node:crypto'
import { link, mkdir, open, opendir, readdir, readFile, rename, rm, stat, utimes } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { MusterError } from '../protocol/errors.ts'
import type { Blobs } from './blobs.ts'
import { damaged, isKey, refuseWrongKey, tooLarge, wrongContent } from './keys.ts'

const useRenewedAfterMs = 3_600_000
/** A blob older than this was certainly synced by the process that wrote it, whatever became of that process. */
const settledAfterMs = 60_000
const fanOut = Array.from({ length: 256 }, (_, i) => i.toString(16).padStart(2, '0'))
const temporaryFolder = 'tmp'
/** Before the key, in the name of what a collector has taken aside. */
const collected = 'collected-'
/** A collector decides within microseconds; one that died leaves the blob aside until a store is opened. */
const collectedLooksMax = 20
/** A blob that goes aside and comes back can be missed in both places at one look, but not again and again. */
const absentLooks = 3

export class DirectoryBlobs implements Blobs {
  readonly #directory: string
  /** Puts under way, so that the same content is written once however many ask. */
  readonly #putting = new Map<string, Promise<void>>()

  private constructor(directory: string) {
    this.#directory = directory
  }

  static async open(directory: string): Promise<DirectoryBlobs> {
    const present = await prepare(directory).catch((cause: Error) => {
      const text = `Cannot use the blob directory ${directory}: ${cause.message}`
      if (isFull(cause)) throw new MusterError('disk_full', text, { hint: 'Free some space.', cause })
      const hint = 'This user must be able to make and write it; is it mounted?'
      throw new MusterError('config_invalid', text, { hint, cause })
    })
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
      if (received !== key) throw wrongContent(key, received)
      await rename(aside, path)
      await syncDirectory(join(path, '..'))
    } catch (error) {
      await rm(aside, { force: true })
      throw this.#translate(error, 'store', key)
    }
  }

  async get(key: string): Promise<Uint8Array | undefined> {
    const path = this.#path(key)
    const bytes = await this.#read(key, path)
    if (bytes === undefined) return undefined
    const actual = createHash('sha256').update(bytes).digest('hex')
    if (actual !== key) {
      await rm(path, { force: true })
      throw damaged(key, actual, 'the disk')
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

  async removeUnused(keys: readonly string[], sinceMs: number): Promise<number> {
    let removed = 0
    for (const key of keys) if (await this.#removeUnused(key, sinceMs)) removed += 1
    return removed
  }

  async *list(): AsyncIterable<{ readonly key: string; readonly bytes: number; readonly usedAtMs: number }> {
    for (const folder of fanOut) {
      for await (const file of await opendir(join(this.#directory, folder))) {
        if (!isKey(file.name)) continue
        const found = await stat(join(this.#directory, folder, file.name)).catch(absentIsUndefined)
        if (found !== undefined) yield { key: file.name, bytes: found.size, usedAtMs: found.mtimeMs }
      }
    }
  }

  async check(): Promise<string | undefined> {
    const aside = this.#aside()
    try {
      await writeWhole(aside, Buffer.from('muster'))
      await rm(aside)
      return undefined
    } catch (error) {
      if (!(error instanceof Error)) throw error
      return `Cannot write to the blob directory ${this.#directory}: ${error.message}. Check the disk and the directory's permissions.`
    }
  }

  /**
   * Aside first: who asks from now on hears that it is absent and puts it again. Who found it before has renewed its
   * last use, which is seen here; then it goes back. Opened to be looked at, because on NFS only that asks the server.
   */
  async #removeUnused(key: string, sinceMs: number): Promise<boolean> {
    const path = this.#path(key)
    const found = await stat(path).catch(absentIsUndefined)
    if (found === undefined || found.mtimeMs >= sinceMs) return false
    const aside = this.#collectedPath(key)
    if ((await rename(path, aside).then(() => true, absentIsUndefined)) === undefined) return false
    const usedAtMs = await open(aside, 'r').then(async (file) => {
      await using opened = file
      return (await opened.stat()).mtimeMs
    }, absentIsUndefined)
    if (usedAtMs === undefined) return false
    if (usedAtMs >= sinceMs) {
      await this.#putBack(key)
      return false
    }
    await rm(aside, { force: true })
    return true
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
      await writeWhole(aside, bytes)
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
      if (bytes > maxBytes) throw tooLarge(maxBytes)
      hash.update(chunk)
      await file.writeFile(chunk)
    }
    await file.sync()
    return hash.digest('hex')
  }

  /** What a collector has taken aside may be back in a moment, because somebody used it just before. */
  async #read(key: string, path: string): Promise<Uint8Array | undefined> {
    try {
      let absent = 0
      for (let look = 1; look <= collectedLooksMax; look += 1) {
        const bytes = await readFile(path).catch(absentIsUndefined)
        if (bytes !== undefined) return bytes
        const aside = await stat(this.#collectedPath(key)).catch(absentIsUndefined)
        if (aside === undefined) absent += 1
        else await sleep(10)
        if (absent === absentLooks) break
      }
      return undefined
    } catch (error) {
      throw this.#translate(error, 'read', key)
    }
  }

  /** Its size and last use; being looked for is a use. */
  async #find(key: string): Promise<{ readonly size: number; readonly mtimeMs: number } | undefined> {
    const path = this.#path(key)
    const found = await stat(path).catch(absentIsUndefined)
    if (found === undefined) return undefined
    const now = Date.now()
    if (now - found.mtimeMs > useRenewedAfterMs) {
      // Collected between the calls: then it is absent. Looked at again because a collector may have taken it aside and
      // judged it after this call had found the file and before it changed the time.
      const renewed = await utimes(path, now / 1000, now / 1000)
        .then(() => stat(path))
        .catch(absentIsUndefined)
      if (renewed === undefined) return undefined
    }
    return found
  }

  async #removeAbandoned(): Promise<void> {
    const folder = join(this.#directory, temporaryFolder)
    for (const name of await readdir(folder)) {
      const key = name.startsWith(collected) ? name.slice(collected.length) : ''
      if (isKey(key)) {
        await this.#putBack(key)
        continue
      }
      const found = await stat(join(folder, name)).catch(absentIsUndefined)
      // Younger ones may belong to another process that shares the directory.
      if (found !== undefined && Date.now() - found.mtimeMs > useRenewedAfterMs)
        await rm(join(folder, name), { force: true })
    }
  }

  /**
   * Its collector ended in between, or is at it now: then the blob merely stays until the next time. Linked, since a
   * rename would replace one that was put meanwhile, and with it the time of its use.
   */
  async #putBack(key: string): Promise<void> {
    const aside = this.#collectedPath(key)
    try {
      await link(aside, this.#path(key))
    } catch (error) {
      if (hasCode(error, 'ENOENT')) return
      if (!hasCode(error, 'EEXIST')) throw error
    }
    await rm(aside, { force: true })
  }

  #path(key: string): string {
    refuseWrongKey(key)
    return join(this.#directory, key.slice(0, 2), key)
  }

  #collectedPath(key: string): string {
    return join(this.#directory, temporaryFolder, collected + key)
  }

  #aside(): string {
    return join(this.#directory, temporaryFolder, randomUUID())
  }

  #translate(error: unknown, action: string, key: string): unknown {
    if (error instanceof MusterError) return error
    if (isFull(error)) {
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

/** Makes what is missing; returns what was there. */
async function prepare(directory: string): Promise<ReadonlySet<string>> {
  await mkdir(directory, { recursive: true, mode: 0o700 })
  const present = new Set(await readdir(directory))
  const absent = [...fanOut, temporaryFolder].filter((name) => !present.has(name))
  for (const name of absent) await mkdir(join(directory, name), { recursive: true, mode: 0o700 })
  if (absent.length > 0) await syncDirectory(directory)
  return present
}

function isFull(error: unknown): boolean {
  return hasCode(error, 'ENOSPC') || hasCode(error, 'EDQUOT') || hasCode(error, 'EFBIG')
}

function hasCode(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code
}

function absentIsUndefined(error: unknown): undefined {
  if (!hasCode(error, 'ENOENT')) throw error
}

async function writeWhole(path: string, bytes: Uint8Array): Promise<void> {
  await using file = await open(path, 'wx', 0o600)
  await file.writeFile(bytes)
  await file.sync()
}

async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, 'r')
  try {
    await directory.sync()
  } finally {
    await directory.close()
  }
}
