/**
 * Whom a coordinator turns away while it has more to do than it can. Every queue has a limit; the nearer
 * any of them is to it, the fewer submissions are taken: those of low priority are refused first, then the normal
 * ones, last the urgent ones. What was refused says why and when to ask again, from the rate at which
 * the queue gets shorter. Nothing else is refused: reports of workers, cancellations and reads get through.
 *
 * A band that was closed opens only well below the mark at which it closed, so that it doesn't flutter.
 * Leaves out fairness between clients, and a memory: after a restart it looks anew.
 */
import type { Committed } from './leader.ts'
import { MusterError } from '../protocol/errors.ts'
import type { Clock } from '../stdx/clock.ts'
import { formatDuration } from '../stdx/duration.ts'

/** Shares of a limit, in percent, and the limits that are nobody else's. */
export type OverloadLimits = {
  /** Priorities below 0 are refused from here. */
  readonly lowPercent: number
  /** Priority 0. */
  readonly normalPercent: number
  /** Priorities above 0. */
  readonly highPercent: number
  /** How far below that they are taken again. */
  readonly reopenPercent: number
  /** An append that takes so long on average is as bad as a full queue. */
  readonly appendSlowMs: number
  /** Free space on the disk of the data that counts as none; at most a twentieth of the disk. */
  readonly diskFreeMin: number
  /** Inputs that wait for the log. */
  readonly inputsMax: number
  /** Bytes of JSON bodies under way at once. */
  readonly bodyBytesMax: number
  /** Requests under way at once. */
  readonly requestsMax: number
  /** Bytes that a watcher has not taken; beyond, per-test messages are left out. */
  readonly watcherBytesFine: number
  /** Beyond, its connection is closed. */
  readonly watcherBytesMax: number
}

const MiB = 1024 * 1024

export const defaultOverloadLimits: OverloadLimits = {
  lowPercent: 70,
  normalPercent: 85,
  highPercent: 95,
  reopenPercent: 10,
  appendSlowMs: 2000,
  diskFreeMin: 256 * MiB,
  inputsMax: 100_000,
  bodyBytesMax: 512 * MiB,
  requestsMax: 5000,
  watcherBytesFine: MiB,
  watcherBytesMax: 64 * MiB,
}

/** What is looked at; everything cheap. */
export type OverloadMeasures = {
  readonly queuedTasks: () => number
  readonly queuedTasksMax: () => number
  /** Inputs that wait on this coordinator, if it leads. */
  readonly queuedInputs: () => number
  /** Live bytes of a shared log against its budget, 0..1. */
  readonly logFill: () => number
  /** Of the disk with the data; undefined: not looked at, or not known. */
  readonly disk: () => { readonly freeBytes: number; readonly totalBytes: number } | undefined
  /** Why results can't be stored, when they can't. */
  readonly blobTrouble: () => string | undefined
}

type Signal = {
  /** 1: the limit is reached. */
  readonly pressure: number
  /** Made when somebody is told: every submission asks, and most are taken. */
  readonly words: () => string
  readonly retryAfterMs: number
}

const bands = ['low', 'normal', 'high'] as const
type Band = (typeof bands)[number]

/** Averages forget about two thirds in this time. */
const memoryMs = 10_000
const retryMinMs = 1000
const retryMaxMs = 120_000
const retryUnknownMs = 5000
const diskPartMax = 0.05
const blobTroublePressure = 0.9

export function bandOf(priority: number): Band {
  return priority < 0 ? 'low' : priority === 0 ? 'normal' : 'high'
}

export class Overload {
  readonly #clock: Clock
  readonly #limits: OverloadLimits
  readonly #measures: OverloadMeasures
  readonly #closed = new Set<Band>()
  /** Tasks ended and inputs taken per millisecond. */
  readonly #tasksEnded: Rate
  readonly #inputsTaken: Rate
  #appendMs = 0
  #appendedAtMs = -Infinity
  #worst: Signal | undefined

  constructor(clock: Clock, limits: OverloadLimits, measures: OverloadMeasures) {
    this.#clock = clock
    this.#limits = limits
    this.#measures = measures
    this.#tasksEnded = new Rate(clock)
    this.#inputsTaken = new Rate(clock)
  }

  /** With every durable entry. */
  committed({ events, appendMs, inputs = 0 }: Committed): void {
    let ended = 0
    for (const event of events) if (event.type === 'task.ended') ended += event.tasks.length
    this.#tasksEnded.add(ended)
    this.#inputsTaken.add(inputs)
    if (appendMs === undefined) return
    const nowMs = this.#clock.monotonicMs()
    const weight = Math.min(1, Math.max(0.1, (nowMs - this.#appendedAtMs) / memoryMs))
    this.#appendMs += (appendMs - this.#appendMs) * weight
    this.#appendedAtMs = nowMs
  }

  /** Why a submission of this priority can't be taken now; undefined: it can. */
  refusal(priority: number): MusterError | undefined {
    this.look()
    if (!this.#closed.has(bandOf(priority)) || !this.#worst) return undefined
    const { words, retryAfterMs } = this.#worst
    const hint = this.#closed.has('high')
      ? 'Try again later.'
      : 'Try again later; urgent runs (a higher --priority) are still taken.'
    return new MusterError('overloaded', words(), { retryAfterMs, hint })
  }

  /** For people, while anything is refused. */
  get trouble(): string | undefined {
    this.look()
    if (this.#closed.size === 0 || !this.#worst) return undefined
    const refused = this.#closed.has('high')
      ? 'no new runs are taken'
      : `new runs of ${[...this.#closed].join(' and ')} priority are refused`
    return `${this.#worst.words()}; ${refused}`
  }

  /** Nothing more than necessary is to be done. */
  get strained(): boolean {
    return this.#closed.size > 0
  }

  look(): void {
    let worst: Signal = { pressure: 0, words: () => '', retryAfterMs: 0 }
    for (const signal of this.#signals()) if (signal.pressure > worst.pressure) worst = signal
    for (const band of bands) {
      const closes = this.#closesAt(band)
      if (worst.pressure >= closes) this.#closed.add(band)
      else if (worst.pressure < closes - this.#limits.reopenPercent / 100) this.#closed.delete(band)
    }
    this.#worst = this.#closed.size > 0 ? worst : undefined
  }

  #closesAt(band: Band): number {
    const { lowPercent, normalPercent, highPercent } = this.#limits
    return { low: lowPercent, normal: normalPercent, high: highPercent }[band] / 100
  }

  *#signals(): Generator<Signal> {
    const { appendSlowMs, diskFreeMin, inputsMax } = this.#limits
    const measures = this.#measures
    yield this.#queue(measures.queuedTasks(), measures.queuedTasksMax(), 'tasks are waiting', this.#tasksEnded)
    yield this.#queue(measures.queuedInputs(), inputsMax, 'requests are waiting for the log', this.#inputsTaken)
    // What was slow and isn't asked any more is forgotten.
    const appendMs = this.#appendMs * Math.exp(-(this.#clock.monotonicMs() - this.#appendedAtMs) / memoryMs)
    const takes = () => `the log takes ${formatDuration(appendMs)} for an entry`
    yield { pressure: Math.min(1, appendMs / appendSlowMs), words: takes, retryAfterMs: retryUnknownMs }
    const fill = measures.logFill()
    const full = () => `the log is ${Math.round(fill * 100)} % full`
    yield { pressure: fill, words: full, retryAfterMs: retryUnknownMs }
    const disk = measures.disk()
    if (disk && disk.totalBytes > 0) {
      const least = Math.min(diskFreeMin, disk.totalBytes * diskPartMax)
      const words = () => `the disk has ${Math.floor(disk.freeBytes / MiB)} MiB left`
      yield { pressure: Math.min(1, least / Math.max(1, disk.freeBytes)), words, retryAfterMs: retryUnknownMs }
    }
    const blobTrouble = measures.blobTrouble()
    if (blobTrouble !== undefined) {
      const words = () => `results can't be stored: ${blobTrouble}`
      yield { pressure: blobTroublePressure, words, retryAfterMs: retryUnknownMs }
    }
  }

  #queue(length: number, max: number, words: string, rate: Rate): Signal {
    const goal = (this.#limits.lowPercent - this.#limits.reopenPercent) / 100
    const perMs = rate.perMs
    const surplus = Math.max(0, length - goal * max)
    const waitMs = perMs > 0 ? surplus / perMs : retryUnknownMs
    const retryAfterMs = Math.ceil(Math.min(retryMaxMs, Math.max(retryMinMs, waitMs)) / 1000) * 1000
    return { pressure: length / max, words: () => `${compact(length)} ${words}`, retryAfterMs }
  }
}

/** How often something happens, over about the last `memoryMs`. */
class Rate {
  readonly #clock: Clock
  #sum = 0
  #atMs: number

  constructor(clock: Clock) {
    this.#clock = clock
    this.#atMs = clock.monotonicMs()
  }

  add(count: number): void {
    this.#decay()
    this.#sum += count
  }

  get perMs(): number {
    this.#decay()
    return this.#sum < 0.5 ? 0 : this.#sum / memoryMs
  }

  #decay(): void {
    const nowMs = this.#clock.monotonicMs()
    this.#sum *= Math.exp(-(nowMs - this.#atMs) / memoryMs)
    this.#atMs = nowMs
  }
}

/** `1.2 M`, `12 345`. */
function compact(count: number): string {
  if (count >= 999_500) return `${(count / 1_000_000).toFixed(1)} M`
  return String(count).replace(/\B(?=(\d{3})+$)/g, ' ')
}
