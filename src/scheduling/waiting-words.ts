/** Why something waits, in words; for people, never for decisions. */
import { classScope } from '../core/breaker-state.ts'
import { fits } from '../core/fit.ts'
import { cpusOf, lockInTheWay, quotaInTheWay, type QuotaHit } from '../core/holdings.ts'
import { spentBelowAtMs } from '../core/spent.ts'
import type { Group, Run, State } from '../core/state.ts'
import { formatDuration } from '../stdx/duration.ts'
import type { Fleets, View } from './fleet.ts'

/** Of a group that no worker can take, now or later. */
export function noWorkerWords(view: View, run: Run, group: Group): string {
  const connected = [...view.state.workers.values()].filter(view.available)
  if (connected.length === 0) return 'no worker is connected'
  // None of those that fit is left, so they are all behind breakers.
  const count = connected.filter((worker) => fits(run, group, worker)).length
  if (count === 0) return `none of the ${connected.length} connected workers fits (host, labels or needs)`
  const whose = count === 1 ? 'the only worker that fits' : `all ${count} workers that fit`
  return `the breaker of ${whose} is open; 'muster breakers' says why`
}

/** Of a run whose class of tasks is left alone for now; undefined for any other. */
export function classWords(state: State, run: Run, nowMs: number): string | undefined {
  const scope = classScope(run.spec)
  if (run.queuedCount === 0 || !state.breakers.notClosed.has(scope)) return undefined
  const { stand, untilMs, why } = state.breakers.byScope.get(scope)!
  if (stand === 'half-open') return `${scope} is tried again with a few files (its breaker is half-open)`
  const until =
    untilMs === undefined ? 'until it is reset' : `for another ${formatDuration(Math.max(0, untilMs - nowMs))}`
  return `${scope} waits behind its breaker ${until} (${why}); 'muster breakers reset ${scope}' ends that`
}

/** Of a run that comes after others. */
export function afterWords(state: State, run: Run): string | undefined {
  if (run.after.length === 0) return undefined
  const [first, ...others] = run.after
  const more = others.length === 0 ? '' : ` and ${others.length} more`
  return `waits for run ${first}${more} to end (it is ${state.runs.get(first!)!.state})`
}

/** What stands in a group's way, whatever workers there are: a lock or a quota. */
export function heldUpWords(view: View, run: Run, group: Group, fleets: Fleets, nowMs: number): string | undefined {
  const { state } = view
  const lock = lockInTheWay(state, group.need)
  if (lock) {
    const holders = lock.holders.map((id) => state.batches.get(id)!)
    const [first] = holders
    const worker = state.workers.get(first!.worker)
    const more = holders.length > 1 ? ` and ${holders.length - 1} more` : ''
    return `waits for lock '${lock.lock.name}', held by run ${first!.run} on ${worker?.name ?? first!.worker}${more}`
  }
  const [worker] = fleets.of(run, group).workers
  const quota = worker && quotaInTheWay(state, run, group.need, cpusOf(run, group.need, worker), nowMs)
  return quota && quotaWords(state, quota, nowMs)
}

const quotaUnits = { cpus: 'CPUs at once', gpus: 'GPUs at once', cpuHours: 'CPU-hours in an hour' } as const

function quotaWords(state: State, { scope, of, max }: QuotaHit, nowMs: number): string {
  const spent = state.spent.get(scope)
  const freeMs = of === 'cpuHours' && spent ? spentBelowAtMs(spent, max * 3_600_000, nowMs) : undefined
  const until = freeMs === undefined ? '' : `; again in ${formatDuration(freeMs - nowMs)}`
  return `${scope} has used its quota of ${max} ${quotaUnits[of]}${until}`
}
