/** The directory of one attempt: TMPDIR of its processes, the runner's own files, an empty place to work in. */
import { mkdirSync, rmSync, symlinkSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import path from 'node:path'
import { sharedCaches } from './environment.ts'
import type { WorkerLog } from './thread-messages.ts'

export class AttemptDir {
  /** Short: Unix sockets are made below it, and their paths have a limit of about a hundred characters. */
  readonly root: string
  readonly #log: WorkerLog

  constructor(tempRoot: string, name: string, log: WorkerLog) {
    this.root = path.join(tempRoot, name)
    this.#log = log
    // Left there only by a removal that failed.
    rmSync(this.root, { recursive: true, force: true })
    for (const folder of ['t', 'runner', 'work'])
      mkdirSync(path.join(this.root, folder), { recursive: true, mode: 0o700 })
  }

  get temp(): string {
    return path.join(this.root, 't')
  }

  get runner(): string {
    return path.join(this.root, 'runner')
  }

  get work(): string {
    return path.join(this.root, 'work')
  }

  /** Makes caches that tools keep under their user's TMPDIR reachable from this one. */
  linkCaches(callersTempDir: string): void {
    for (const name of sharedCaches(process.getuid?.() ?? 0)) {
      mkdirSync(path.join(callersTempDir, name), { recursive: true })
      symlinkSync(path.join(callersTempDir, name), path.join(this.temp, name))
    }
  }

  async remove(): Promise<void> {
    try {
      await rm(this.root, { recursive: true, force: true, maxRetries: 3 })
    } catch (error) {
      this.#log('warning', `Cannot remove ${this.root}: ${(error as Error).message}`)
    }
  }
}
