/** Which workers could run which run: the matching half of scheduling. */
import { isOpen } from '../core/breaker.ts'
import { workerScope } from '../core/breaker-state.ts'
import { fits } from '../core/fit.ts'
import type { Run, State, Worker } from '../core/state.ts'

export type View = {
  readonly state: State
  /** Connected and willing: what the shell knows and state does not. */
  readonly available: (worker: Worker) => boolean
}

/** CPUs that a batch of the run gets on this worker: what it asked for, at most the whole host. */
export function grantOf(run: Run, worker: Worker): number {
  return Math.max(1, Math.min(run.spec.cpus ?? worker.capabilities.cpus, worker.capabilities.cpus))
}

/** Connected, and not behind an open breaker. */
export function isAvailable(view: View, worker: Worker): boolean {
  if (!view.available(worker)) return false
  return view.state.breakers.notClosed.size === 0 || !isOpen(view.state, workerScope(worker.id))
}

/** Could run it now or once it is free. */
export function fittingWorkers(view: View, run: Run): Worker[] {
  const fitting: Worker[] = []
  for (const worker of view.state.workers.values()) {
    if (fits(run, worker) && isAvailable(view, worker)) fitting.push(worker)
  }
  return fitting
}

/** CPUs that the run can count on: of all workers that fit, within its own limit of workers. */
export function fleetCpus(run: Run, fitting: readonly Worker[]): number {
  const { workersMax } = run.spec
  let grants = fitting.map((worker) => grantOf(run, worker))
  if (workersMax !== undefined && workersMax < grants.length) grants = grants.sort((a, b) => b - a).slice(0, workersMax)
  return grants.reduce((sum, grant) => sum + grant, 0)
}

/** Whether any worker fits. */
export function hasFitting(view: View, run: Run): boolean {
  for (const worker of view.state.workers.values()) if (fits(run, worker) && isAvailable(view, worker)) return true
  return false
}

/** The workers that fit a run. */
export type Fleet = { readonly cpus: number; readonly fitting: number; readonly busy: number }

/** The fleets of many runs as they are at one time: those of runs that ask for the same are looked at once. */
export class Fleets {
  readonly #view: View
  readonly #known = new Map<string, Fleet>()

  constructor(view: View) {
    this.#view = view
  }

  of(run: Run): Fleet {
    const key = demandOf(run)
    let fleet = this.#known.get(key)
    if (!fleet) {
      const fitting = fittingWorkers(this.#view, run)
      const busy = fitting.reduce((sum, worker) => sum + (worker.cpusUsed > 0 ? 1 : 0), 0)
      fleet = { cpus: fleetCpus(run, fitting), fitting: fitting.length, busy }
      this.#known.set(key, fleet)
    }
    return fleet
  }
}

/** Everything that `fits`, `grantOf` and `fleetCpus` look at. */
function demandOf({ spec: { workspace, labels, cpus, workersMax } }: Run): string {
  return JSON.stringify([workspace.type === 'in-place' ? workspace.host : null, labels, cpus, workersMax])
}
