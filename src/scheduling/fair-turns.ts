/**
 * One batch at a time to whoever is furthest below its share, within one round. Runs of a project and a user stand alike, so
 * they wait behind each other, and only those at the head are compared: with many runs of few projects, sorting all of them
 * for every batch would cost more than everything else.
 */
import { scopesOf, type Scopes } from '../core/holdings.ts'
import type { Run, State } from '../core/state.ts'
import { compareStandings, standingOf, totalsOf, type Standing } from './share.ts'

export type FairOrder = {
  /** By how much of the fleet the run counts as further below its share than it is, for what it has waited; 0 = no more. */
  readonly credit: (state: State, run: Run, nowMs: number) => number
  /** Among those that stand alike: larger first, then the older one. */
  readonly key: (run: Run) => number
}

type Waiting = { readonly run: Run; readonly credit: number; readonly key: number }

/** Runs of one project and user, the next one last. */
type Party = { readonly scopes: Scopes; readonly waiting: Waiting[]; standing: Standing }

export class FairTurns {
  readonly #state: State
  readonly #order: FairOrder
  readonly #nowMs: number
  readonly #parties = new Map<Scopes, Party>()
  /** Scopes that hold something else since their standing was looked at. */
  readonly #changed = new Set<string>()

  constructor(state: State, runs: readonly Run[], order: FairOrder, nowMs: number) {
    this.#state = state
    this.#order = order
    this.#nowMs = nowMs
    for (const run of runs) {
      const scopes = scopesOf(run)
      let party = this.#parties.get(scopes)
      if (!party) {
        party = { scopes, waiting: [], standing: this.#standingOf(run) }
        this.#parties.set(scopes, party)
      }
      party.waiting.push(this.#waiting(run))
    }
    for (const { waiting } of this.#parties.values()) waiting.sort((a, b) => compareWaiting(b, a))
  }

  #waiting(run: Run): Waiting {
    return { run, credit: this.#order.credit(this.#state, run, this.#nowMs), key: this.#order.key(run) }
  }

  #standingOf(run: Run): Standing {
    return standingOf(this.#state, run, totalsOf(this.#state), this.#nowMs)
  }

  /** Whose turn it is; undefined: nobody waits any more. */
  next(): Run | undefined {
    let best: Party | undefined
    for (const party of this.#parties.values()) {
      if (party.scopes.some((scope) => this.#changed.has(scope)))
        party.standing = this.#standingOf(party.waiting.at(-1)!.run)
      if (best === undefined || compareParties(party, best) < 0) best = party
    }
    this.#changed.clear()
    return best?.waiting.at(-1)!.run
  }

  /** It can't be given anything in this round. */
  drop(run: Run): void {
    const scopes = scopesOf(run)
    const { waiting } = this.#parties.get(scopes)!
    waiting.pop()
    if (waiting.length === 0) this.#parties.delete(scopes)
  }

  /** It was given a batch. */
  gave(run: Run): void {
    const scopes = scopesOf(run)
    for (const scope of scopes) this.#changed.add(scope)
    const { waiting } = this.#parties.get(scopes)!
    waiting.pop()
    const again = this.#waiting(run)
    let at = waiting.length
    while (at > 0 && compareWaiting(waiting[at - 1]!, again) < 0) at -= 1
    waiting.splice(at, 0, again)
  }

  /** All of them, in the order in which they would be served if nothing changed. */
  static sort(state: State, runs: readonly Run[], order: FairOrder, nowMs: number): Run[] {
    const turns = new FairTurns(state, runs, order, nowMs)
    const sorted: Run[] = []
    for (let run = turns.next(); run !== undefined; run = turns.next()) {
      sorted.push(run)
      turns.drop(run)
    }
    return sorted
  }
}

function compareWaiting(a: Waiting, b: Waiting): number {
  const { run: one } = a
  const { run: other } = b
  return b.credit - a.credit || b.key - a.key || one.createdAtMs - other.createdAtMs || (one.id < other.id ? -1 : 1)
}

function compareParties(a: Party, b: Party): number {
  const one = a.waiting.at(-1)!
  const other = b.waiting.at(-1)!
  return (
    compareStandings([a.standing[0] - one.credit, a.standing[1]], [b.standing[0] - other.credit, b.standing[1]]) ||
    compareWaiting({ ...one, credit: 0 }, { ...other, credit: 0 })
  )
}
