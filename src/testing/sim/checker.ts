/**
 * Everything that is checked while a cluster runs, in one place: the log (`Ledger`), what the core
 * makes of it (`Shadow`), the oracle's word on results, and what clients, workers and coordinators saw
 * against what the log held at that moment. Fed by the simulator; the parts that need only a log serve
 * others alone.
 */
import type { Entry } from '../../log/log.ts'
import type { Event } from '../../core/events.ts'
import type { Input } from '../../core/input.ts'
import type { Limits } from '../../core/limits.ts'
import type { Shares } from '../../core/shares.ts'
import type { State } from '../../core/state.ts'
import type { Ended, Reported, Started } from '../../protocol/worker-messages.ts'
import { Ledger } from './ledger.ts'
import { wrongEnd } from './oracle.ts'
import { Shadow } from './shadow.ts'
import { Violations } from './violations.ts'

type Told = { readonly returnedAt: number; readonly position: number }

export class Checker {
  readonly violations = new Violations()
  readonly ledger: Ledger
  readonly shadow: Shadow
  /** Of the newest entry. */
  lastEvents: readonly Event[] = []
  /** Positions that callers were told, in the order of the telling. */
  readonly #told: Told[] = []
  #toldMax = 0

  constructor(limits: Limits, compareEvery: number, shares: Shares) {
    this.ledger = new Ledger(this.violations, limits, shares)
    this.shadow = new Shadow(this.violations, limits, compareEvery, shares)
    this.ledger.onTaskEnded = (run, index) => {
      const task = run.tasks[index]!
      const wrong = wrongEnd(run, task)
      if (wrong !== undefined) {
        this.violations.found('results are what a sequential run gives', `${run.id}/${index} (${task.file}) ${wrong}`)
      }
    }
  }

  /** The log has a new entry. */
  written(entry: Entry): void {
    this.lastEvents = this.ledger.entry(entry)
    this.shadow.entry(entry.position, this.ledger.atMs, this.lastEvents)
  }

  // Coordinators.

  /** It holds this state, as of this position. */
  applied(coordinator: string, position: number, state: State): void {
    if (position > this.ledger.position) {
      const words = `${coordinator} is at ${position}, and the log ends at ${this.ledger.position}`
      this.violations.found('nobody is ahead of the log', words)
    } else if (this.shadow.compares(position)) this.shadow.compare(coordinator, position, state)
  }

  leads(coordinator: string, epoch: number): void {
    const term = this.ledger.terms.get(epoch)
    if (term?.owner.startsWith(`${coordinator}/`) === true) return
    const words = `${coordinator} leads epoch ${epoch}, which ${term ? `is ${term.owner}'s` : 'the log does not know'}`
    this.violations.found('a leader has written leader.started', words)
  }

  /** The log is cut below this position. */
  trimmed(below: number, newestSnapshot: number): void {
    if (below > newestSnapshot + 1) {
      const words = `trimmed below ${below}, and the newest snapshot is at ${newestSnapshot}`
      this.violations.found('trim stays behind a snapshot', words)
    }
  }

  // Clients.

  /** A caller was told that its input is durable. `invokedAt` and `returnedAt`: instants in one order. */
  acknowledged(input: Input, position: number, invokedAt: number, returnedAt: number): void {
    const { ledger } = this
    const what = `${input.type}${'run' in input ? ` of ${input.run}` : ''}`
    if (position > ledger.position) {
      const words = `${what} was acknowledged at ${position}, and the log ends at ${ledger.position}`
      this.violations.found('acknowledged means durable', words)
    }
    const missing = this.#missing(input, position)
    if (missing !== undefined) this.violations.found('acknowledged means durable', `${what}: ${missing}`)
    const before = this.#toldBefore(invokedAt)
    if (position < before) {
      const words = `${what} was asked after somebody had been told ${before}, and is told ${position}`
      this.violations.found('later callers see later positions', words)
    }
    this.#toldMax = Math.max(this.#toldMax, position)
    this.#told.push({ returnedAt, position: this.#toldMax })
  }

  #toldBefore(instant: number): number {
    return this.#told.findLast((one) => one.returnedAt < instant)?.position ?? 0
  }

  #missing(input: Input, position: number): string | undefined {
    const { ledger } = this
    switch (input.type) {
      case 'submit': {
        const run = ledger.runs.get(ledger.keys.get(input.key ?? '') ?? input.run)
        if (!run) return 'the log has no such run'
        if (run.submittedAt > position) return `the log has it at ${run.submittedAt}, not by ${position}`
        return run.tasks.length >= input.files.length ? undefined : 'the log has fewer tasks'
      }
      case 'cancel': {
        const run = ledger.runs.get(input.run)
        return run?.cancelled === true || run?.finishedAt !== undefined ? undefined : 'it goes on'
      }
      case 'drain': {
        const worker = ledger.workers.get(input.worker)
        if (worker === undefined || worker.draining) return undefined
        // It left and joined again since then: as a newcomer.
        return worker.joinedAt > position ? undefined : 'it takes work'
      }
      default:
        return undefined
    }
  }

  /** A coordinator showed a run, and said as of which position. */
  read(coordinator: string, run: string, asked: number, position: number, digest: string): void {
    const where = `${run} read from ${coordinator} at ${position}`
    if (position < asked) {
      this.violations.found('reads keep up with what the reader knows', `${where}, after ${asked} was known`)
    }
    const expected = this.shadow.digestAt(run, position)
    if (digest !== expected) {
      this.violations.found('reads are of their position', `${where}: shows ${digest}, the log says ${expected}`)
    }
  }

  // Workers.

  /** A batch reached a worker. */
  assigned(worker: string, batch: string, token: number): void {
    const known = this.ledger.batches.get(batch)
    if (known?.token === token && known.worker === worker) return
    const words = `${worker} was given ${batch} with token ${token}; the log ${known ? `says ${known.worker} and ${known.token}` : 'does not know it'}`
    this.violations.found('nothing is dispatched before it is in the log', words)
  }

  /** A worker was told that these reports need not be repeated. */
  reportsAcknowledged(worker: string, messages: readonly string[]): void {
    for (const text of messages) {
      const message = JSON.parse(text) as Started | Reported | Ended | { type: 'draining' | 'recycled' }
      if (message.type === 'started' || message.type === 'reported' || message.type === 'ended') {
        this.#reportAcknowledged(worker, message)
      }
    }
  }

  #reportAcknowledged(worker: string, message: Started | Reported | Ended): void {
    const batch = this.ledger.batches.get(message.batch)
    // Not its own (any more): refused as stale, and rightly acknowledged.
    if (!batch || batch.worker !== worker || batch.endedAt !== undefined) return
    const run = this.ledger.runs.get(batch.run)!
    const open = (index: number): boolean => {
      const attempt = run.tasks[index]?.attempts.find((one) => one.token === batch.token)
      return attempt?.ended === undefined
    }
    const missing =
      message.type === 'ended'
        ? 'its end'
        : message.type === 'reported' && message.plain?.some(([task]) => open(task))
          ? 'its results'
          : undefined
    if (missing === undefined) return
    const words = `${worker} was told that ${missing} of ${batch.id} is recorded, and the log has none`
    this.violations.found('reports are acknowledged when they are in the log', words)
  }

  /** A worker dropped a batch because its leader said that it isn't its own. */
  abandoned(worker: string, batch: string, token: number): void {
    const known = this.ledger.batches.get(batch)
    if (known?.endedAt !== undefined || known?.worker !== worker || known.token !== token) return
    this.violations.found('only what is lost is abandoned', `${worker} dropped ${batch}, which the log says is its own`)
  }
}
