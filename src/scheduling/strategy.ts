/**
 * What a scheduler is: a pure function from what is known to placements. The built-in ones are strategies like any
 * other. It runs on the leading coordinator only; each placement is checked against what workers have, locks and quotas
 * before it becomes an event, and applied before the next one is asked for. A strategy must not keep anything between two
 * calls: another coordinator may make the next one.
 */
import type { FaultScheduler } from '../core/input.ts'
import type { Run } from '../core/state.ts'
import { measuredSpeed, type Speed, type View } from './fleet.ts'
import { orderedRuns, type Ordering, type Placement, type StrategyView } from './ordering.ts'
import { placeInOrder } from './place.ts'

export type { Ordering, Placement, StrategyView } from './ordering.ts'

/** What the leader asks: the chosen strategies, whoever they are from. */
export type Scheduler = {
  readonly place: (view: StrategyView) => Iterable<Placement>
  /** The same, given to `take` one after the other until it returns false; where there is both, this costs less. */
  readonly placeAll?: (view: StrategyView, take: (placement: Placement) => boolean) => void
  /** A placement was turned down: it would have broken a rule. Nothing happened. */
  readonly refused: (placement: Placement, why: string) => void
  /** What strategies did wrong since this was asked last, to be remembered in the log. */
  readonly takeFaults?: () => readonly FaultScheduler[]
}

export type Strategy<Config = unknown> = {
  /** Lower case, digits and hyphens; unique among the registered. */
  readonly name: string
  /** One line: what it is for. */
  readonly description: string
  /** JSON Schema of its configuration; absent = it has none. Defaults in it are filled in. */
  readonly configSchema?: Readonly<Record<string, unknown>>
  /** Placements, next one first, lazily. The view changes as they are taken. */
  readonly place: (view: StrategyView, config: Config) => Iterable<Placement>
  /** Runs in the order in which it serves them, for people (`muster why`); absent = it has no such order; undefined = it doesn't say. */
  readonly order?: (view: StrategyView, config: Config) => readonly Run[] | undefined
  /** How fast it takes workers to be, for people; absent = as measured. */
  readonly speed?: (view: View, config: Config) => Speed
  /** It ranks workers, so that each is given what it is given by itself, whatever the others could be given; for people. */
  readonly alone?: boolean
}

/** A strategy that says in which order runs are served, and leaves the rest to what all share. */
export function orderedStrategy<Config = unknown>(
  name: string,
  description: string,
  ordering: Ordering | ((config: Config) => Ordering),
  configSchema?: Readonly<Record<string, unknown>>,
): Strategy<Config> {
  const orderingOf = (config: Config) => (typeof ordering === 'function' ? ordering(config) : ordering)
  return {
    name,
    description,
    ...(configSchema === undefined ? {} : { configSchema }),
    place: (view, config) => placeInOrder(view, orderingOf(config)),
    order: (view, config) => orderedRuns(view, orderingOf(config)),
    speed: (view, config) => orderingOf(config).speed?.(view) ?? measuredSpeed,
    ...(typeof ordering === 'object' && ordering.ranks !== undefined ? { alone: true } : {}),
  }
}
