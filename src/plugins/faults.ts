/**
 * What strategies do wrong, as state remembers it, and when that is too much: then the default places instead, until
 * somebody chooses the strategy again. It is in the log, so that the next leader does not begin to count anew.
 */
import type { FaultScheduler } from '../core/input.ts'
import type { SchedulerFault, SchedulerFaults, State } from '../core/state.ts'

export type FaultKind = SchedulerFault['kind']

export type FaultLimits = {
  /** So many within `withinMs`, and it is suspended. */
  readonly max: number
  readonly withinMs: number
}

export const defaultFaultLimits: FaultLimits = { max: 5, withinMs: 10 * 60_000 }

const none: SchedulerFaults = { recent: [], suspended: false }
const whyMax = 500

export class Faults {
  readonly #limits: FaultLimits
  /** Seen, and not yet in state. */
  #seen: FaultScheduler[] = []

  constructor(limits: FaultLimits) {
    this.#limits = limits
  }

  /** True: it is suspended from now on. */
  note(state: State, strategy: string, { kind, why, atMs }: SchedulerFault, mayBeSuspended: boolean): boolean {
    const { recent, suspended: before } = this.of(state, strategy, atMs)
    const suspended = mayBeSuspended && recent.length + this.#countSeen(strategy) + 1 >= this.#limits.max
    this.#seen.push({ type: 'fault-scheduler', strategy, kind, why: why.slice(0, whyMax), suspended })
    return suspended && !before
  }

  #countSeen(strategy: string): number {
    return this.#seen.reduce((count, fault) => count + (fault.strategy === strategy ? 1 : 0), 0)
  }

  /** What state is to remember; once. */
  take(): readonly FaultScheduler[] {
    const seen = this.#seen
    if (seen.length > 0) this.#seen = []
    return seen
  }

  isSuspended(state: State, strategy: string): boolean {
    if (state.schedulerFaults.get(strategy)?.suspended === true) return true
    return this.#seen.some((fault) => fault.strategy === strategy && fault.suspended)
  }

  of(state: State, strategy: string, nowMs: number): SchedulerFaults {
    const known = state.schedulerFaults.get(strategy)
    if (!known) return none
    // What led to a suspension is shown for as long as that.
    if (known.suspended) return known
    return { suspended: false, recent: known.recent.filter((fault) => fault.atMs > nowMs - this.#limits.withinMs) }
  }
}
