/**
 * How a coordinator is, gathered from its parts: what a person must see to (`health`), whether it can serve (`readiness`),
 * and where it stands (`standing`). What troubles it is told here by whoever notices; nothing is decided from it here.
 */
import { statfs } from 'node:fs/promises'
import type { SchedulerHost } from '../plugins/scheduler-host.ts'
import { MusterError } from '../protocol/errors.ts'
import type { KeptHistory } from './kept-history.ts'
import type { LogTrouble } from './leader.ts'
import type { Overload } from './overload.ts'
import type { Seat } from './seat.ts'
import type { Readiness, Standing } from './standing.ts'

/** How long a log that can't be written may take to come back, as far as anybody knows. */
const logRetryAfterMs = 2000

export type Health = { readonly status: 'ok' | 'degraded'; readonly problems: readonly string[] }

/** What health is gathered from. */
export type Parts = {
  readonly seat: Seat
  readonly overload: Overload
  readonly history: KeptHistory
  readonly scheduling: SchedulerHost
}

export type ConditionOptions = {
  /** Whose disk is looked at; absent: the data lies elsewhere. */
  readonly directory?: string
  readonly say: (level: 'info' | 'warn' | 'error', message: string, detail: Record<string, unknown>) => void
}

export class Condition {
  readonly #options: ConditionOptions
  #logTrouble: string | undefined
  #logTroubleCode: LogTrouble = 'log_failed'
  #blobTrouble: string | undefined
  #disk: { readonly freeBytes: number; readonly totalBytes: number } | undefined
  #leaving = false
  readonly #noted = new Map<string, string>()

  constructor(options: ConditionOptions) {
    this.#options = options
  }

  /** Why the log can't be written. */
  get logTrouble(): string | undefined {
    return this.#logTrouble
  }

  /** Why results can't be stored. */
  get blobTrouble(): string | undefined {
    return this.#blobTrouble
  }

  /** Of the disk with the data; undefined: not looked at, or not known. */
  get disk(): { readonly freeBytes: number; readonly totalBytes: number } | undefined {
    return this.#disk
  }

  /** What a write is refused with while the log can't be written. */
  logRefusal(): MusterError | undefined {
    if (this.#logTrouble === undefined) return undefined
    return new MusterError(this.#logTroubleCode, this.#logTrouble, { retryAfterMs: logRetryAfterMs })
  }

  /** `trouble` undefined: the log can be written (again). */
  logIs(trouble: string | undefined, code: LogTrouble = 'log_failed'): void {
    if (trouble !== this.#logTrouble)
      this.#options.say(trouble ? 'error' : 'info', trouble ?? 'the log can be written again', {})
    this.#logTrouble = trouble
    this.#logTroubleCode = code
  }

  blobsAre(trouble: string | undefined): void {
    if (trouble !== undefined && this.#blobTrouble === undefined) this.#options.say('error', trouble, {})
    this.#blobTrouble = trouble
  }

  /** A problem of the process round it, shown by `health()` until it is undefined. */
  note(subject: string, problem: string | undefined): void {
    if (problem === undefined) this.#noted.delete(subject)
    else this.#noted.set(subject, problem)
  }

  /** From now on it is not ready: who asks before sending work goes elsewhere. */
  leave(): void {
    this.#leaving = true
  }

  async lookAtDisk(): Promise<void> {
    const { directory } = this.#options
    if (directory === undefined) return
    try {
      const { bavail, blocks, bsize } = await statfs(directory)
      this.#disk = { freeBytes: bavail * bsize, totalBytes: blocks * bsize }
    } catch (error) {
      this.#disk = undefined
      this.#options.say('warn', 'the free space of the disk is not known', { error: String(error) })
    }
  }

  /** Sentences that may name paths and hosts. */
  health({ seat, overload, history, scheduling }: Parts): Health {
    const problems: string[] = []
    if (this.#logTrouble !== undefined) problems.push(`log: ${this.#logTrouble}`)
    if (this.#blobTrouble !== undefined) problems.push(`results can't be stored: ${this.#blobTrouble}`)
    if (seat.role === 'stopped') problems.push('it has stopped')
    else if (!seat.canWrite) problems.push('no coordinator leads, as far as it knows')
    if (overload.trouble !== undefined) problems.push(`overloaded: ${overload.trouble}`)
    if (history.trouble !== undefined) problems.push(`history: ${history.trouble}`)
    problems.push(...scheduling.problems(seat.state, Date.now()))
    for (const [subject, problem] of this.#noted) problems.push(`${subject}: ${problem}`)
    return { status: problems.length === 0 ? 'ok' : 'degraded', problems }
  }

  /** Whether it can serve: take a submission and answer for it. What needs a person but stops nobody is `health()`'s. */
  readiness(seat: Seat): Readiness {
    const reasons: string[] = []
    if (this.#leaving) reasons.push('it is shutting down')
    if (seat.role === 'stopped' && !this.#leaving) reasons.push('it has stopped')
    else if (seat.role === 'loading') reasons.push('it is reading the log')
    else if (!seat.canWrite) reasons.push('no coordinator leads')
    if (this.#logTrouble !== undefined) reasons.push('the log cannot be written')
    return { ready: reasons.length === 0, reasons }
  }

  standing(coordinator: string, logFill: number | undefined, { seat, history }: Parts): Standing {
    const { role, epoch, position, headPosition, silentMs } = seat
    return {
      coordinator,
      role: role === 'leading' ? 'leader' : 'follower',
      epoch,
      position,
      headPosition,
      behindMs: position < headPosition || !seat.canWrite ? silentMs : 0,
      logWritable: this.#logTrouble === undefined && seat.canWrite,
      logFill,
      historyBehind: history.behind(position),
    }
  }
}
