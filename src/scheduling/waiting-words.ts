/** Why a run waits, as far as workers and breakers go; for people, never for decisions. */
import { classScope } from '../core/breaker-state.ts'
import { fits } from '../core/fit.ts'
import type { Run, State } from '../core/state.ts'
import { formatDuration } from '../stdx/duration.ts'
import type { View } from './fleet.ts'

/** Of a run that no worker can take now. */
export function noWorkerWords(view: View, run: Run): string {
  const connected = [...view.state.workers.values()].filter(view.available)
  if (connected.length === 0) return 'no worker is connected'
  // None of those that fit is left, so they are all behind breakers.
  const count = connected.filter((worker) => fits(run, worker)).length
  if (count === 0) return `none of the ${connected.length} connected workers fits (host or labels)`
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
