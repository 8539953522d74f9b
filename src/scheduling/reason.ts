/**
 * What can stand in the way of work that waits, as data. Reasons with `any` are about workers one by one: it is enough
 * when one of them goes. All others must go.
 */
import type { BatchId, Lock, RunId, TaskIndex, TaskState, WorkerId } from '../core/entities.ts'
import type { QuotaHit } from '../core/holdings.ts'
import type { Run } from '../core/state.ts'
import type { Interval, Silence, WatchedView } from './expected.ts'
import type { Fleets, Speed } from './fleet.ts'
import type { Lack } from './nearest.ts'
import type { UnknownAttribute } from './unknown-attributes.ts'

export type Holder = {
  readonly run: RunId
  readonly batch: BatchId
  readonly worker: WorkerId
  readonly name: string
  readonly sinceMs: number
  /** When it is expected to end, or what it holds is let go because nobody hears from its worker. */
  readonly ends: Interval
  /** Absent: its worker is there. */
  readonly silent?: Silence
}

export type BusyWorker = {
  readonly worker: WorkerId
  readonly name: string
  /** What there isn't enough of. */
  readonly short: string
  readonly holders: readonly Holder[]
  /** When there may be room. */
  readonly free: Interval
}

export type Reason =
  | { readonly type: 'paused' }
  | { readonly type: 'cancelling'; readonly why: string }
  | {
      readonly type: 'after-runs'
      readonly runs: readonly { readonly run: RunId; readonly state: string; readonly when: 'passed' | 'finished' }[]
      readonly count: number
    }
  | {
      readonly type: 'after-tasks'
      readonly tasks: readonly { readonly task: TaskIndex; readonly file: string; readonly state: TaskState }[]
      readonly count: number
    }
  | { readonly type: 'back-off'; readonly untilMs: number }
  | {
      readonly type: 'class-breaker'
      readonly scope: string
      readonly stand: 'open' | 'half-open'
      readonly untilMs?: number
      readonly why: string
    }
  | { readonly type: 'workers-max'; readonly max: number }
  | {
      readonly type: 'lock'
      readonly name: string
      readonly mode: Lock['mode']
      readonly holders: readonly Holder[]
      readonly count: number
    }
  /** The run comes first and waits for that lock, too; or for the same project's or user's quota. */
  | { readonly type: 'lock-kept' | 'quota-kept'; readonly run: RunId }
  | { readonly type: 'no-worker' }
  | { readonly type: 'worker-breakers'; readonly count: number; readonly untilMs?: number }
  | {
      readonly type: 'no-fit'
      readonly connected: number
      readonly nearest: { readonly worker: WorkerId; readonly name: string; readonly lacks: readonly Lack[] }
      /** Attributes that no connected worker has; absent = none. */
      readonly unknown?: readonly UnknownAttribute[]
    }
  | {
      readonly type: 'quota'
      readonly any: true
      readonly scope: string
      readonly of: QuotaHit['of']
      readonly used: number
      readonly max: number
      readonly freeAtMs?: number
    }
  | { readonly type: 'busy'; readonly any: true; readonly workers: readonly BusyWorker[]; readonly count: number }
  | { readonly type: 'reserved'; readonly any: true; readonly run: RunId; readonly count: number }
  | {
      readonly type: 'recycling'
      readonly any: true
      readonly worker: WorkerId
      readonly name: string
      readonly untilMs: number
    }
  | { readonly type: 'probing'; readonly any: true; readonly count: number }
  | { readonly type: 'avoided'; readonly any: true; readonly count: number; readonly untilMs: number }
  /** So many free workers are so slow that those at work would be done with all of it before them, about then. */
  | { readonly type: 'sooner-elsewhere'; readonly any: true; readonly count: number; readonly doneMs: number }
  /** Nothing that is known: the strategy serves runs in no order, or others have their turn, too. */
  | { readonly type: 'scheduler'; readonly strategy: string }

/** What is known when somebody asks. */
export type Situation = {
  readonly view: WatchedView
  readonly fleets: Fleets
  /** Of the strategy that serves the run. */
  readonly strategy: string
  /** Runs that it serves and that have work to hand out, next one first; undefined = it has no order. */
  readonly order: readonly Run[] | undefined
  /** Other strategies serve other runs, and have their turn before it or after it. */
  readonly several: boolean
  /** How fast the strategy takes workers to be. */
  readonly speed: Speed
  /** It gives each worker what it gives it by itself. */
  readonly alone: boolean
  readonly nowMs: number
}

/** Of tasks, holders and workers so many are named; the rest are counted. */
export const shownMax = 5
