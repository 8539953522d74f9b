/** What was slow to find out, kept in the worker's data directory with what it depends on. A cache: it may be deleted, damaged or written twice. */
import { readFile, rename, writeFile } from 'node:fs/promises'
import path from 'node:path'
import type { WorkerLog } from '../thread-messages.ts'

type Entry = { readonly print: string; readonly value: unknown }

export class Remembered {
  readonly #file: string
  readonly #log: WorkerLog
  #entries: Record<string, Entry> = {}
  #saving: Promise<void> = Promise.resolve()

  constructor(dataDir: string, log: WorkerLog) {
    this.#file = path.join(dataDir, 'detected.json')
    this.#log = log
  }

  async load(): Promise<void> {
    try {
      const value: unknown = JSON.parse(await readFile(this.#file, 'utf8'))
      if (typeof value === 'object' && value !== null) this.#entries = value as Record<string, Entry>
    } catch {
      // Not there yet, or damaged: everything is found out again.
    }
  }

  /** Undefined when it isn't known for this print. */
  get(name: string, print: string): unknown {
    const entry = this.#entries[name]
    return entry?.print === print ? entry.value : undefined
  }

  set(name: string, print: string, value: unknown): void {
    this.#entries[name] = { print, value }
    this.#saving = this.#saving.then(() => this.#save())
  }

  /** When what was set is written. */
  saved(): Promise<void> {
    return this.#saving
  }

  async #save(): Promise<void> {
    const own = `${this.#file}.${process.pid}`
    try {
      await writeFile(own, JSON.stringify(this.#entries))
      await rename(own, this.#file)
    } catch (error) {
      this.#log('debug', `Cannot remember what was detected: ${(error as Error).message}`)
    }
  }
}
