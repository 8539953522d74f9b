/**
 * How urgent a run is, in points of priority: its own, one for every minute that it has waited, and up to
 * `deadlinePointsMax` as its deadline comes near. Points of waiting have no upper bound, so a run waits behind later
 * ones for so many minutes at most as their priority and deadline are worth: nothing starves. Since all that wait gain
 * alike, who comes before whom by priority and waiting is settled once, by `priorityKey`.
 */
import type { Run } from '../core/state.ts'
import type { Fleets } from './fleet.ts'

/** Waiting this long is worth one point of priority. */
export const ageingMsPerPoint = 60_000
/** What a deadline is worth that can only just be kept, or no more. */
export const deadlinePointsMax = 50

/** Larger = sooner: a moment, the earlier the larger, that each point of priority puts forward by a minute. */
export function priorityKey(run: Run): number {
  return run.priority * ageingMsPerPoint - run.createdAtMs
}

/** Larger = sooner. It is the same until `changesAtMs`, as long as what is left and the workers for it are. */
export function urgencyKey(
  run: Run,
  fleets: Fleets,
  nowMs: number,
): { readonly key: number; readonly changesAtMs: number } {
  const { spec } = run
  const key = priorityKey(run)
  if (spec.deadlineAtMs === undefined) return { key, changesAtMs: Infinity }
  const needMs = remainingMs(run, fleets)
  const points = pointsAt(spec.deadlineAtMs - nowMs, needMs)
  // A moment early: then it is looked at again until it has changed, and is never late by what division makes of it.
  const changesAtMs =
    points === deadlinePointsMax ? Infinity : spec.deadlineAtMs - (deadlinePointsMax * needMs) / (points + 1) - 1
  return { key: key + points * ageingMsPerPoint, changesAtMs }
}

/** In whole points, for people and plugins. */
export function agedPriority(run: Run, nowMs: number): number {
  return run.priority + Math.floor(Math.max(0, nowMs - run.createdAtMs) / ageingMsPerPoint)
}

export function urgency(run: Run, fleets: Fleets, nowMs: number): number {
  return agedPriority(run, nowMs) + deadlinePoints(run, fleets, nowMs)
}

/** All points when what is left takes all the time that is left; half of them when there is twice the time. */
export function deadlinePoints(run: Run, fleets: Fleets, nowMs: number): number {
  if (run.spec.deadlineAtMs === undefined) return 0
  return pointsAt(run.spec.deadlineAtMs - nowMs, remainingMs(run, fleets))
}

function pointsAt(roomMs: number, needMs: number): number {
  if (roomMs <= needMs) return deadlinePointsMax
  return Math.floor((deadlinePointsMax * needMs) / roomMs)
}

/** What is queued, on all workers that fit, from start-up to end, in milliseconds. */
export function remainingMs(run: Run, fleets: Fleets): number {
  let longestMs = 0
  for (const group of run.groups) {
    if (group.queuedCount === 0) continue
    const { cpus } = fleets.of(run, group)
    const workMs = cpus === 0 ? group.queuedMs : group.queuedMs / cpus
    if (workMs > longestMs) longestMs = workMs
  }
  return longestMs === 0 ? 0 : (run.startupMs ?? run.spec.startupMs) + longestMs
}
