/** Numbers that a plugin's scheduler says of itself: what may be in them, and how they are asked for. */
import { Fleets } from '../scheduling/fleet.ts'
import { waitingRuns, type StrategyView } from '../scheduling/ordering.ts'
import type { PluginScheduler } from './contract.ts'
import type { Budget } from './guarded-scheduler.ts'
import { PluginView } from './view.ts'

/** By name. `why` instead: it could not say. */
export type OwnMetrics = { readonly values: Readonly<Record<string, number>> } | { readonly why: string }

const metricsMax = 50
const namePattern = /^[a-z][a-z0-9_]{0,63}$/

/** Throws StrategyFault. Undefined: it has none. */
export function askMetrics(
  scheduler: PluginScheduler,
  view: StrategyView,
  config: unknown,
  budget: Budget,
): Readonly<Record<string, number>> | undefined {
  if (scheduler.metrics === undefined) return undefined
  const shown = new PluginView(view, new Fleets(view), waitingRuns(view.state, view.nowMs, view.mine))
  return budget.call('metrics', () => readMetrics(scheduler.metrics!(shown, config)))
}

function readMetrics(given: unknown): { readonly value: Record<string, number> } | { readonly fault: string } {
  if (typeof given !== 'object' || given === null || Array.isArray(given))
    return { fault: `expected an object of names and numbers, received ${String(given)}` }
  const entries: [string, unknown][] = Object.entries(given)
  if (entries.length > metricsMax)
    return { fault: `expected at most ${metricsMax} numbers, received ${entries.length}` }
  const value: Record<string, number> = {}
  for (const [name, number] of entries) {
    if (!namePattern.test(name))
      return { fault: `expected names of lower-case letters, digits and underscores, received ${JSON.stringify(name)}` }
    if (typeof number !== 'number' || !Number.isFinite(number))
      return { fault: `expected a finite number as ${name}, received ${String(number)}` }
    value[name] = number
  }
  return { value }
}
