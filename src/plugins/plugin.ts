/**
 * `muster/plugin`: what a plugin's author imports. Documented in docs/guides/writing-a-scheduler.md; whatever is exported
 * here is meant to stay.
 */
import {
  contractVersion,
  type OrderedScheduler,
  type PlacingScheduler,
  type Plugin,
  type PluginScheduler,
} from './contract.ts'
import type { PluginRun } from './view.ts'

export { contractVersion } from './contract.ts'
export type { JsonSchema, OrderedScheduler, PlacingScheduler, Plugin, PluginScheduler } from './contract.ts'
export type { PluginGroup, PluginRun, PluginView, PluginWorker } from './view.ts'
export type { Placement } from '../scheduling/ordering.ts'
export type { Need } from '../core/entities.ts'
export { ageingMsPerPoint, deadlinePointsMax } from '../scheduling/urgency.ts'
export { rehearse, type Rehearsal, type RehearsedPlacement, type RehearsedRun } from './rehearsal.ts'

/** A plugin, checked by the compiler; returns it with the version of the contract that it was written for. */
export function definePlugin(plugin: {
  readonly name: string
  readonly version?: string
  readonly schedulers?: readonly PluginScheduler[]
}): Plugin {
  return { schedulers: [], ...plugin, contract: contractVersion }
}

/** A scheduler that says in which order runs are served; its configuration's type is known to the compiler. */
export function orderedStrategy<Config>(scheduler: OrderedScheduler<Config>): PluginScheduler {
  return scheduler as PluginScheduler
}

/** A scheduler that chooses run, group and worker of every batch itself. */
export function placingStrategy<Config>(scheduler: PlacingScheduler<Config>): PluginScheduler {
  return scheduler as PluginScheduler
}

/** Sorted by a key that is worked out once per run, larger first; then the older, then by id: the same order every time. */
export function largestFirst(runs: readonly PluginRun[], key: (run: PluginRun) => number): PluginRun[] {
  const keyed = runs.map((run) => ({ run, key: key(run), createdAtMs: run.createdAtMs }))
  keyed.sort((a, b) => compare(b.key, a.key) || a.createdAtMs - b.createdAtMs || (a.run.id < b.run.id ? -1 : 1))
  return keyed.map((one) => one.run)
}

/** As `largestFirst`, smaller first. */
export function smallestFirst(runs: readonly PluginRun[], key: (run: PluginRun) => number): PluginRun[] {
  return largestFirst(runs, (run) => -key(run))
}

/** Infinity less Infinity is no number. */
function compare(a: number, b: number): number {
  return a === b ? 0 : a < b ? -1 : 1
}
