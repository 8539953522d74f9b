/**
 * What a plugin is, as whoever writes one sees it: a plain object with lists of what it offers, by kind. Schedulers are the
 * first kind. Everything in here is a type or a number, so that a plugin built against one copy of Muster works in another.
 */
import type { Placement } from '../scheduling/ordering.ts'
import type { PluginGroup, PluginRun, PluginView, PluginWorker } from './view.ts'

/** Grows when a plugin written for the version before may no longer work. */
export const contractVersion = 1

export type JsonSchema = Readonly<Record<string, unknown>>

type About<Config> = {
  /** Lower case, digits and hyphens; unique among all that a coordinator knows. */
  readonly name: string
  /** One line: what it is for. */
  readonly description: string
  /** JSON Schema (draft 7) of its configuration; absent = it has none. Defaults in it are filled in. */
  readonly configSchema?: JsonSchema
  /**
   * Numbers about what it does now, by name (lower case, digits, underscores; 50 at most), for `muster scheduler stats` and
   * `/metrics`. Asked for when somebody looks, never in a round, on the coordinator that leads. As pure as what it decides;
   * it has 50 ms.
   */
  metrics?(view: PluginView, config: Config): Readonly<Record<string, number>>
}

/**
 * Says in which order runs are served and leaves the rest (which worker, how many tasks, locks, quotas, reservations) to
 * what all strategies share. Called once in a round with `turn: 'run'`, and not at all when there is nothing to choose.
 */
export interface OrderedScheduler<Config = unknown> extends About<Config> {
  /** run (default): a run gets everything that it can be given, then the next. batch: one batch, then all are ordered again. */
  readonly turn?: 'run' | 'batch'
  /** The runs with work to hand out, in the order in which they are to be served. What is left out comes last. */
  order(runs: readonly PluginRun[], view: PluginView, config: Config): Iterable<PluginRun>
  /** Of workers that could take a batch of the group, larger first; default: by free CPUs and speed. */
  rank?(run: PluginRun, group: PluginGroup, worker: PluginWorker, view: PluginView, config: Config): number
}

/**
 * Chooses run, group and worker of every batch itself. Costs more than an order, which is asked for once in a while: it is
 * called in every round.
 */
export interface PlacingScheduler<Config = unknown> extends About<Config> {
  /**
   * Placements, next one first, lazily: the view shows what each that was taken has changed. `group.batchOn(worker)` makes
   * them. A list (an array) is read at once, and nothing of it has seen what the ones before changed. What was taken before a
   * call hangs or throws stands.
   */
  place(view: PluginView, config: Config): Iterable<Placement>
}

export type PluginScheduler<Config = unknown> = OrderedScheduler<Config> | PlacingScheduler<Config>

export interface Plugin {
  /** Lower case, digits and hyphens. */
  readonly name: string
  readonly version?: string
  /** Version of this contract; `definePlugin` fills it in. */
  readonly contract: number
  readonly schedulers: readonly PluginScheduler[]
}
