/** Which workers could run which tasks: the matching half of scheduling. */
import { isOpen } from '../core/breaker.ts'
import { workerScope } from '../core/breaker-state.ts'
import { fits } from '../core/fit.ts'
import { cpusOf, scopesOf, slotsByLocks, slotsByQuota, slotsOn } from '../core/holdings.ts'
import { noShares, type Shares } from '../core/shares.ts'
import type { Group, Run, State, Worker } from '../core/state.ts'

export type View = {
  readonly state: State
  /** Connected and willing: what the shell knows and state does not. */
  readonly available: (worker: Worker) => boolean
}

/** How fast a worker runs tasks of a run, against the reference machine. */
export type Speed = (run: Run, worker: Worker) => number

/** As it was measured, whatever the run. */
export const measuredSpeed: Speed = (_run, worker) => speedOf(worker)

/** How fast the worker runs tests, against the reference machine. */
export function speedOf(worker: Worker): number {
  const { speed } = worker.capabilities
  return speed !== undefined && speed > 0 ? speed : 1
}

/** Connected, and not behind an open breaker. */
export function isAvailable(view: View, worker: Worker): boolean {
  if (!view.available(worker)) return false
  return view.state.breakers.notClosed.size === 0 || !isOpen(view.state, workerScope(worker.id))
}

/** Could run it now or once it is free. */
export function fittingWorkers(view: View, run: Run, group: Group): Worker[] {
  return thoseThatFit(view.state, run, group).filter((worker) => isAvailable(view, worker))
}

/** Who fits whom stays as it is until a worker comes, goes or changes; so it is looked at once and not at every decision. */
const known = new WeakMap<State, { version: number; readonly lists: Map<string, readonly Worker[]> }>()
const knownMax = 1000

function thoseThatFit(state: State, run: Run, group: Group): readonly Worker[] {
  let fitting = known.get(state)
  if (fitting?.version !== state.fleetVersion || fitting.lists.size >= knownMax) {
    fitting = { version: state.fleetVersion, lists: new Map() }
    known.set(state, fitting)
  }
  const demand = placeOf(run, group)
  let list = fitting.lists.get(demand)
  if (!list) {
    list = [...state.workers.values()].filter((worker) => fits(run, group, worker))
    fitting.lists.set(demand, list)
  }
  return list
}

/**
 * CPUs of the reference machine that the group can count on: of all workers that fit, within its run's limit of workers,
 * its locks, and the quotas of its project and user.
 */
export function fleetCpus(
  run: Run,
  group: Group,
  fitting: readonly Worker[],
  speed: Speed = measuredSpeed,
  shares: Shares = noShares,
): number {
  const { need } = group
  const slotsMax = Math.min(
    run.spec.workersMax ?? Infinity,
    slotsByLocks(need),
    fitting.length === 0 ? Infinity : slotsByQuota(shares, run, need, fitting[0]!),
  )
  const parts = fitting.map((worker) => ({
    slots: slotsOn(run, need, worker),
    cpus: cpusOf(run, need, worker) * speed(run, worker),
  }))
  if (slotsMax === Infinity) return parts.reduce((sum, part) => sum + part.slots * part.cpus, 0)
  let left = slotsMax
  let sum = 0
  for (const { slots, cpus } of parts.sort((a, b) => b.cpus - a.cpus)) {
    const taken = Math.min(slots, left)
    sum += taken * cpus
    left -= taken
  }
  return sum
}

/** Whether any worker fits. */
export function hasFitting(view: View, run: Run, group: Group): boolean {
  for (const worker of view.state.workers.values())
    if (fits(run, group, worker) && isAvailable(view, worker)) return true
  return false
}

/** The workers that fit a group. */
export type Fleet = { readonly workers: readonly Worker[]; readonly cpus: number; readonly busy: number }

type Demand = { readonly place: string; readonly all: string }

/** What a group asks for, as text: of a worker at the time, and in all. It stays the same for as long as the group is there. */
const demands = new WeakMap<Group, Demand>()

function demandOf(run: Run, group: Group): Demand {
  let demand = demands.get(group)
  if (demand === undefined) {
    const { workspace, labels, cpus, workersMax } = run.spec
    const { locks, affinity: _, spread: __, batchMax: ___, ...need } = group.need
    const place = JSON.stringify([workspace.type === 'in-place' ? workspace.host : null, labels, cpus, need])
    demand = { place, all: JSON.stringify([place, workersMax, locks]) }
    demands.set(group, demand)
  }
  return demand
}

/** Of groups for which this is the same, each worker either fits all or none, and has room for all or none. */
export function placeOf(run: Run, group: Group): string {
  return demandOf(run, group).place
}

/** CPUs of whole fleets, for as long as all of it stays as it is. */
const cpusKnown = new WeakMap<readonly Worker[], Map<string, number>>()

/** The fleets of many groups as they are at one time: those of groups that ask for the same are looked at once. */
export class Fleets {
  readonly #view: View
  readonly #speed: Speed
  readonly #known = new Map<string, Fleet>()
  readonly #workers = new Map<string, readonly Worker[]>()
  #allAvailable: boolean | undefined

  constructor(view: View, speed: Speed = measuredSpeed) {
    this.#view = view
    this.#speed = speed
  }

  of(run: Run, group: Group): Fleet {
    const demand = demandOf(run, group)
    // A speed that depends on the run depends on its suite.
    const all = this.#allOf(run, demand)
    const key = this.#speed === measuredSpeed ? all : JSON.stringify([run.spec.project, run.spec.suite, all])
    let fleet = this.#known.get(key)
    if (!fleet) {
      const workers = this.#workersOf(run, group, demand)
      fleet = new LazyFleet(workers, () => this.#cpusOf(run, group, workers, all))
      this.#known.set(key, fleet)
    }
    return fleet
  }

  #workersOf(run: Run, group: Group, { place }: Demand): readonly Worker[] {
    let workers = this.#workers.get(place)
    if (!workers) {
      const { state } = this.#view
      this.#allAvailable ??= [...state.workers.values()].every((worker) => isAvailable(this.#view, worker))
      workers = this.#allAvailable ? thoseThatFit(state, run, group) : fittingWorkers(this.#view, run, group)
      this.#workers.set(place, workers)
    }
    return workers
  }

  /** Quotas are those of a project and a user. */
  #allOf(run: Run, { all }: Demand): string {
    return this.#view.state.shares.size === 0 ? all : JSON.stringify([scopesOf(run), all])
  }

  #cpusOf(run: Run, group: Group, workers: readonly Worker[], all: string): number {
    const { shares } = this.#view.state
    if (this.#speed !== measuredSpeed) return fleetCpus(run, group, workers, this.#speed, shares)
    let sums = cpusKnown.get(workers)
    if (!sums) {
      sums = new Map()
      cpusKnown.set(workers, sums)
    }
    let cpus = sums.get(all)
    if (cpus === undefined) {
      if (sums.size >= knownMax) sums.clear()
      cpus = fleetCpus(run, group, workers, measuredSpeed, shares)
      sums.set(all, cpus)
    }
    return cpus
  }
}

/** Adds up only what is asked for. */
class LazyFleet implements Fleet {
  readonly workers: readonly Worker[]
  readonly #sum: () => number
  #cpus: number | undefined
  #busy: number | undefined

  constructor(workers: readonly Worker[], sum: () => number) {
    this.workers = workers
    this.#sum = sum
  }

  get cpus(): number {
    this.#cpus ??= this.#sum()
    return this.#cpus
  }

  get busy(): number {
    this.#busy ??= this.workers.reduce((sum, worker) => sum + (worker.cpusUsed > 0 ? 1 : 0), 0)
    return this.#busy
  }
}
