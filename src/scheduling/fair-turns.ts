/**
 * One batch at a time to whoever is furthest below its share, within one round. Runs of a project and a user stand alike, so
 * they wait behind each other, and only those at the head are compared. Accounts are kept in order from round to round
 * (accounts.ts); what is given within a round only takes them further from its front, so that each is looked at again
 * when its turn would come, and those whose turn never comes are not looked at.
 */
import { hasReady } from '../core/due.ts'
import type { Run, State } from '../core/state.ts'
import { slotEndMs } from '../core/spent.ts'
import { type Scopes, scopesOf } from '../core/holdings.ts'
import { type Account, compareEntries, compareRanks, type Entry, type Rank } from './account.ts'
import { type InTurn, type RunOrder, sinceOf, standings, type KeyedOrder } from './run-order.ts'
import { standingOfScopes, totalsOf } from './share.ts'
import { Over, type RoundSoFar, type Turn } from './turns.ts'

/** An account in this round: what of it has had its turn. */
type Party = Rank & {
  readonly account: Account
  head: Entry
  aheadAt: number
  at: number
}

export class FairTurns {
  readonly #state: State
  readonly #nowMs: number
  readonly #order: RunOrder
  readonly #inTurn: InTurn
  readonly #accounts: readonly Account[]
  readonly #round: RoundSoFar
  readonly #over: Over
  readonly #mine: ((run: Run) => boolean) | undefined
  readonly #heap: Party[] = []
  #come = 0
  /** Runs that were given something in this round, and that can't be given anything any more. */
  readonly #given = new Set<Run>()
  readonly #dropped = new Set<Run>()

  constructor(order: RunOrder, state: State, nowMs: number, round: RoundSoFar, mine?: (run: Run) => boolean) {
    this.#order = order
    this.#inTurn = order.keyed.inTurn!
    this.#accounts = order.ranking()
    this.#state = state
    this.#nowMs = nowMs
    this.#round = round
    this.#over = new Over(round)
    this.#mine = mine
  }

  /** Whose turn it is; undefined: nobody waits any more for what is left. */
  next(): Turn | undefined {
    for (;;) {
      if (this.#over.count === this.#order.demandCount) return undefined
      this.#comeIn()
      const party = this.#heap[0]
      if (party === undefined) return undefined
      const { first, second, third, head } = party
      if (!this.#look(party)) this.#leave()
      // It is where it was, and all others are behind that, or were before they were given something.
      else if (compareRanks(party, { first, second, third, head }) === 0) break
      else this.#sink()
    }
    const { run } = this.#heap[0]!.head
    // All of them: what is over for others may still have to be kept for it.
    return { run, groups: run.groups }
  }

  /** It can't be given anything in this round. */
  drop(run: Run): void {
    this.#dropped.add(run)
  }

  /** It was given a batch. */
  gave(run: Run): void {
    this.#given.add(run)
  }

  /** Accounts that were not after the first in the heap when the round began. */
  #comeIn(): void {
    for (; this.#come < this.#accounts.length; this.#come += 1) {
      const account = this.#accounts[this.#come]!
      const { rank } = account
      if (this.#heap.length > 0 && compareRanks(rank!, this.#heap[0]!) > 0) return
      this.#push({ ...rank!, head: rank!.head as Entry, account, aheadAt: 0, at: 0 })
    }
  }

  /** As it stands now; false: nothing can be given to it any more. */
  #look(party: Party): boolean {
    const { account } = party
    if (this.#over.isAllOver(account) || this.#round.isClosed(account)) return false
    const head = this.#headOf(party)
    if (head === undefined) return false
    const standing = standingOfScopes(this.#state, account.scopes!, totalsOf(this.#state), slotEndMs(this.#nowMs))
    const sinceMs = this.#given.has(head.run) ? this.#nowMs : head.sinceMs
    Object.assign(party, this.#inTurn.rank(standing, sinceMs, this.#nowMs), { head })
    return true
  }

  #headOf(party: Party): Entry | undefined {
    const { entries, bySince } = party.account
    for (; party.aheadAt < bySince.length; party.aheadAt += 1) {
      const entry = bySince[party.aheadAt]!
      if (!this.#inTurn.isAhead(entry.sinceMs, this.#nowMs)) break
      if (!this.#given.has(entry.run) && this.#mayTry(entry)) return entry
    }
    for (; party.at < entries.length; party.at += 1) if (this.#mayTry(entries[party.at]!)) return entries[party.at]!
    return undefined
  }

  /** Once it is so, it is so for the rest of the round. */
  #mayTry({ run, stands }: Entry): boolean {
    if (this.#dropped.has(run) || this.#mine?.(run) === false || !hasReady(run, this.#nowMs)) return false
    return this.#round.maySpend(run) && stands.some(({ line }) => !this.#over.isOver(line, run))
  }

  #push(party: Party): void {
    const heap = this.#heap
    let at = heap.length
    heap.push(party)
    while (at > 0) {
      const parent = (at - 1) >> 1
      if (compareRanks(heap[parent]!, party) <= 0) break
      heap[at] = heap[parent]!
      at = parent
    }
    heap[at] = party
  }

  #leave(): void {
    const last = this.#heap.pop()!
    if (this.#heap.length === 0) return
    this.#heap[0] = last
    this.#sink()
  }

  #sink(): void {
    const heap = this.#heap
    const party = heap[0]!
    let at = 0
    for (;;) {
      let child = 2 * at + 1
      if (child >= heap.length) break
      if (child + 1 < heap.length && compareRanks(heap[child + 1]!, heap[child]!) < 0) child += 1
      if (compareRanks(heap[child]!, party) >= 0) break
      heap[at] = heap[child]!
      at = child
    }
    heap[at] = party
  }
}

/** All of them, in the order in which they would be served if nothing changed. */
export function sortInTurn({ key, inTurn }: KeyedOrder, state: State, runs: readonly Run[], nowMs: number): Run[] {
  const standing = standings(state, nowMs)
  const parties = new Map<Scopes, Rank[]>()
  for (const run of runs) {
    const sinceMs = sinceOf(state, run)
    const rank = { ...inTurn!.rank(standing(run), sinceMs, nowMs), head: { run, key: key(run) } }
    const party = parties.get(scopesOf(run))
    if (party) party.push(rank)
    else parties.set(scopesOf(run), [rank])
  }
  // Within an account, whoever is ahead has waited longest.
  for (const party of parties.values()) party.sort((a, b) => b.third - a.third || compareEntries(b.head, a.head))
  const sorted: Run[] = []
  while (sorted.length < runs.length) {
    let best: Rank[] | undefined
    for (const party of parties.values())
      if (party.length > 0 && (best === undefined || compareRanks(party.at(-1)!, best.at(-1)!) < 0)) best = party
    sorted.push(best!.pop()!.head.run)
  }
  return sorted
}
