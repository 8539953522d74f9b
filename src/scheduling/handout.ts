/**
 * What a run is given in its turn: batches of one group after the other, worker by worker. Asked for one at a time, because
 * each is in view of those before; what is known of a group and its workers is worked out once for all of them. No
 * generators, whose every step costs more than what it does here.
 */
import { isReady } from '../core/due.ts'
import { sharesHost, spreadOn } from '../core/holdings.ts'
import type { Group, Run, Worker } from '../core/state.ts'
import { Division } from './batch-size.ts'
import type { Fleet } from './fleet.ts'
import type { Placement } from './ordering.ts'
import { alikeFrom, placementOn } from './placement.ts'
import { freeWorkers, isFree, isHeldUp, isStopped, quotaPart, quotaSpent, readyGroups, type Round } from './round.ts'
import { whereabouts, type Whereabouts } from './whereabouts.ts'

export class Handout {
  readonly #round: Round
  readonly #run: Run
  /** Those that had something to place when the turn began, the one that fewest workers fit first. */
  readonly groups: readonly Group[]
  #at = 0
  #portion: Portion | undefined
  /** The portion has given something. */
  #gave = false

  constructor(round: Round, run: Run, groups: readonly Group[]) {
    this.#round = round
    this.#run = run
    this.groups = readyGroups(round, run, groups)
  }

  /** The one before it has been applied, and nothing else has changed. */
  next(): Placement | undefined {
    for (;;) {
      const placement = this.#portion?.next()
      if (placement !== undefined) {
        this.#gave = true
        this.#round.open.note(this.#round.view.state.workers.get(placement.worker)!)
        return placement
      }
      // What is spread goes round the hosts once more.
      if (this.#gave && this.groups[this.#at - 1]!.need.spread !== undefined) this.#at -= 1
      this.#gave = false
      const { state } = this.#round.view
      if (this.#at === this.groups.length || state.free.size === 0 || isStopped(state, this.#run)) return undefined
      this.#portion = portionOf(this.#round, this.#run, this.groups[this.#at++]!)
    }
  }
}

/** Undefined when nobody could take anything of the group now. */
function portionOf(round: Round, run: Run, group: Group): Portion | undefined {
  const { view, fleets, kept, nowMs } = round
  const { state } = view
  const { need } = group
  if (isHeldUp(state, run, group) || !kept.mayLock(state, run, need) || !kept.maySpend(run)) return undefined
  if (quotaSpent(state, run, need, nowMs) !== undefined) return undefined
  const fleet = fleets.of(run, group)
  const free = freeWorkers(round, run, group, fleet.workers)
  return free.length === 0 ? undefined : new Portion(round, run, group, fleet, free)
}

/**
 * Of one group, for as long as one of these workers can take a batch of it. Of what is spread one for each host with
 * fewest of it, however many that has room for.
 */
class Portion {
  readonly #round: Round
  readonly #run: Run
  readonly #group: Group
  readonly #free: readonly Worker[]
  readonly #where: Whereabouts
  readonly #division: Division
  /** Several batches may go to one worker. */
  readonly #shares: boolean
  /** Batches of its spread that a host may have, to be given another one. */
  #spreadMax: number
  /** As it was when these workers were found free. */
  readonly #token: number
  #at = 0
  #alike = 0

  constructor(round: Round, run: Run, group: Group, fleet: Fleet, free: readonly Worker[]) {
    const { view, speed, nowMs } = round
    const { state } = view
    this.#round = round
    this.#run = run
    this.#group = group
    this.#free = free
    this.#where = whereabouts(fleet.workers, nowMs)
    const startupMs = run.startupMs ?? run.spec.startupMs
    // Placing moves work from the queue to batches, and leaves the sum as it is.
    // Who ranks workers has a reason of its own to prefer some.
    const byRank = round.ordering.ranks !== undefined
    this.#division = new Division({ state, run, group, fleet, speed, startupMs, nowMs }, byRank)
    const isSpread = group.need.spread !== undefined
    this.#spreadMax = isSpread ? spreadOn(state, group.need, free[0]!) : Infinity
    this.#shares = !isSpread && sharesHost(group.need)
    this.#token = state.lastToken
  }

  next(): Placement | undefined {
    if (this.#at > 0 && this.#shares && this.#mayGoOn()) {
      const placement = this.#isFree(this.#at - 1) ? this.#on(this.#at - 1) : undefined
      if (placement !== undefined) return placement
    }
    while (this.#at < this.#free.length && this.#mayGoOn()) {
      const at = this.#at
      this.#at += 1
      this.#alike = this.#alike > 1 ? this.#alike - 1 : alikeFrom(this.#round, this.#run, this.#free, at)
      // What was placed before it may be on its host, and want to be alone or apart there.
      const placement = this.#isFree(at) ? this.#on(at) : undefined
      if (placement !== undefined) return placement
    }
    return undefined
  }

  #mayGoOn(): boolean {
    const { view, kept, nowMs } = this.#round
    const run = this.#run
    const group = this.#group
    return (
      !isHeldUp(view.state, run, group) &&
      isReady(run, group, nowMs) &&
      // Else each worker that is free would be asked about in vain.
      quotaSpent(view.state, run, group.need, nowMs) === undefined &&
      // Each takes a place of a counted lock, and others may wait for the rest.
      (group.need.locks === undefined || kept.mayLock(view.state, run, group.need))
    )
  }

  #isFree(at: number): boolean {
    const { state } = this.#round.view
    const worker = this.#free[at]!
    // Until something is placed they stay as they were found.
    const isFound = state.lastToken === this.#token
    const spread = spreadOn(state, this.#group.need, worker)
    if (spread > this.#spreadMax) {
      if (!isFound) return false
      // Those with fewer of it are left idle, as others will be done sooner.
      this.#spreadMax = spread
    }
    return isFound || isFree(state, this.#run, this.#group, worker)
  }

  #on(at: number): Placement | undefined {
    const { view, kept } = this.#round
    const worker = this.#free[at]!
    if (
      kept.keepsQuotaParts &&
      !kept.leavesQuota(view.state, this.#run, quotaPart(this.#run, this.#group.need, worker))
    )
      return undefined
    return placementOn(this.#division, worker, this.#where, this.#alike, at === this.#free.length - 1)
  }
}
