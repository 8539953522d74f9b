/**
 * How much of the fleet a project and a user have, against their weights. Dominant is whichever of CPUs and GPUs the
 * scope has more of, as a part of what the fleet has (Ghodsi et al. 2011, dominant resource fairness); what it had within
 * the last hour breaks ties, so that a project of many short runs is no better off than one of a few long ones.
 */
import { type Scopes, scopesOf } from '../core/holdings.ts'
import { ruleOfScope } from '../core/shares.ts'
import { spentHoursMs } from '../core/spent.ts'
import type { Run, State } from '../core/state.ts'

export type Totals = { readonly cpus: number; readonly gpus: number }

/** Once per fleet, and not for every decision. */
const totals = new WeakMap<State, Totals & { readonly fleetVersion: number }>()

export function totalsOf(state: State): Totals {
  const { fleetVersion } = state
  let known = totals.get(state)
  if (known?.fleetVersion !== fleetVersion) {
    known = { ...sumUp(state), fleetVersion }
    totals.set(state, known)
  }
  return known
}

function sumUp(state: State): Totals {
  let cpus = 0
  let gpus = 0
  for (const { capabilities } of state.workers.values()) {
    cpus += capabilities.cpus
    gpus += capabilities.gpus?.length ?? 0
  }
  return { cpus, gpus }
}

/** Smaller = further below its share. The first of a pair decides, the second breaks ties. */
export type Standing = readonly [dominant: number, spentMs: number]

export function standingOf(state: State, run: Run, totals: Totals, nowMs: number): Standing {
  return standingOfScopes(state, scopesOf(run), totals, nowMs)
}

export function standingOfScopes(state: State, scopes: Scopes, totals: Totals, nowMs: number): Standing {
  let dominant = 0
  let spentMs = 0
  for (const scope of scopes) {
    const spent = state.spent.get(scope)
    if (!spent) continue
    const weight = ruleOfScope(state.shares, scope)?.weight ?? 1
    const part = Math.max(spent.cpus / Math.max(1, totals.cpus), spent.gpus / Math.max(1, totals.gpus)) / weight
    if (part > dominant) dominant = part
    const hourMs = spentHoursMs(spent, nowMs) / weight
    if (hourMs > spentMs) spentMs = hourMs
  }
  return [dominant, spentMs]
}
