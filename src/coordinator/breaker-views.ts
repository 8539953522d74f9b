/** Breakers as the API shows them. */
import { thresholdsOf } from '../core/breaker.ts'
import { countsOf, scopeKind, type Breaker } from '../core/breaker-state.ts'
import type { State } from '../core/state.ts'
import type { BreakerView } from '../protocol/failures.ts'

export function breakerView(state: State, breaker: Breaker, nowMs: number): BreakerView {
  const { scope, stand, movedAtMs, untilMs, opens, who, why, probes } = breaker
  const kind = scopeKind(scope)!
  const worker = kind === 'worker' ? state.workers.get(scope.slice('worker:'.length)) : undefined
  return {
    scope,
    kind,
    state: stand,
    ...(worker === undefined ? {} : { name: worker.name }),
    counts: countsOf(breaker, nowMs, thresholdsOf(state.limits, kind).windowMs),
    opens,
    probes: [...probes],
    ...(who === '' ? {} : { movedAtMs, who, why }),
    ...(stand === 'open' && untilMs !== undefined ? { untilMs } : {}),
    held: stand === 'open' && untilMs === undefined,
  }
}

/** Those that are not closed come first, then what has failed lately. */
export function breakerViews(state: State, nowMs: number, all: boolean): BreakerView[] {
  const views = [...state.breakers.byScope.values()].map((breaker) => breakerView(state, breaker, nowMs))
  const shown = all ? views : views.filter((view) => view.state !== 'closed' || view.counts.failed > 0)
  const rank = (view: BreakerView) => (view.state === 'open' ? 0 : view.state === 'half-open' ? 1 : 2)
  return shown.sort((a, b) => rank(a) - rank(b) || (a.scope < b.scope ? -1 : 1))
}
