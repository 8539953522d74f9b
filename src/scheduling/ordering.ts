/** What tells one strategy from another that places in order, and who waits. */
import { hasReady } from '../core/due.ts'
import type { Assign } from '../core/input.ts'
import type { Group, Run, State, Worker } from '../core/state.ts'
import { sortInTurn } from './fair-turns.ts'
import { Fleets, type Speed, type View } from './fleet.ts'
import type { Reservations } from './reservations.ts'
import { type KeyedOrder, sortRuns } from './run-order.ts'

export type Placement = Omit<Assign, 'type'>

export type StrategyView = View & {
  readonly nowMs: number
  /** Runs that this strategy is to place; absent = all. */
  readonly mine?: (run: Run) => boolean
  /** What is kept for runs of strategies before this one, and takes what this one keeps; absent = nothing yet. */
  readonly kept?: Reservations
}

/** What tells one strategy from another that places in order. */
export type Ordering = {
  /** How runs are served: by an order that is kept from round to round, or sorted each time. One with `inTurn`: `turn: 'batch'`. */
  readonly keyed?: KeyedOrder
  /** Sorts runs with work to hand out, the next one first; may drop some. Used where the other is absent. */
  readonly sort?: (view: View, waiting: Run[], fleets: Fleets, nowMs: number) => Run[]
  /** run: everything that it can be given, before the next run's turn. batch: one batch, then all are sorted again. */
  readonly turn: 'run' | 'batch'
  /** Of workers that could take a batch of the group, larger first; default: by free CPUs and speed. */
  readonly rank?: (run: Run, group: Group, worker: Worker) => number
  /** The same for several workers with one call. */
  readonly ranks?: (run: Run, group: Group, workers: readonly Worker[]) => readonly number[]
  /** Default: as measured. */
  readonly speed?: (view: View) => Speed
}

/** Runs with work to hand out, in the order in which they came. */
export function waitingRuns(state: State, nowMs: number, mine?: (run: Run) => boolean): Run[] {
  const waiting: Run[] = []
  for (const id of state.active) {
    const run = state.runs.get(id)!
    if (mine !== undefined && !mine(run)) continue
    if ((run.state === 'queued' || run.state === 'running') && hasReady(run, nowMs)) waiting.push(run)
  }
  return waiting
}

export function sorted({ keyed, sort }: Ordering, view: View, waiting: Run[], fleets: Fleets, nowMs: number): Run[] {
  if (keyed?.inTurn !== undefined) return sortInTurn(keyed, view.state, waiting, nowMs)
  if (keyed !== undefined) return sortRuns(keyed, view, waiting, nowMs)
  return sort === undefined ? waiting : sort(view, waiting, fleets, nowMs)
}

/** Runs with work to hand out in the order in which they are served. */
export function orderedRuns(view: StrategyView, ordering: Ordering): readonly Run[] {
  const { state, nowMs, mine } = view
  return sorted(ordering, view, waitingRuns(state, nowMs, mine), new Fleets(view, ordering.speed?.(view)), nowMs)
}
