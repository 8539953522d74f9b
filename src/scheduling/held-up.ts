/**
 * Until when locks, quotas and the breaker of its class hold up work, however near the front of the queue it is: the same for what `muster why` says
 * of one run and for what is foretold of all of them at once. For people, never for decisions.
 */
import { scopeAllowance } from '../core/breaker.ts'
import { cpusOf, quotaInTheWay } from '../core/holdings.ts'
import type { Group, Run } from '../core/state.ts'
import { batchFrees, firstOf, lastOf, type Interval, type WatchedView } from './expected.ts'
import type { Fleets } from './fleet.ts'
import type { Reason } from './reason.ts'
import { classReason, lockReason } from './reasons.ts'
import { quotaReason } from './worker-reasons.ts'

export function lockFrees({ mode, holders }: Extract<Reason, { type: 'lock' }>): Interval | undefined {
  return mode === 'counted' ? firstOf(holders, (holder) => holder.ends) : lastOf(holders, (holder) => holder.ends)
}

/** Undefined when nothing of it is under way and nothing of it gets old. */
export function quotaFrees(
  view: WatchedView,
  { scope, freeAtMs }: Pick<Extract<Reason, { type: 'quota' }>, 'scope' | 'freeAtMs'>,
  nowMs: number,
): Interval | undefined {
  if (freeAtMs !== undefined) return { fromMs: freeAtMs, toMs: freeAtMs }
  const batches = [...view.state.batches.values()].filter((batch) => {
    const { spec, who } = view.state.runs.get(batch.run)!
    return scope === `project:${spec.project}` || scope === `user:${spec.user ?? who.replace(/^client:/, '')}`
  })
  return firstOf(batches, (batch) => batchFrees(view, batch, nowMs))
}

/** Of many runs at one moment: what they have in common is looked at once. */
export class HeldUp {
  readonly #view: WatchedView
  readonly #fleets: Fleets
  readonly #nowMs: number
  readonly #quotas = new Map<string, Interval | undefined>()

  constructor(view: WatchedView, fleets: Fleets, nowMs: number) {
    this.#view = view
    this.#fleets = fleets
    this.#nowMs = nowMs
  }

  /** The middle of when the first of its groups is held up no more; undefined when nobody can say. */
  untilMs(run: Run): number | undefined {
    const { state } = this.#view
    const behind = classReason(state, run)
    const classMs = behind && scopeAllowance(state, behind.scope) === 0 ? (behind.untilMs ?? Infinity) : this.#nowMs
    let firstMs = Infinity
    for (const group of run.groups) {
      if (group.queuedCount === 0) continue
      firstMs = Math.min(firstMs, Math.max(classMs, this.#groupUntilMs(run, group)))
      if (firstMs <= this.#nowMs) return this.#nowMs
    }
    return firstMs === Infinity ? undefined : firstMs
  }

  #groupUntilMs(run: Run, group: Group): number {
    const { state } = this.#view
    const { need } = group
    const lock = need.locks === undefined ? undefined : lockReason(this.#view, group, this.#nowMs)
    const lockMs = lock === undefined ? this.#nowMs : middle(lockFrees(lock))
    if (state.shares.size === 0) return lockMs
    const [worker] = this.#fleets.of(run, group).workers
    const quota = worker && quotaInTheWay(state, run, need, cpusOf(run, need, worker), this.#nowMs)
    if (!quota) return lockMs
    const key = `${quota.scope} ${quota.of}`
    if (!this.#quotas.has(key))
      this.#quotas.set(key, quotaFrees(this.#view, quotaReason(state, quota, this.#nowMs), this.#nowMs))
    return Math.max(lockMs, middle(this.#quotas.get(key)))
  }
}

function middle(interval: Interval | undefined): number {
  return interval === undefined ? Infinity : Math.round((interval.fromMs + interval.toMs) / 2)
}
