/**
 * This coordinator's history: opened beside everything else, fed from the log, asked with a bound on
 * the time. When it is away nothing waits for it; the log is kept until it is back.
 */
import { rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { AboutFiles, Estimates, History } from '../history/history.ts'
import type { Log } from '../log/log.ts'
import { isMusterError, MusterError } from '../protocol/errors.ts'
import type { CallGuard } from './integration-breakers.ts'
import { HistoryFeeder } from './history-feeder.ts'
import type { Committed } from './leader.ts'

export type KeptHistoryOptions = {
  /** Where the database is; false: none is kept. */
  readonly directory: string | false
  readonly blobsLocation: string
  /** Positions mean something only within one log, so history must know which it is fed from. */
  readonly source: string
  readonly log: Log
  /**
   * In a cluster: another coordinator's database, into a new file at `to`; false when nobody has one. Asked when the log
   * has been trimmed past what is here: this coordinator is new, or was away for long.
   */
  readonly fetch?: (to: string) => Promise<boolean>
  /** Of questions that somebody waits for. */
  readonly guard: CallGuard
  readonly onTrouble: (trouble: string) => void
}

const estimatesWaitMs = 2000
/** While it is opened for the first time: a coordinator that was started for one run has nothing better to do. */
const openingWaitMs = 15_000

export class KeptHistory {
  readonly #options: KeptHistoryOptions
  #opening: Promise<void>
  #history: History | undefined
  #feeder: HistoryFeeder | undefined
  /** False when switched off, or when DuckDB isn't installed: then nothing waits for it. */
  #wanted: boolean
  #closed = false
  #begun = false
  #trouble: string | undefined
  /** What was applied when it began: more than that, and it is over. */
  #troubledAt = 0

  constructor(options: KeptHistoryOptions) {
    this.#options = options
    this.#wanted = options.directory !== false
    this.#opening = this.#open(options.fetch !== undefined).finally(() => {
      this.#begun = true
    })
  }

  /** `mayFetch`: what the log no longer has may come from another coordinator. */
  async #open(mayFetch: boolean): Promise<void> {
    const { directory, blobsLocation, source, log } = this.#options
    if (directory === false) return
    try {
      const { openHistory } = await import('../history/duckdb-history.ts')
      const history = await openHistory({ directory, blobsLocation, source })
      this.#history = history
      this.#feeder = new HistoryFeeder(
        history,
        log,
        (error) => this.#failed(error),
        mayFetch ? () => this.#refill(directory) : undefined,
      )
      this.#feeder.start()
    } catch (error) {
      this.#failed(error)
    }
  }

  /** Begins anew with another coordinator's history. Without one, what the log still has must do. */
  #refill(directory: string): void {
    this.#opening = this.#refilled(directory)
  }

  async #refilled(directory: string): Promise<void> {
    const file = join(directory, 'history.duckdb')
    const fetched = `${file}.fetched`
    try {
      await rm(fetched, { force: true })
      const found = await this.#options.fetch!(fetched)
      if (this.#closed) return
      if (found) {
        const before = this.#history
        this.#history = undefined
        this.#feeder = undefined
        await before?.[Symbol.asyncDispose]()
        await rm(`${file}.wal`, { force: true })
        await rename(fetched, file)
        await this.#open(false)
        return
      }
    } catch (error) {
      this.#failed(error)
    }
    if (this.#closed) return
    if (this.#history) {
      this.#feeder = new HistoryFeeder(this.#history, this.#options.log, (error) => this.#failed(error))
      this.#feeder.start()
    } else await this.#open(false)
  }

  #failed(error: unknown): void {
    if (isMusterError(error) && error.code === 'tool_missing') this.#wanted = false
    this.#trouble = error instanceof Error ? error.message : String(error)
    this.#troubledAt = this.#feeder?.applied ?? 0
    this.#options.onTrouble(this.#trouble)
  }

  /** Why it is away, in words; undefined once it has taken something or answered again. */
  get trouble(): string | undefined {
    if (this.#feeder && this.#feeder.applied > this.#troubledAt) this.#trouble = undefined
    return this.#trouble
  }

  committed(entry: Committed): void {
    this.#feeder?.committed(entry.position, entry.bytes)
  }

  /** Entries were applied to state without being told here: they are in the log. */
  missed(): void {
    this.#feeder?.missed()
  }

  /** Entries up to here may be trimmed as far as history is concerned. */
  get position(): number {
    return this.#feeder?.applied ?? (this.#wanted ? 0 : Number.MAX_SAFE_INTEGER)
  }

  /** Entries that it has not taken yet; undefined without history. */
  behind(position: number): number | undefined {
    return this.#feeder === undefined ? undefined : Math.max(0, position - this.#feeder.applied)
  }

  /** Durations from history; without history, or when it takes too long, nothing is known. */
  async estimates(
    project: string,
    suite: string,
    files: readonly string[],
    about: AboutFiles = {},
  ): Promise<Estimates> {
    const nothing: Estimates = { durationsMs: files.map(() => null), bases: files.map(() => 'none'), startupMs: null }
    const { guard } = this.#options
    if (files.length === 0 || !this.#wanted || !guard.mayCall()) return nothing
    let trouble: string | undefined
    let timer: NodeJS.Timeout | undefined
    const { promise: late, resolve } = Promise.withResolvers<Estimates>()
    const limit = (waitMs: number) => {
      clearTimeout(timer)
      timer = setTimeout(() => {
        trouble = `no answer within ${waitMs} ms`
        resolve(nothing)
      }, waitMs)
    }
    const isBeginning = !this.#begun
    limit(isBeginning ? openingWaitMs : estimatesWaitMs)
    const asked = this.#opening.then(() => {
      if (isBeginning && trouble === undefined) limit(estimatesWaitMs)
      return this.#history?.estimates(project, suite, files, about) ?? nothing
    })
    try {
      const estimates = await Promise.race([asked, late])
      if (this.#history && trouble === undefined) this.#trouble = undefined
      return estimates
    } catch (error) {
      this.#failed(error)
      trouble = this.trouble
      return nothing
    } finally {
      clearTimeout(timer)
      guard.ended(trouble)
      asked.catch(() => nothing)
    }
  }

  /** With everything committed so far; MusterError unavailable without it. */
  async current(): Promise<History> {
    await this.#opening
    if (!this.#history || !this.#feeder) {
      throw new MusterError('unavailable', `history is not available: ${this.trouble ?? 'switched off'}`)
    }
    await this.#feeder.settle()
    return this.#history
  }

  /** A copy for another coordinator. */
  async copy(to: string): Promise<void> {
    await (await this.current()).copy(to)
  }

  async close(): Promise<void> {
    this.#closed = true
    await this.#opening
    try {
      await this.#feeder?.settle()
    } catch (error) {
      this.#failed(error)
    }
    this.#feeder?.stop()
    await this.#history?.[Symbol.asyncDispose]()
  }
}
