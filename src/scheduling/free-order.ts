/**
 * Workers with room for what a group asks for, the best first, kept from one decision to the next. Where many are free,
 * looking at all of them and putting them in order would cost more than everything else, and few of them change between
 * two decisions: those that were given a batch or had one end, and who shares a host with these. The core lists them
 * (queue-changes.ts). All else that matters (which workers there are, what they have, whether they are connected and
 * behind an open breaker) gives fleets.ts another list of those that fit, and so another order here.
 *
 * It knows only what is the same for all groups with that demand, and of the state: what is kept for others in a round, what
 * a run has on a worker, and whatever else ranks workers by the run, is for round.ts.
 */
import { fits } from '../core/fit.ts'
import { obstacleOn } from '../core/holdings.ts'
import type { Group, Run, State, Worker } from '../core/state.ts'
import { isAvailable, speedOf, type View } from './fleet.ts'

/** By the list of workers that fit. */
const orders = new WeakMap<readonly Worker[], FreeOrder>()

/** `fitting`: as it is kept for as long as it stays so. The result never changes. */
export function freeInOrder(view: View, run: Run, group: Group, fitting: readonly Worker[]): readonly Worker[] {
  let order = orders.get(fitting)
  if (!order) {
    order = new FreeOrder(fitting)
    orders.set(fitting, order)
  }
  return order.of(view, run, group)
}

/** By what has most to give; a host that is half busy does half as much. */
function rankOf(worker: Worker): number {
  return (worker.capabilities.cpus - worker.cpusUsed) * speedOf(worker)
}

const fewMax = 8

class FreeOrder {
  readonly #fitting: readonly Worker[]
  #list: Worker[] = []
  /** Somebody has this list, so that it must not change. */
  #isOut = false
  /** Those in the list, and by what they are where they are. */
  readonly #ranks = new Map<Worker, number>()
  /** Position in the state's list of changes up to which they are in here. */
  #read = -1

  constructor(fitting: readonly Worker[]) {
    this.#fitting = fitting
  }

  of(view: View, run: Run, group: Group): readonly Worker[] {
    const { state } = view
    const { from, of } = state.spentChanges
    const until = from + of.length
    // One by one, as long as that is less than looking at all of them.
    if (this.#read < from || until - this.#read > fewMax + this.#fitting.length / 8) this.#rebuild(state, run, group)
    else for (let at = this.#read - from; at < of.length; at += 1) this.#touch(view, run, group, of[at]!.worker)
    this.#read = until
    this.#isOut = true
    return this.#list
  }

  #rebuild(state: State, run: Run, group: Group): void {
    this.#ranks.clear()
    const list: Worker[] = []
    for (const worker of this.#fitting) {
      if (!hasRoom(state, run, group, worker)) continue
      this.#ranks.set(worker, rankOf(worker))
      list.push(worker)
    }
    this.#list = list.sort((a, b) => this.#ranks.get(b)! - this.#ranks.get(a)! || (a.id < b.id ? -1 : 1))
    this.#isOut = false
  }

  #touch(view: View, run: Run, group: Group, id: Worker['id']): void {
    const worker = view.state.workers.get(id)
    if (worker === undefined) return
    const mates = matesOf(view.state, worker)
    if (mates === undefined) this.#look(view, run, group, worker)
    else for (const mate of mates) this.#look(view, run, group, mate)
  }

  #look(view: View, run: Run, group: Group, worker: Worker): void {
    const before = this.#ranks.get(worker)
    const isIn = before !== undefined || (fits(run, group, worker) && isAvailable(view, worker))
    const rank = isIn && hasRoom(view.state, run, group, worker) ? rankOf(worker) : undefined
    if (rank === before) return
    if (this.#isOut) this.#list = this.#list.slice()
    this.#isOut = false
    if (before !== undefined) this.#list.splice(this.#indexOf(worker, before), 1)
    this.#ranks.delete(worker)
    if (rank === undefined) return
    this.#list.splice(this.#indexOf(worker, rank), 0, worker)
    this.#ranks.set(worker, rank)
  }

  #indexOf({ id }: Worker, rank: number): number {
    let low = 0
    let high = this.#list.length
    while (low < high) {
      const middle = (low + high) >> 1
      const other = this.#list[middle]!
      const otherRank = this.#ranks.get(other)!
      if (otherRank > rank || (otherRank === rank && other.id < id)) low = middle + 1
      else high = middle
    }
    return low
  }
}

function hasRoom(state: State, run: Run, { need }: Group, worker: Worker): boolean {
  return state.free.has(worker.id) && obstacleOn(state, run, need, worker) === undefined
}

type Mates = { readonly fleetVersion: number; readonly byHost: ReadonlyMap<string, readonly Worker[]> }

const matesKnown = new WeakMap<State, Mates>()

/** All workers of its host; undefined where it is the only one. Cards, anti-affinity and hosts for oneself count by host. */
function matesOf(state: State, worker: Worker): readonly Worker[] | undefined {
  const { fleetVersion } = state
  let known = matesKnown.get(state)
  if (known?.fleetVersion !== fleetVersion) {
    const all = Map.groupBy(state.workers.values(), (one) => one.capabilities.host)
    for (const [host, mates] of all) if (mates.length === 1) all.delete(host)
    known = { fleetVersion, byHost: all }
    matesKnown.set(state, known)
  }
  return known.byHost.get(worker.capabilities.host)
}
