/**
 * How much work one framework process is given. One host alone takes everything: the framework's own parallelism beats
 * any splitting. Several are filled to the level at which all would be over at once (level.ts), less what is held back
 * for those that are done early, to even out what estimates got wrong. How much that is follows from what it costs:
 *
 * - Where start-ups cost next to nothing: half. Batches shrink towards the end, as in guided self-scheduling
 *   (Polychronopoulos & Kuck 1987) and factoring (Hummel, Schonberg & Flynn 1992).
 * - Else it costs nearly every worker another start-up: two standard deviations of the batch, and nothing where
 *   that is less than a few start-ups. The errors of its files partly cancel each other out; that of its worker stays.
 *
 * `npm run bench -- attainable` compares with plans that are searched for, knowing how far estimates may be off.
 */
import type { Run, Worker } from '../core/state.ts'
import { latestMs, levelOf, othersDoneMs, type Level, type Undivided } from './level.ts'
import { type Deal, dealsOf, shortened } from './longest-first.ts'

/** How far a share's real work may be off: with a duration from history for every file, and with none. */
const uncertaintyKnown = 0.15
const uncertaintyUnknown = 0.5
/** Standard deviations, as parts of what is expected: of one file, and of all that a worker does (its load, its disk). */
const deviationKnown = { file: 0.12, worker: 0.07 }
const deviationUnknown = { file: 0.5, worker: 0.2 }
/** Nothing is held back that isn't worth so many start-ups. */
const startupsWorth = 3
/** So much of a start-up a worker may be late with the last of the work, rather than leave that for another process. */
const lateStartups = 0.5
/**
 * So much of a start-up those who come back early take beyond their share, so that the last ones, which are late by what they
 * were given already, need no process more.
 */
const earlyStartups = 0.1
/** With more workers or batches than this, what single ones took makes no difference. */
const preciseMax = 64
/** A start-up is next to nothing when this many of them are less than what estimates may be off by. */
const cheapStart = 50

/** What a batch may be filled with, in estimated CPU-milliseconds of the reference machine. */
export type Room = {
  /** Infinity = all. */
  readonly targetMs: number
  /** No file that is longer. */
  readonly longestMs: number
  /** Of its share, what is not in the target. */
  readonly withheldMs: number
  /** What another process costs. */
  readonly startMs: number
  readonly deviation: { readonly file: number; readonly worker: number }
  /** Workers that are like it and come after it: files are dealt to them in turn, so that none has all the long ones. */
  readonly alike: number
  /** It runs so many files at a time; see lanes.ts. */
  readonly lanes: number
  /** What it may have beyond its target, if nothing is left then. */
  readonly lateMs: number
  /** Exactly these, whatever else would fit. */
  readonly dealt?: readonly number[] | undefined
}

/** How what is left of a group is divided, from one worker that is free now to the next. */
export class Division {
  readonly undivided: Undivided
  /** To which all are filled who are free at this moment. */
  readonly #level: Level
  readonly #deals: ReadonlyMap<Worker, Deal> | undefined
  #next: { readonly token: number; readonly ms: number } | undefined
  #others: { readonly token: number; readonly ms: number } | undefined

  /** `alone`: each worker is asked about by itself, whatever the others could be given. */
  constructor(undivided: Undivided, alone = false) {
    this.undivided = undivided
    this.#level = levelOf(undivided, true)
    if (!alone) this.#deals = dealsOf(undivided, deviationOf(undivided.run).file)
  }

  /** To which the next one is filled: what those before it took too much or too little of is made up for. */
  get #nextMs(): number {
    const { state, group, fleet, startupMs } = this.undivided
    if (fleet.workers.length > preciseMax || group.batches.size > preciseMax) return this.#level.ms
    if (this.#next?.token !== state.lastToken) {
      const { ms } = levelOf(this.undivided, false)
      // No more than a little, as what is held back is held back on purpose.
      this.#next = { token: state.lastToken, ms: Math.min(ms, this.#level.ms + lateStartups * startupMs) }
    }
    return this.#next.ms
  }

  /** Whether others were given a part of it before this moment. */
  get #isUnderWay(): boolean {
    const { state, group, nowMs } = this.undivided
    const [oldest] = group.batches
    return oldest !== undefined && state.batches.get(oldest)!.assignedAtMs < nowMs
  }

  /** For a worker of this speed that has so many CPUs to give; `last`: nobody else is free. */
  room(worker: Worker, cpus: number, speed: number, alike: number, last: boolean): Room {
    const { run, fleet, startupMs } = this.undivided
    const own = cpus * speed
    const startMs = startupMs * own
    const deviation = deviationOf(run)
    if (own >= fleet.cpus) {
      const all = { targetMs: Infinity, withheldMs: 0, longestMs: Infinity, lateMs: Infinity }
      return { ...all, startMs, deviation, lanes: 1, alike: 1 }
    }
    const fairMs = Math.max(0, this.#nextMs - startupMs) * own + (this.#isUnderWay ? earlyStartups * startMs : 0)
    const offMs = (this.#level.ms - startupMs) * own * uncertaintyOf(run)
    const part = offMs > 0 ? Math.max(0, 0.5 * (1 - (cheapStart * startMs) / offMs)) : 0
    const deal = this.#deals?.get(worker)
    if (deal !== undefined) {
      const all = { targetMs: deal.workMs, withheldMs: 0, longestMs: Infinity, lateMs: 0 }
      const dealOffMs = offByMs(deviation, deal.workMs, deal.squares)
      const heldMs = dealOffMs > startupsWorth * startMs ? dealOffMs / cpus : 0
      const dealt = shortened(deal, cpus, Math.max(heldMs, deal.lastMs * part))
      return { ...all, startMs, deviation, lanes: 1, alike: 1, dealt }
    }
    return {
      targetMs: fairMs * (1 - part),
      withheldMs: fairMs * part,
      // Where the rest is divided evenly at next to no cost, a long file that takes longer than expected is all that is left.
      longestMs: latestMs(this.undivided, this.#level, own, part > 0 ? 2 * deviation.file : 0) * speed,
      startMs,
      deviation,
      lanes: cpus,
      // With half of everything held back, longest first evens out more.
      alike: part > 0 ? 1 : alike,
      lateMs: last ? lateStartups * startMs : 0,
    }
  }

  /** When those who are at work would be done with all that is left; see `othersDoneMs`. */
  get othersMs(): number {
    const { state } = this.undivided
    // It stays the same until somebody is given something.
    if (this.#others?.token !== state.lastToken)
      this.#others = { token: state.lastToken, ms: othersDoneMs(this.undivided) }
    return this.#others.ms
  }
}

/** What is held back of a batch: of so much work, with this sum of the squares of its files. */
export function heldBackMs({ deviation, startMs, withheldMs }: Room, workMs: number, squares: number): number {
  const offMs = offByMs(deviation, workMs, squares)
  return offMs > startupsWorth * startMs ? Math.max(0, offMs - withheldMs) : 0
}

function offByMs(deviation: Room['deviation'], workMs: number, squares: number): number {
  return 2 * Math.sqrt(deviation.file ** 2 * squares + (deviation.worker * workMs) ** 2)
}

/** How far the run's estimates may be off, as a part of them: by how many of them history knows. */
export function uncertaintyOf(run: Run): number {
  return byKnown(run, uncertaintyKnown, uncertaintyUnknown)
}

function deviationOf(run: Run): Room['deviation'] {
  return {
    file: byKnown(run, deviationKnown.file, deviationUnknown.file),
    worker: byKnown(run, deviationKnown.worker, deviationUnknown.worker),
  }
}

function byKnown(run: Run, known: number, unknown: number): number {
  const part = run.tasks.length === 0 ? 0 : run.knownCount / run.tasks.length
  return known * part + unknown * (1 - part)
}
