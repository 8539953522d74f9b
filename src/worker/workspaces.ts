/**
 * The workspaces on this worker's disk: `<name>/<slot>/root`, one slot in use by one manifest at a
 * time. Batches of the same manifest share a slot; another manifest of the same name, at the same
 * time, gets a slot of its own. Idle slots and cached content go, least recently used first, when
 * together they take more than they may.
 */
import { execFile } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs'
import { readdir, rm, stat } from 'node:fs/promises'
import path from 'node:path'
import { promisify } from 'node:util'
import type { WorkspaceRequest } from './batch.ts'
import { absent, ContentCache } from './content-cache.ts'
import { type CoordinatorHttp, readAll } from './endpoint.ts'
import { isRunning } from './process-tree.ts'
import { withPatience } from './run-contexts.ts'
import type { WorkerLog } from './thread-messages.ts'
import { parseManifest } from './workspace-entries.ts'
import { setUpWorkspace } from './workspace-setup.ts'
import { updateWorkspace } from './workspace-update.ts'

const manifestBytesMax = 256 * 1024 * 1024
const slotsMax = 1000
const measureEveryMs = 600_000

type Slot = {
  readonly directory: string
  /** Manifest and set-up command in use. */
  readonly use: string
  users: number
  /** Resolves when the first user has made it ready. */
  readonly ready: Promise<void>
}

export type Workspace = { readonly root: string; readonly release: () => Promise<void> }

export class Workspaces {
  readonly #directory: string
  readonly #cache: ContentCache
  readonly #http: CoordinatorHttp
  readonly #bytesMax: number
  readonly #log: WorkerLog
  /** Slots in use. */
  readonly #slots = new Map<string, Slot>()
  readonly #removing = new Set<string>()
  #measuredAtMs = -Infinity
  #trimming: Promise<void> | undefined

  constructor(dataDir: string, http: CoordinatorHttp, bytesMax: number, log: WorkerLog) {
    this.#directory = path.join(dataDir, 'workspaces')
    this.#cache = new ContentCache(path.join(dataDir, 'cache'), http)
    this.#http = http
    this.#bytesMax = bytesMax
    this.#log = log
  }

  async acquire(request: WorkspaceRequest): Promise<Workspace> {
    const manifest = parseManifest(await this.#fetchManifest(request.manifest, request.signal))
    const use = `${request.manifest}\n${request.setup ?? ''}`
    for (;;) {
      let isMaker = false
      const slot = this.#slot(manifest.name, use, (directory) => {
        isMaker = true
        return this.#prepare(directory, manifest, request)
      })
      slot.users += 1
      try {
        await slot.ready
        return { root: path.join(slot.directory, 'root'), release: () => this.#release(slot) }
      } catch (error) {
        await this.#release(slot)
        // Another batch failed at making it, perhaps because that one was cancelled.
        if (isMaker || request.signal.aborted) throw error
      }
    }
  }

  /**
   * Removes every workspace that no batch uses, and what is damaged in the cache: the next batch finds
   * what a new worker would. What can't be removed is said in the log and left.
   */
  async clear(): Promise<void> {
    await this.#trimming
    const failed = (what: string) => (error: Error) => this.#log('warning', `Cannot ${what}: ${error.message}`)
    const directories = await this.#slotDirectories().catch(failed(`list the workspaces in ${this.#directory}`))
    for (const directory of directories ?? [])
      await this.#removeSlot(directory).catch(failed(`remove the workspace ${directory}`))
    const damaged = await this.#cache.removeDamaged().catch(failed('check the content cache'))
    if (damaged) this.#log('warning', `${damaged} damaged file(s) of the content cache were removed`)
  }

  /** Whatever looks after the disk in the background is done. */
  async settled(): Promise<void> {
    await this.#trimming
  }

  async #fetchManifest(hash: string, signal: AbortSignal): Promise<Uint8Array> {
    const path = `/api/v1/blobs/${hash}`
    return withPatience(async () => readAll(await this.#http.open(path, signal), manifestBytesMax), signal)
  }

  #slot(name: string, use: string, prepare: (directory: string) => Promise<void>): Slot {
    for (let number = 0; number < slotsMax; number += 1) {
      const directory = path.join(this.#directory, name, String(number))
      const taken = this.#slots.get(directory)
      if (taken?.use === use) return taken
      if (taken !== undefined || this.#removing.has(directory) || !lock(directory)) continue
      const slot: Slot = { directory, use, users: 0, ready: prepare(directory) }
      this.#slots.set(directory, slot)
      return slot
    }
    throw new Error(`more than ${slotsMax} workspaces of ${name} in use`)
  }

  async #prepare(
    directory: string,
    manifest: ReturnType<typeof parseManifest>,
    request: WorkspaceRequest,
  ): Promise<void> {
    const root = path.join(directory, 'root')
    const counts = await updateWorkspace({
      root,
      indexFile: path.join(directory, 'index.json'),
      manifest,
      signal: request.signal,
      contentPath: (hash) => this.#cache.path(hash),
      fetch: async (entries) => {
        const fetched = await this.#cache.fetch(entries, request.signal)
        if (fetched > 0) this.#log('debug', `${fetched} files of workspace ${manifest.name} fetched`)
      },
    })
    this.#log(
      'debug',
      `Workspace ${root}: ${counts.written} written, ${counts.deleted} deleted, ${counts.unchanged} unchanged`,
    )
    if (request.setup === undefined) return
    const stateFile = path.join(directory, 'setup')
    const { output, run } = request
    if (await setUpWorkspace({ command: request.setup, manifest, root, stateFile, output, run }))
      this.#measuredAtMs = -Infinity
  }

  async #release(slot: Slot): Promise<void> {
    slot.users -= 1
    if (slot.users > 0) return
    this.#slots.delete(slot.directory)
    // Its last use, for the choice of what goes.
    const now = Date.now() / 1000
    utimesSync(slot.directory, now, now)
    unlock(slot.directory)
    if (performance.now() - this.#measuredAtMs < measureEveryMs || this.#trimming !== undefined) return
    this.#measuredAtMs = performance.now()
    this.#trimming = this.#trim()
      .catch((error: Error) =>
        this.#log('warning', `Cannot look after the disk space of ${this.#directory}: ${error.message}`),
      )
      .finally(() => (this.#trimming = undefined))
  }

  async #trim(): Promise<void> {
    type Candidate = { readonly bytes: number; readonly usedAtMs: number; readonly remove: () => Promise<void> }
    const candidates: Candidate[] = []
    for (const directory of await this.#slotDirectories()) {
      const { mtimeMs } = await stat(directory)
      candidates.push({ bytes: await bytesOf(directory), usedAtMs: mtimeMs, remove: () => this.#removeSlot(directory) })
    }
    for await (const { file, bytes, usedAtMs } of this.#cache.list())
      candidates.push({ bytes, usedAtMs, remove: () => rm(file, { force: true }) })
    let total = candidates.reduce((sum, one) => sum + one.bytes, 0)
    for (const { bytes, remove } of candidates.toSorted((a, b) => a.usedAtMs - b.usedAtMs)) {
      if (total <= this.#bytesMax) return
      await remove()
      total -= bytes
    }
  }

  async #slotDirectories(): Promise<string[]> {
    const names = await readdir(this.#directory).catch(absent)
    if (names === undefined) return []
    const slots = await Promise.all(
      names.map(async (name) =>
        (await readdir(path.join(this.#directory, name))).map((slot) => path.join(this.#directory, name, slot)),
      ),
    )
    return slots.flat()
  }

  async #removeSlot(directory: string): Promise<void> {
    if (this.#slots.has(directory) || !lock(directory)) return
    this.#removing.add(directory)
    try {
      await rm(directory, { recursive: true, force: true })
    } finally {
      this.#removing.delete(directory)
    }
  }
}

async function bytesOf(directory: string): Promise<number> {
  const { stdout } = await promisify(execFile)('du', ['-sk', directory])
  return Number(stdout.split('\t')[0]) * 1024
}

/** False when another worker process that shares the data directory is using the slot. */
function lock(directory: string): boolean {
  mkdirSync(directory, { recursive: true, mode: 0o700 })
  const file = path.join(directory, 'lock')
  try {
    writeFileSync(file, String(process.pid), { flag: 'wx' })
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
  }
  const owner = existsSync(file) ? Number(readFileSync(file, 'utf8')) : 0
  if (owner !== process.pid && owner > 0 && isRunning(owner)) return false
  writeFileSync(file, String(process.pid))
  return true
}

function unlock(directory: string): void {
  rmSync(path.join(directory, 'lock'), { force: true })
}
