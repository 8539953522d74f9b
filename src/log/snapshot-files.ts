/**
 * Snapshots as files beside the log: `snapshot-<position>.bin`, a line of JSON (position, length,
 * SHA-256) and the bytes. Written aside, synced, renamed, so that a crash leaves the old ones; read
 * only when the checksum agrees, so that a damaged newest one falls back to the one before it.
 */
import { createHash } from 'node:crypto'
import { mkdir, open, readdir, readFile, rename, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { MusterError } from '../protocol/errors.ts'
import type { Snapshot } from './log.ts'

const kept = 2
const headerBytesMax = 4096
const namePattern = /^snapshot-(\d{16})\.bin$/

type Header = { readonly format: 1; readonly position: number; readonly bytes: number; readonly sha256: string }

export class SnapshotFiles {
  readonly #directory: string
  readonly #warn: (text: string) => void

  constructor(directory: string, warn: (text: string) => void) {
    this.#directory = directory
    this.#warn = warn
  }

  /** Removes what an interrupted write has left. */
  async prepare(): Promise<void> {
    await mkdir(this.#directory, { recursive: true, mode: 0o700 })
    for (const name of await readdir(this.#directory)) {
      if (/^snapshot-.*\.tmp$/.test(name)) await rm(join(this.#directory, name), { force: true })
    }
  }

  async put(snapshot: Snapshot): Promise<void> {
    const name = `snapshot-${String(snapshot.position).padStart(16, '0')}.bin`
    const aside = join(this.#directory, `${name}.tmp`)
    try {
      await writeSynced(aside, [encodeHeader(snapshot), snapshot.bytes])
      await rename(aside, join(this.#directory, name))
      await syncDirectory(this.#directory)
    } catch (error) {
      await rm(aside, { force: true })
      const full = ['ENOSPC', 'EDQUOT', 'EFBIG'].includes((error as NodeJS.ErrnoException).code ?? '')
      throw new MusterError(
        full ? 'disk_full' : 'log_failed',
        `Cannot write the snapshot ${name} in ${this.#directory}: ${String(error)}`,
        { cause: error },
      )
    }
    await this.#prune()
  }

  async newest(): Promise<Snapshot | undefined> {
    for (const name of (await this.#names()).reverse()) {
      const path = join(this.#directory, name)
      const snapshot = decode(await readFile(path))
      if (typeof snapshot !== 'string') return snapshot
      // Kept for whoever wants to look, under a name that no longer counts; the next snapshot removes it.
      await rename(path, `${path}.corrupt`)
      this.#warn(`The snapshot ${path} does not verify (${snapshot}); using the one before it`)
    }
    return undefined
  }

  async sizeBytes(): Promise<number> {
    const sizes = (await this.#names()).map(async (name) => (await stat(join(this.#directory, name))).size)
    return (await Promise.all(sizes)).reduce((sum, size) => sum + size, 0)
  }

  async #prune(): Promise<void> {
    const old = (await this.#names()).slice(0, -kept)
    const corrupt = (await readdir(this.#directory)).filter((name) => name.endsWith('.bin.corrupt'))
    for (const name of [...old, ...corrupt]) await rm(join(this.#directory, name), { force: true })
  }

  /** Oldest first: the names sort by position. */
  async #names(): Promise<string[]> {
    return (await readdir(this.#directory)).filter((name) => namePattern.test(name)).sort()
  }
}

function encodeHeader(snapshot: Snapshot): Uint8Array {
  const sha256 = createHash('sha256').update(snapshot.bytes).digest('hex')
  const header: Header = { format: 1, position: snapshot.position, bytes: snapshot.bytes.length, sha256 }
  return new TextEncoder().encode(`${JSON.stringify(header)}\n`)
}

/** The snapshot, or what is wrong with it. */
function decode(file: Uint8Array): Snapshot | string {
  const end = file.subarray(0, headerBytesMax).indexOf(0x0a)
  if (end < 0) return 'no header'
  let header: Header
  try {
    header = JSON.parse(new TextDecoder().decode(file.subarray(0, end))) as Header
  } catch (error) {
    return `unreadable header: ${String(error)}`
  }
  const bytes = file.subarray(end + 1)
  if (bytes.length !== header.bytes) return `expected ${header.bytes} bytes, received ${bytes.length}`
  if (createHash('sha256').update(bytes).digest('hex') !== header.sha256) return 'the checksum differs'
  return { position: header.position, bytes }
}

async function writeSynced(path: string, parts: readonly Uint8Array[]): Promise<void> {
  await using file = await open(path, 'w', 0o600)
  for (const part of parts) await file.writeFile(part)
  await file.sync()
}

async function syncDirectory(path: string): Promise<void> {
  await using directory = await open(path, 'r')
  await directory.sync()
}
