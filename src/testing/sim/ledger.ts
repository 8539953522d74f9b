/**
 * The log checked entry by entry against what Muster promises of it, with books of its own: nothing
 * here is taken from the core, so that a mistake there can't hide itself. Knows nothing of processes
 * or simulation: the simulator feeds it while the log grows, other callers after the fact.
 *
 * A log that begins after a trim can't be judged; callers read it from the first entry on.
 */
import { decodeEntry, type Event } from '../../core/events.ts'
import { formatOf } from '../../core/format.ts'
import { noShares, type Shares } from '../../core/shares.ts'
import { defaultLimits, type Limits } from '../../core/limits.ts'
import { Audit } from '../../scheduling/fixtures/audit.ts'
import type { Entry } from '../../log/log.ts'
import type { BookBatch, BookRun, Books, BookWorker } from './book-types.ts'
import { BreakerBooks } from './ledger-breakers.ts'
import { runEvent } from './ledger-runs.ts'
import { SchedulerBooks } from './ledger-schedulers.ts'
import type { Violations } from './violations.ts'

export class Ledger implements Books {
  readonly violations: Violations
  readonly limits: Limits
  readonly breakers: BreakerBooks
  readonly #schedulers: SchedulerBooks
  /** Of what batches hold and what comes before what. */
  readonly #placements: Audit
  position = 0
  epoch = 0
  format = 1
  atMs = 0
  lastToken = 0
  readonly runs = new Map<string, BookRun>()
  readonly batches = new Map<string, BookBatch>()
  readonly workers = new Map<string, BookWorker>()
  /** Idempotency key → run. */
  readonly keys = new Map<string, string>()
  /** Position at which each epoch began. */
  readonly terms = new Map<number, { readonly position: number; readonly owner: string }>()
  /** Tasks whose attempt is over and whose fate this entry must still tell, as `run/index`. */
  readonly undecided = new Set<string>()
  /** Called for each task that comes to its end. */
  onTaskEnded: (run: BookRun, index: number) => void = () => {}

  /** `limits`: those that the coordinators were given. */
  constructor(violations: Violations, limits: Limits = defaultLimits, shares: Shares = noShares) {
    this.violations = violations
    this.limits = limits
    this.#placements = new Audit(shares)
    this.breakers = new BreakerBooks(this)
    this.#schedulers = new SchedulerBooks(this)
  }

  check(holds: boolean, check: string, words: () => string): void {
    if (!holds) this.violations.found(check, `log position ${this.position}: ${words()}`)
  }

  /** The next entry of the log. Returns its events. */
  entry(entry: Entry): readonly Event[] {
    const expected = this.position + 1
    this.check(entry.position === expected, 'positions are contiguous', () => {
      return `expected position ${expected} next, received ${entry.position}`
    })
    this.position = entry.position
    const { atMs, events } = decodeEntry(entry.bytes)
    this.check(atMs >= this.atMs, 'time in the log never runs back', () => `${this.atMs} ms, then ${atMs} ms`)
    this.atMs = atMs
    this.#term(entry, events)
    for (const event of events) this.#event(event)
    this.#settled(events)
    this.#audit(events)
    return events
  }

  /** What is wrong already would only be found wrong again. */
  #audit(events: readonly Event[]): void {
    if (this.violations.first !== undefined) return
    this.#placements.take(events, this.atMs)
    for (const { check, words } of this.#placements.violations) this.check(false, check, () => words)
  }

  #term(entry: Entry, events: readonly Event[]): void {
    const [first] = events
    const starts = events.filter((event) => event.type === 'leader.started')
    this.check(entry.epoch >= this.epoch, 'epochs are monotone', () => `epoch ${this.epoch}, then ${entry.epoch}`)
    if (entry.epoch > this.epoch) {
      this.check(first?.type === 'leader.started', 'a term begins with leader.started', () => {
        return `the first entry of epoch ${entry.epoch} begins with ${first?.type ?? 'nothing'}`
      })
      this.epoch = entry.epoch
      if (first?.type === 'leader.started') {
        this.terms.set(entry.epoch, { position: entry.position, owner: first.owner })
        this.check(first.epoch === entry.epoch, 'leader.started names its epoch', () => {
          return `an entry of epoch ${entry.epoch} says epoch ${first.epoch}`
        })
      }
      this.check(starts.length === 1, 'one leader.started per epoch', () => `${starts.length} in epoch ${entry.epoch}`)
    } else {
      this.check(starts.length === 0, 'one leader.started per epoch', () => `a second one in epoch ${entry.epoch}`)
    }
  }

  #event(event: Event): void {
    const needed = formatOf(event)
    if (event.type === 'format.raised') {
      this.check(event.format > this.format, 'the format only rises', () => `${this.format}, then ${event.format}`)
      this.format = event.format
    }
    this.check(needed <= this.format, 'events wait for their format', () => {
      return `${event.type} is of format ${needed}, and the log's is ${this.format}`
    })
    switch (event.type) {
      case 'worker.joined':
        return this.#joined(event)
      case 'worker.drained': {
        const worker = this.workers.get(event.worker)
        this.check(worker !== undefined, 'only known workers drain', () => event.worker)
        if (worker) worker.draining = true
        return
      }
      case 'worker.left': {
        const worker = this.workers.get(event.worker)
        this.check(worker?.batches.size === 0, 'a worker that left holds nothing', () => {
          return worker ? `${event.worker} holds ${[...worker.batches].join(', ')}` : `${event.worker} was not there`
        })
        this.workers.delete(event.worker)
        return
      }
      case 'worker.recycling':
        return this.breakers.recycling(event)
      case 'worker.recycled':
        return this.breakers.recycled(event)
      case 'scheduler.chosen':
        return this.#schedulers.chosen(event)
      case 'scheduler.faulted':
        return this.#schedulers.faulted(event)
      case 'breaker.moved':
        return this.breakers.moved(event)
      default:
        if ('run' in event) runEvent(this, event)
    }
  }

  #joined(event: Extract<Event, { type: 'worker.joined' }>): void {
    const known = this.workers.get(event.worker)
    const { cpus } = event.capabilities
    if (known) {
      this.check(
        known.cpusUsed <= cpus,
        'capacity is kept',
        () => `${known.id} has ${cpus} CPUs, ${known.cpusUsed} used`,
      )
      known.cpus = cpus
    } else {
      this.workers.set(event.worker, {
        id: event.worker,
        cpus,
        cpusUsed: 0,
        draining: false,
        joinedAt: this.position,
        batches: new Set(),
      })
    }
  }

  /** What an entry begins it also finishes: no attempt ends without saying what becomes of its task. */
  #settled(events: readonly Event[]): void {
    this.check(this.undecided.size === 0, 'an attempt that ends decides its task', () => {
      return `nothing says what becomes of ${[...this.undecided].join(', ')}`
    })
    this.undecided.clear()
    for (const event of events) {
      if (event.type !== 'batch.ended') continue
      const batch = this.batches.get(event.batch)
      const run = batch && this.runs.get(batch.run)
      for (const index of batch?.tasks ?? []) {
        const task = run?.tasks[index]
        this.check(task?.batch !== event.batch, 'a batch that ended holds no task', () => {
          return `${batch?.run}/${index} is still ${task?.state} in ${event.batch}`
        })
      }
    }
  }
}
