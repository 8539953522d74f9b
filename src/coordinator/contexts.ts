/**
 * The private side of runs: environment and detection, which a worker needs and the log must never
 * hold. What the log holds, in the run's spec, is a reference; who has it and the same backend can read
 * the context. Two backends: files for a coordinator that is alone, below, and encrypted blobs for the
 * coordinators of a cluster (sealed-contexts.ts).
 */
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Refused } from '../core/input.ts'
import type { State } from '../core/state.ts'
import { MusterError } from '../protocol/errors.ts'
import type { RunContext } from '../protocol/worker-messages.ts'

export interface Contexts {
  /** Durable when it resolves. Returns the reference for `spec.context`: never empty, no secret. */
  put(run: string, context: RunContext): Promise<string>
  /** Undefined when absent. */
  get(reference: string): Promise<RunContext | undefined>
  remove(reference: string): Promise<void>
  /** The blob it is kept in, if it is kept in one: the collector must spare it. */
  blobKey(reference: string): string | undefined
  /** After a restart: what nothing refers to may go. A backend may leave that to the collector of blobs. */
  keepOnly(references: { has(reference: string): boolean }): Promise<void>
}

/** Of all runs in state, and of those that are forgotten but for dead letters that may be replayed. */
export function contextReferences(state: Pick<State, 'runs' | 'letters'>): Map<string, string> {
  const references = new Map<string, string>()
  for (const [run, { spec }] of [...state.letters.sources, ...state.runs])
    if (spec.context !== '') references.set(run, spec.context)
  return references
}

/** One file per run, readable by this user only. The reference is the run's id. */
export class DirectoryContexts implements Contexts {
  readonly #directory: string

  private constructor(directory: string) {
    this.#directory = directory
  }

  static async open(directory: string): Promise<DirectoryContexts> {
    await mkdir(directory, { recursive: true, mode: 0o700 })
    return new DirectoryContexts(directory)
  }

  async put(run: string, context: RunContext): Promise<string> {
    const path = this.#path(run)
    try {
      await writeFile(path, JSON.stringify(context), { mode: 0o600, flag: 'wx' })
    } catch (error) {
      if (!['ENOSPC', 'EDQUOT', 'EFBIG'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error
      await rm(path, { force: true })
      throw new MusterError('disk_full', `Cannot keep the environment of run ${run}: the disk is full`, {
        hint: 'Free some space.',
        cause: error,
      })
    }
    return run
  }

  async get(reference: string): Promise<RunContext | undefined> {
    try {
      return JSON.parse(await readFile(this.#path(reference), 'utf8')) as RunContext
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
      throw error
    }
  }

  async remove(reference: string): Promise<void> {
    await rm(this.#path(reference), { force: true })
  }

  blobKey(): undefined {}

  async keepOnly(references: { has(reference: string): boolean }): Promise<void> {
    for (const name of await readdir(this.#directory)) {
      if (!references.has(name.replace(/\.json$/, ''))) await rm(join(this.#directory, name), { force: true })
    }
  }

  #path(reference: string): string {
    if (!/^[A-Za-z0-9-]+$/.test(reference)) throw new Refused('not_found', `no run ${reference}`)
    return join(this.#directory, `${reference}.json`)
  }
}
