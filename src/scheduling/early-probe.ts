/**
 * No run waits for ever behind breakers: where every worker that fits a waiting run is open, the least
 * bad of them is tried before its cool-down is over. One that a person holds open is left alone; then
 * the run waits as if that worker weren't there, and says so.
 */
import { workerScope, type Breaker } from '../core/breaker-state.ts'
import { isReady } from '../core/due.ts'
import { fits } from '../core/fit.ts'
import type { Probe } from '../core/input.ts'
import type { Group, Run } from '../core/state.ts'
import type { View } from './fleet.ts'

/** Inputs for the leader, before it places anything. */
export function earlyProbes(view: View, nowMs: number): Probe[] {
  const { state } = view
  if (state.breakers.notClosed.size === 0) return []
  const probes = new Map<string, Probe>()
  for (const id of state.active) {
    const run = state.runs.get(id)!
    if ((run.state !== 'queued' && run.state !== 'running') || run.after.length > 0) continue
    for (const group of run.groups) {
      if (!isReady(run, group, nowMs)) continue
      const breaker = leastBad(view, run, group)
      if (breaker === undefined || probes.has(breaker.scope)) continue
      const why = `tried early: run ${run.id} waits, and every worker that fits it is open`
      probes.set(breaker.scope, { type: 'probe', scope: breaker.scope, why })
    }
  }
  return [...probes.values()]
}

/** Undefined when some worker that fits isn't open, or when there is none to try. */
function leastBad(view: View, run: Run, group: Group): Breaker | undefined {
  let best: Breaker | undefined
  for (const worker of view.state.workers.values()) {
    if (!fits(run, group, worker) || !view.available(worker)) continue
    const breaker = view.state.breakers.byScope.get(workerScope(worker.id))
    if (breaker?.stand !== 'open') return undefined
    if (breaker.untilMs !== undefined && (best === undefined || isBetter(breaker, best))) best = breaker
  }
  return best
}

function isBetter(a: Breaker, b: Breaker): boolean {
  if (a.opens !== b.opens) return a.opens < b.opens
  return a.untilMs! < b.untilMs!
}
