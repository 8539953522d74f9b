/**
 * Workers that something could be given to when a round began, as far as they are concerned: connected, with CPUs to give,
 * and not being recycled. Nobody walks over all of them to begin a round: who has CPUs to give now had some then, since
 * within a round there is only ever less, and those that have none left were given something in it.
 */
import type { Worker } from '../core/state.ts'
import { isAvailable, type View } from './fleet.ts'

export class OpenWorkers {
  readonly #view: View
  readonly #nowMs: number
  /** What they were given may have been their last. */
  readonly #given = new Set<Worker>()
  #all: readonly Worker[] | undefined

  constructor(view: View, nowMs: number) {
    this.#view = view
    this.#nowMs = nowMs
  }

  /** It was chosen for a batch, and so it was open. */
  note(worker: Worker): void {
    this.#given.add(worker)
  }

  has(worker: Worker): boolean {
    if (!this.#view.state.free.has(worker.id)) return this.#given.has(worker)
    if (worker.recycling !== undefined && worker.recycling.untilMs > this.#nowMs) return false
    return isAvailable(this.#view, worker)
  }

  /** They are no more than this. */
  get sizeMax(): number {
    return this.#view.state.free.size + this.#given.size
  }

  get isEmpty(): boolean {
    const { free, workers } = this.#view.state
    for (const id of free) if (this.has(workers.get(id)!)) return false
    return true
  }

  /** The same ones whenever it is asked for. */
  get all(): readonly Worker[] {
    this.#all ??= this.#find()
    return this.#all
  }

  #find(): readonly Worker[] {
    const { free, workers } = this.#view.state
    const all: Worker[] = []
    for (const id of free) {
      const worker = workers.get(id)!
      if (this.has(worker)) all.push(worker)
    }
    for (const worker of this.#given) if (!free.has(worker.id)) all.push(worker)
    return all
  }
}
