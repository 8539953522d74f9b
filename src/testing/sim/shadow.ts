/**
 * The state that the log gives when the core's `apply` folds it from nothing, kept beside the log, and
 * what everybody else's state is compared with: followers' and leaders', at equal positions, and a
 * twin that was restored from a snapshot of it and goes on from there.
 */
import { apply } from '../../core/advance.ts'
import type { Event } from '../../core/events.ts'
import type { Limits } from '../../core/limits.ts'
import { noShares, type Shares } from '../../core/shares.ts'
import { restore, type SnapshotData } from '../../core/snapshot.ts'
import { emptyState, type Run, type State } from '../../core/state.ts'
import { snapshotText, stateHash, stateText } from './state-hash.ts'
import type { Violations } from './violations.ts'

/** What a reader is shown of a run, as far as it can be compared. */
export function digestOf(run: Run | undefined): string {
  if (!run) return 'none'
  return `${run.state} v${run.version} ${run.queuedCount} queued, ${run.tests.total} tests, ${run.verdict ?? '-'}`
}

export class Shadow {
  readonly state: State
  readonly #violations: Violations
  readonly #limits: Limits
  readonly #shares: Shares
  /** Every so many entries all is hashed; the rest is left out to be quick. */
  readonly #every: number
  readonly #hashes = new Map<number, number>()
  readonly #digests = new Map<string, { readonly position: number; readonly digest: string }[]>()
  #twin: State | undefined
  #position = 0

  constructor(violations: Violations, limits: Limits, every: number, shares: Shares = noShares) {
    this.#violations = violations
    this.#limits = limits
    this.#shares = shares
    this.#every = every
    this.state = emptyState(limits, shares)
  }

  entry(position: number, atMs: number, events: readonly Event[]): void {
    this.#position = position
    try {
      for (const event of events) apply(this.state, event, atMs)
      if (this.#twin) for (const event of structuredClone(events)) apply(this.#twin, event, atMs)
    } catch (error) {
      this.#violations.found('the log can be applied', `log position ${position}: ${String(error)}`)
      return
    }
    for (const event of events) if ('run' in event) this.#note(event.run)
    if (!this.compares(position)) return
    const hash = stateHash(this.state)
    this.#hashes.set(position, hash)
    if (this.#twin && stateHash(this.#twin) !== hash) {
      const words = difference(stateText(this.#twin), stateText(this.state))
      this.#violations.found('snapshot and tail give the same as the whole log', `log position ${position}: ${words}`)
    }
    if (position % (this.#every * 3) === 0) {
      this.#twin = restore(JSON.parse(snapshotText(this.state)) as SnapshotData, this.#limits, this.#shares)
    }
  }

  compares(position: number): boolean {
    return position % this.#every === 0
  }

  /** A coordinator has this state, and takes it for that of this position. */
  compare(who: string, position: number, state: State): void {
    const hash = this.#hashes.get(position)
    if (hash === undefined || stateHash(state) === hash) return
    const words = position === this.#position ? difference(stateText(state), stateText(this.state)) : 'another hash'
    this.#violations.found('equal positions, equal states', `${who} at log position ${position}: ${words}`)
  }

  #note(run: string): void {
    const digest = digestOf(this.state.runs.get(run))
    const known = this.#digests.get(run)
    if (!known) this.#digests.set(run, [{ position: this.#position, digest }])
    else if (known.at(-1)!.digest !== digest) known.push({ position: this.#position, digest })
  }

  /** What a reader at this position must see of the run. */
  digestAt(run: string, position: number): string {
    return this.#digests.get(run)?.findLast((one) => one.position <= position)?.digest ?? 'none'
  }
}

/** The first place where two texts differ, with what is round it. */
export function difference(received: string, expected: string): string {
  let at = 0
  while (at < received.length && received[at] === expected[at]) at += 1
  const from = Math.max(0, at - 60)
  return `has …${received.slice(from, at + 60)}…, expected …${expected.slice(from, at + 60)}…`
}
