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
  const grants = fitting.map((worker) => grantOf(run, worker)).sort((a, b) => b - a)
  const { workersMax } = run.spec
  return grants.slice(0, workersMax ?? grants.length).reduce((sum, grant) => sum + grant, 0)
}
