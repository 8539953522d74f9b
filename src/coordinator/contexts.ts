/**
 * The private side of runs: environment and detection, which a worker needs and the log must never
 * hold. One file per run, readable by this user only, removed when the run is forgotten.
 */
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Refused } from '../core/input.ts'
import type { RunContext } from '../protocol/worker-messages.ts'

export class Contexts {
  readonly #directory: string

  private constructor(directory: string) {
    this.#directory = directory
  }

  static async open(directory: string): Promise<Contexts> {
    await mkdir(directory, { recursive: true, mode: 0o700 })
    return new Contexts(directory)
  }

  async put(run: string, context: RunContext): Promise<void> {
    await writeFile(this.#path(run), JSON.stringify(context), { mode: 0o600, flag: 'wx' })
  }

  async get(run: string): Promise<RunContext | undefined> {
    try {
      return JSON.parse(await readFile(this.#path(run), 'utf8')) as RunContext
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
      throw error
    }
  }

  async remove(run: string): Promise<void> {
    await rm(this.#path(run), { force: true })
  }

  /** After a restart: drops what neither a run in state nor a dead letter needs. */
  async keepOnly(runs: ReadonlySet<string>): Promise<void> {
    for (const name of await readdir(this.#directory)) {
      if (!runs.has(name.replace(/\.json$/, ''))) await rm(join(this.#directory, name), { force: true })
    }
  }

  #path(run: string): string {
    if (!/^[A-Za-z0-9-]+$/.test(run)) throw new Refused('not_found', `no run ${run}`)
    return join(this.#directory, `${run}.json`)
  }
}
