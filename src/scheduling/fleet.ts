/** Which workers could run which tasks: the matching half of scheduling. */
import { isOpen } from '../core/breaker.ts'
import { workerScope } from '../core/breaker-state.ts'
import { fits } from '../core/fit.ts'
import { cpusOf, slotsByLocks, slotsOn } from '../core/holdings.ts'
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
  const fitting: Worker[] = []
  for (const worker of view.state.workers.values()) {
    if (fits(run, group, worker) && isAvailable(view, worker)) fitting.push(worker)
  }
  return fitting
}

/** CPUs of the reference machine that the group can count on: of all workers that fit, within its run's limit of workers and its locks. */
export function fleetCpus(run: Run, group: Group, fitting: readonly Worker[], speed: Speed = measuredSpeed): number {
  const { need } = group
  const slotsMax = Math.min(run.spec.workersMax ?? Infinity, slotsByLocks(need))
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

/** What `fits`, `cpusOf` and `fleetCpus` look at, as text; it stays the same for as long as the group is there. */
const demands = new WeakMap<Group, string>()

function demandOf(run: Run, group: Group): string {
  let demand = demands.get(group)
  if (demand === undefined) {
    const { workspace, labels, cpus, workersMax } = run.spec
    demand = JSON.stringify([
      workspace.type === 'in-place' ? workspace.host : null,
      labels,
      cpus,
      workersMax,
      group.need,
    ])
    demands.set(group, demand)
  }
  return demand
}

/** The fleets of many groups as they are at one time: those of groups that ask for the same are looked at once. */
export class Fleets {
  readonly #view: View
  readonly #speed: Speed
  readonly #known = new Map<string, Fleet>()

  constructor(view: View, speed: Speed = measuredSpeed) {
    this.#view = view
    this.#speed = speed
  }

  of(run: Run, group: Group): Fleet {
    // A speed that depends on the run depends on its suite.
    const suite = this.#speed === measuredSpeed ? '' : `${run.spec.project} ${run.spec.suite} `
    const key = suite + demandOf(run, group)
    let fleet = this.#known.get(key)
    if (!fleet) {
      const workers = fittingWorkers(this.#view, run, group)
      const busy = workers.reduce((sum, worker) => sum + (worker.cpusUsed > 0 ? 1 : 0), 0)
      fleet = { workers, cpus: fleetCpus(run, group, workers, this.#speed), busy }
      this.#known.set(key, fleet)
    }
    return fleet
  }
}
