/** Which workers could run which tasks: the matching half of scheduling. */
import { isOpen } from '../core/breaker.ts'
import { workerScope } from '../core/breaker-state.ts'
import { fits } from '../core/fit.ts'
import { cpusOf, scopesOf, slotsByLocks, slotsByQuota, slotsOn } from '../core/holdings.ts'
import { hasQuota, noShares, ruleOfScope, type Shares } from '../core/shares.ts'
import type { Group, Run, State, Worker } from '../core/state.ts'

export type View = {
  readonly state: State
  /** Connected and willing: what the shell knows and state does not. */
  readonly available: (worker: Worker) => boolean
  /** Another number whenever `available` may say something else than before; absent = each round asks about all workers. */
  readonly availableVersion?: number
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
  const fitting: Worker[] = []
  for (const worker of view.state.workers.values())
    if (fits(run, group, worker) && isAvailable(view, worker)) fitting.push(worker)
  return fitting
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

/** The workers that fit a group. */
export type Fleet = { readonly workers: readonly Worker[]; readonly cpus: number; readonly busy: number }

/** What groups ask for: one object for all that ask for the same, so that it is found without comparing texts. */
export type Demand = { readonly text: string }

const demands = new Map<string, Demand>()
/** Beyond so many they are forgotten: those that come later are then different objects from those before, and looked at again. */
const demandsMax = 20_000

function demandOf(asked: unknown): Demand {
  const text = JSON.stringify(asked)
  let demand = demands.get(text)
  if (!demand) {
    if (demands.size >= demandsMax) demands.clear()
    demand = { text }
    demands.set(text, demand)
  }
  return demand
}

/** What one group asks for; it stays the same for as long as the group is there. */
type Asked = {
  /** Of a worker at the time. */
  readonly place: Demand
  /** In all: with its limit of workers and its locks. */
  readonly all: Demand
  /** Of workers and locks. */
  readonly line: Demand
}

const asked = new WeakMap<Group, Asked>()
/** The same, and under whose quotas. */
const askedWithin = new WeakMap<Group, Asked>()

function askedOf({ shares }: State, run: Run, group: Group): Asked {
  const plain = asked.get(group) ?? findAsked(run, group)
  return shares.size === 0 ? plain : (askedWithin.get(group) ?? quoteAsked(shares, run, group, plain))
}

function findAsked(run: Run, group: Group): Asked {
  const { workspace, labels, cpus, workersMax } = run.spec
  const { locks, affinity: _, spread: __, batchMax: ___, ...need } = group.need
  const place = demandOf([workspace.type === 'in-place' ? workspace.host : null, labels, cpus, need])
  const all = workersMax === undefined && locks === undefined ? place : demandOf([place.text, workersMax, locks])
  const line = locks === undefined ? place : demandOf([place.text, null, locks])
  const known = { place, all, line }
  asked.set(group, known)
  return known
}

function quoteAsked(shares: Shares, run: Run, group: Group, plain: Asked): Asked {
  const scopes = scopesOf(run)
  // Weights say who is first, but nothing of what anybody can have.
  if (!scopes.some((scope) => hasQuota(ruleOfScope(shares, scope)))) {
    askedWithin.set(group, plain)
    return plain
  }
  const { place, all, line } = plain
  const quote = (demand: Demand) => demandOf([scopes, demand.text])
  const known = { place: quote(place), all: quote(all), line: quote(line) }
  askedWithin.set(group, known)
  return known
}

/** Of groups for which this is the same, each worker either fits all or none, and has room for all or none. */
export function placeOf(run: Run, group: Group): Demand {
  return (asked.get(group) ?? findAsked(run, group)).place
}

/** Of groups for which this is the same, all can be given the same workers, where shares are configured by their quotas too. */
export function claimOf(state: State, run: Run, group: Group): Demand {
  return askedOf(state, run, group).place
}

/** Of groups for which this is the same, all are held up by the same locks and, where shares are configured, quotas. */
export function lineOf(state: State, run: Run, group: Group): Demand {
  return askedOf(state, run, group).line
}

/** The same, whoever's quotas hold them up. */
export function plainLineOf(run: Run, group: Group): Demand {
  return (asked.get(group) ?? findAsked(run, group)).line
}

/** Who fits whom stays as it is until a worker comes, goes or changes; so it is looked at once and not at every decision. */
type Lists = {
  readonly fleetVersion: number
  readonly availableVersion: number | undefined
  readonly behindBreakers: string
  readonly byPlace: Map<Demand, readonly Worker[]>
}

const lists = new WeakMap<State, Lists>()
const listsMax = 1000

/** Undefined where nobody says when availability changes. */
function listsOf({ state, availableVersion }: View): Lists['byPlace'] | undefined {
  if (availableVersion === undefined) return undefined
  const { fleetVersion } = state
  const behindBreakers = openBreakers(state)
  let known = lists.get(state)
  if (
    known === undefined ||
    known.fleetVersion !== fleetVersion ||
    known.availableVersion !== availableVersion ||
    known.behindBreakers !== behindBreakers ||
    known.byPlace.size >= listsMax
  ) {
    known = { fleetVersion, availableVersion, behindBreakers, byPlace: new Map() }
    lists.set(state, known)
  }
  return known.byPlace
}

/** Another object whenever groups may count on other workers than before; undefined where nobody says when that is. */
export function fleetsMarkOf(view: View): unknown {
  return listsOf(view)
}

function openBreakers(state: State): string {
  const { notClosed } = state.breakers
  if (notClosed.size === 0) return ''
  let open = ''
  for (const scope of notClosed) if (isOpen(state, scope)) open += `${scope} `
  return open
}

/** CPUs of whole fleets, for as long as all of it stays as it is. */
const cpusKnown = new WeakMap<readonly Worker[], Map<Demand, number>>()

/** The fleets of many groups as they are at one time: those of groups that ask for the same are looked at once. */
export class Fleets {
  readonly #view: View
  readonly #speed: Speed
  readonly #known = new Map<Demand | string, Fleet>()
  readonly #workers: Map<Demand, readonly Worker[]>

  constructor(view: View, speed: Speed = measuredSpeed) {
    this.#view = view
    this.#speed = speed
    this.#workers = listsOf(view) ?? new Map<Demand, readonly Worker[]>()
  }

  of(run: Run, group: Group): Fleet {
    const demand = askedOf(this.#view.state, run, group).all
    // A speed that depends on the run depends on its suite.
    const key = this.#speed === measuredSpeed ? demand : JSON.stringify([run.spec.project, run.spec.suite, demand.text])
    let fleet = this.#known.get(key)
    if (!fleet) {
      const workers = this.#workersOf(run, group, placeOf(run, group))
      fleet = new LazyFleet(workers, () => this.#cpusOf(run, group, workers, demand))
      this.#known.set(key, fleet)
    }
    return fleet
  }

  #workersOf(run: Run, group: Group, place: Demand): readonly Worker[] {
    let workers = this.#workers.get(place)
    if (!workers) {
      workers = fittingWorkers(this.#view, run, group)
      this.#workers.set(place, workers)
    }
    return workers
  }

  #cpusOf(run: Run, group: Group, workers: readonly Worker[], demand: Demand): number {
    const { shares } = this.#view.state
    if (this.#speed !== measuredSpeed) return fleetCpus(run, group, workers, this.#speed, shares)
    let sums = cpusKnown.get(workers)
    if (!sums) {
      sums = new Map()
      cpusKnown.set(workers, sums)
    }
    let cpus = sums.get(demand)
    if (cpus === undefined) {
      if (sums.size >= listsMax) sums.clear()
      cpus = fleetCpus(run, group, workers, measuredSpeed, shares)
      sums.set(demand, cpus)
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
