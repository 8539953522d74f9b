/**
 * What is kept, within one round, for runs that come first and can't be given it yet. Without that, what needs much
 * would wait for as long as anything comes that needs little: a run for a whole host behind ones for a CPU, one for two
 * GPUs behind ones for one, one for an exclusive lock behind ones that share it. A group that waits for CPUs, memory or
 * a host for itself keeps the worker; one that waits for GPUs or counted resources keeps only those, so that the
 * worker's CPUs don't lie idle; one that waits for a lock keeps all its locks.
 */
import type { Need, RunId, WorkerId } from '../core/entities.ts'
import type { Obstacle } from '../core/holdings.ts'
import type { Run, Worker } from '../core/state.ts'

export class Reservations {
  /** Whole workers, and the run for which. */
  readonly workers = new Map<WorkerId, RunId>()
  readonly #parts = new Set<string>()
  readonly #locks = new Map<string, RunId>()

  keepWorker(run: Run, worker: Worker, obstacle: Obstacle): void {
    switch (obstacle.type) {
      case 'gpus':
        this.#parts.add(`${worker.id} gpus`)
        return
      case 'resource':
        this.#parts.add(`${worker.id} resource ${obstacle.name}`)
        return
      // Whoever is first gets the host as soon as the other batch has ended.
      case 'anti-affinity':
        return
      default:
        if (!this.workers.has(worker.id)) this.workers.set(worker.id, run.id)
    }
  }

  keepLocks(run: Run, { locks = [] }: Need): void {
    for (const { name } of locks) if (!this.#locks.has(name)) this.#locks.set(name, run.id)
  }

  /** Nobody before it waits for one of its locks. */
  mayLock(run: Run, { locks }: Need): boolean {
    if (locks === undefined || this.#locks.size === 0) return true
    return locks.every(({ name }) => (this.#locks.get(name) ?? run.id) === run.id)
  }

  /** Nobody before it waits for the worker, or for what it needs of it. */
  mayUse(worker: Worker, need: Need): boolean {
    if (this.workers.has(worker.id)) return false
    if (this.#parts.size === 0) return true
    if (need.gpus !== undefined && this.#parts.has(`${worker.id} gpus`)) return false
    for (const name in need.resources) if (this.#parts.has(`${worker.id} resource ${name}`)) return false
    return true
  }
}
