/** When runs will start and how long they will take, from estimates; for people, never for decisions. */
import type { RunId } from '../core/entities.ts'
import type { Run } from '../core/state.ts'
import type { WatchedView } from './expected.ts'
import type { Fleets } from './fleet.ts'
import { HeldUp } from './held-up.ts'
import { waitingRuns } from './ordering.ts'
import { sortRuns } from './run-order.ts'
import { byUrgencyAndShare } from './strategies/builtin.ts'

export type Forecast = {
  /** From its first assignment to its end, in milliseconds; undefined without a worker that fits. */
  readonly durationMs: number | undefined
  /** 1 = next; undefined when it doesn't wait. */
  readonly queuePosition: number | undefined
  /** Behind those before it, and once no lock, quota or breaker holds it up. */
  readonly startsInMs: number | undefined
}

/** Start-up plus the larger of even work and the longest file. */
export function predictMs(run: Run, cpus: number): number {
  return run.spec.startupMs + Math.max(run.expectedMs / cpus, run.expectedLongestMs)
}

/** Of every active run, in one pass: those under way first, then the waiting ones in their order. */
export function forecasts(view: WatchedView, fleets: Fleets, nowMs: number): ReadonlyMap<RunId, Forecast> {
  const all = new Map<RunId, Forecast>()
  let aheadMs = 0
  for (const id of view.state.active) {
    const run = view.state.runs.get(id)!
    if (run.startedAtMs === undefined) continue
    const durationMs = durationOf(fleets, run)
    all.set(id, { durationMs, queuePosition: undefined, startsInMs: undefined })
    if (run.state !== 'paused') aheadMs += Math.max(0, (durationMs ?? 0) - (nowMs - run.startedAtMs))
  }
  const heldUp = new HeldUp(view, fleets, nowMs)
  let position = 0
  for (const run of sortRuns(byUrgencyAndShare, view, waitingRuns(view.state, nowMs), nowMs)) {
    if (run.startedAtMs !== undefined) continue
    position += 1
    const durationMs = durationOf(fleets, run)
    const waits = durationMs !== undefined
    const untilMs = waits ? heldUp.untilMs(run) : undefined
    all.set(run.id, {
      durationMs,
      queuePosition: waits ? position : undefined,
      startsInMs: untilMs === undefined ? undefined : Math.max(aheadMs, untilMs - nowMs),
    })
    // Those behind one that is held up don't wait for it.
    if (untilMs !== undefined && untilMs <= nowMs) aheadMs += durationMs ?? 0
  }
  return all
}

function durationOf(fleets: Fleets, run: Run): number | undefined {
  const cpus = Math.min(...run.groups.map((group) => fleets.of(run, group).cpus))
  return cpus === 0 ? undefined : predictMs(run, cpus)
}
