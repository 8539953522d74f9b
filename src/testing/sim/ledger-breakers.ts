/** The ledger's books of circuit breakers and of workers that are being recycled: what may move, and who may be given work. */
import type { Event } from '../../core/events.ts'
import type { BookBatch, BookRun, Books } from './book-types.ts'

type Stand = 'closed' | 'open' | 'half-open'
type Moved = Extract<Event, { type: 'breaker.moved' }>

/** By the coordinator; a person may reset or open one at any time. */
const legal: Readonly<Record<Stand, readonly Stand[]>> = {
  closed: ['open'],
  open: ['half-open'],
  'half-open': ['closed', 'open'],
}

export class BreakerBooks {
  readonly #ledger: Books
  readonly #stands = new Map<string, Stand>()
  /** Batches under way that were assigned while the scope was half-open. */
  readonly #probes = new Map<string, Set<string>>()
  readonly #recyclingUntilMs = new Map<string, number>()

  constructor(ledger: Books) {
    this.#ledger = ledger
  }

  moved({ scope, from, to, who }: Moved): void {
    const stand = this.#stands.get(scope) ?? 'closed'
    this.#ledger.check(
      from === stand,
      'breakers move from where they are',
      () => `${scope} is ${stand}, moved from ${from}`,
    )
    this.#ledger.check(from !== to, 'breakers move', () => `${scope} moved from ${from} to ${to}`)
    if (who === 'coordinator') {
      this.#ledger.check(legal[from].includes(to), 'breaker transitions are legal', () => `${scope}: ${from} → ${to}`)
    }
    this.#stands.set(scope, to)
    if (to !== 'half-open') this.#probes.delete(scope)
  }

  recycling({ worker, untilMs }: Extract<Event, { type: 'worker.recycling' }>): void {
    this.#recyclingUntilMs.set(worker, untilMs)
  }

  recycled({ worker }: Extract<Event, { type: 'worker.recycled' }>): void {
    this.#recyclingUntilMs.delete(worker)
  }

  assigned(run: BookRun, batch: BookBatch): void {
    const ledger = this.#ledger
    ledger.check(
      (this.#recyclingUntilMs.get(batch.worker) ?? 0) <= ledger.atMs,
      'a worker is recycled before it works on',
      () => {
        return `${batch.id} went to ${batch.worker}`
      },
    )
    for (const scope of [`worker:${batch.worker}`, `class:${run.spec.project}/${run.spec.suite}`]) {
      const stand = this.#stands.get(scope) ?? 'closed'
      ledger.check(
        stand !== 'open',
        'nothing is assigned while a breaker is open',
        () => `${batch.id}: ${scope} is open`,
      )
      if (stand !== 'half-open') continue
      let probes = this.#probes.get(scope)
      if (!probes) this.#probes.set(scope, (probes = new Set()))
      probes.add(batch.id)
      const { breakerProbesMax, breakerProbeTasksMax } = ledger.limits
      ledger.check(
        probes.size <= breakerProbesMax && batch.tasks.length <= breakerProbeTasksMax,
        'probes are few and small',
        () => {
          return `${batch.id} of ${batch.tasks.length} tasks is probe ${probes.size} of ${scope}`
        },
      )
    }
  }

  ended(batch: string): void {
    for (const probes of this.#probes.values()) probes.delete(batch)
  }
}
