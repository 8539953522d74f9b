/** For strategies that choose group and worker themselves: what could go where, by the rules of all. */
import { isReady } from '../core/due.ts'
import { fits } from '../core/fit.ts'
import type { Group, Run, Worker } from '../core/state.ts'
import { Division } from './batch-size.ts'
import { type Fleets, measuredSpeed, type Speed } from './fleet.ts'
import type { Placement, StrategyView } from './ordering.ts'
import { placementOn } from './placement.ts'
import { Reservations } from './reservations.ts'
import { freeWorkers, isFree, isHeldUp, beginRound } from './round.ts'
import { whereabouts } from './whereabouts.ts'

/** For strategies that choose group and worker themselves: what could go where, by the rules of all. */
export type Choices = {
  /** Workers that the group could have a batch on now, the best first. */
  readonly workers: (run: Run, group: Group) => readonly Worker[]
  /** The batch that it would have there; undefined = none now. */
  readonly batch: (run: Run, group: Group, worker: Worker) => Placement | undefined
}

/** `fleets` with the same speed. */
export function choicesOf(view: StrategyView, fleets: Fleets, speed: Speed = measuredSpeed): Choices {
  const { state, nowMs, kept = new Reservations() } = view
  const round = beginRound(view, { fleets, speed, kept })
  const mayBegin = (run: Run, group: Group) =>
    isReady(run, group, nowMs) && !isHeldUp(state, run, group) && kept.mayLock(state, run, group.need)
  const workers = (run: Run, group: Group) =>
    mayBegin(run, group) ? freeWorkers(round, run, group, fleets.of(run, group).workers) : []
  return {
    workers,
    batch: (run, group, worker) => {
      const fleet = fleets.of(run, group)
      if (!round.open.has(worker) || !fits(run, group, worker) || !mayBegin(run, group)) return undefined
      if (!kept.mayUse(worker, group.need) || !isFree(state, run, group, worker)) return undefined
      const startupMs = run.startupMs ?? run.spec.startupMs
      const division = new Division({ state, run, group, fleet, speed: round.speed, startupMs, nowMs }, true)
      return placementOn(division, worker, whereabouts(fleet.workers, nowMs), 1, false)
    },
  }
}
