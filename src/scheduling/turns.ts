/**
 * Whose turn it is within one round: the heads of lines, as a heap. A line leaves as soon as nothing is left for anybody in it,
 * so that those who stand in it are not asked one by one. The lines of an account come in when its first run would be next,
 * and not before: mostly a round is over by then.
 */
import type { Group, Run } from '../core/state.ts'
import { type Account, compareEntries, compareRanks, type Entry, type Line, type Rank } from './account.ts'
import type { Demand } from './fleet.ts'
import { rankOf, type RunOrder } from './run-order.ts'

/** Where somebody is in a line. */
type Source = Rank & {
  readonly line: Line
  readonly account: Account
  at: number
  entry: Entry
  /** Other lines with the same claim, which come after this one and may never be asked; undefined: each has its own source. */
  others: readonly Line[] | undefined
}

function groupsIn({ line, entry }: Source): readonly Group[] {
  return entry.stands.find((stand) => stand.line === line)?.groups ?? []
}

/** A run, and those of its groups that something may still be done for in this round. */
export type Turn = { readonly run: Run; readonly groups: readonly Group[] }

/** What a round says of lines as it goes on; all of it stays so until the round ends. */
export type RoundSoFar = {
  /** Nobody in the line can be given anything, nor does it matter what is kept for them. */
  readonly isBarred: (line: Line) => boolean
  /** The same of everybody with the same claim, but that locks may have to be kept for them. */
  readonly isSpent: (line: Line) => boolean
  /** What of its locks is to be kept is kept: somebody in it had a turn that gave nothing. One who may have no more keeps nothing. */
  readonly isAsked: (line: Line) => boolean
  /** Nobody before the run keeps its quotas. */
  readonly maySpend: (run: Run) => boolean
  /** Its quotas leave nothing for any of its runs. */
  readonly isClosed: (account: Account) => boolean
  /** Of a line with locks that is not spent: they may be given to the run. */
  readonly mayHold: (line: Line, run: Run) => boolean
  readonly isContested: (line: Line) => boolean
}

/** What is over for everybody in a round. */
export class Over {
  readonly #round: RoundSoFar
  readonly #over = new Set<Demand>()

  constructor(round: RoundSoFar) {
    this.#round = round
  }

  get count(): number {
    return this.#over.size
  }

  /** Nothing is left for this run or anybody after it in the line, nor does it matter what is kept for them. */
  isOver(line: Line, run: Run): boolean {
    const { demand } = line
    if (this.#over.has(demand)) return true
    if (!this.#isOver(line, run)) return false
    this.#over.add(demand)
    return true
  }

  #isOver(line: Line, run: Run): boolean {
    const { isSpent, isContested, isAsked, mayHold } = this.#round
    if (isSpent(line)) return isAsked(line) || !isContested(line)
    return line.need.locks !== undefined && isAsked(line) && !mayHold(line, run)
  }

  /** For all in the account. */
  isAllOver({ lines }: Account): boolean {
    for (const demand of lines.keys()) if (!this.#over.has(demand)) return false
    return true
  }
}

/** One round: all waiting runs once, the next one first, but for those in lines that are over meanwhile. */
export class Turns {
  readonly #heap: Source[] = []
  readonly #order: RunOrder
  readonly #accounts: readonly Account[]
  readonly #nowMs: number
  readonly #round: RoundSoFar
  readonly #over: Over
  readonly #mine: ((run: Run) => boolean) | undefined
  /** So many of the accounts have come in. */
  #come = 0
  /** Those at whose head the run was that is served now. */
  readonly #served: Source[] = []

  constructor(order: RunOrder, nowMs: number, round: RoundSoFar, mine?: (run: Run) => boolean) {
    this.#order = order
    this.#mine = mine
    this.#accounts = order.ranking()
    this.#nowMs = nowMs
    this.#round = round
    this.#over = new Over(round)
  }

  /** Accounts whose first run is not after the first in the heap. */
  #comeIn(): void {
    while (this.#come < this.#accounts.length) {
      const account = this.#accounts[this.#come]!
      const { scopes, rank } = account
      if (scopes !== undefined && this.#heap.length > 0 && compareRanks(rank!, this.#heap[0]!) > 0) return
      this.#come += 1
      if (scopes !== undefined && this.#isOver(account, rank!.head.run)) continue
      for (const lines of account.claims.values()) {
        const first = this.#firstOf(lines)
        if (first !== undefined) this.#push(this.#sourceOf(account, first, lines.length === 1 ? undefined : lines))
      }
    }
  }

  /** Also for an account that was left something when the round began. */
  #isOver(account: Account, head: Run): boolean {
    return this.#over.isAllOver(account) || !this.#round.maySpend(head) || this.#round.isClosed(account)
  }

  #firstOf(lines: readonly Line[]): Line | undefined {
    let first: Line | undefined
    for (const line of lines) {
      if (this.#round.isBarred(line)) continue
      if (first === undefined || compareEntries(line.entries[0]!, first.entries[0]!) < 0) first = line
    }
    return first
  }

  #sourceOf(account: Account, line: Line, others: readonly Line[] | undefined): Source {
    const entry = line.entries[0]!
    return { ...this.#rankOf(account, entry), line, account, at: 0, entry, others }
  }

  #rankOf({ scopes, standing }: Account, entry: Entry): Rank {
    return rankOf(this.#order.keyed, scopes === undefined ? undefined : standing, entry, this.#nowMs)
  }

  next(): Turn | undefined {
    for (const source of this.#served) this.#goOn(source)
    this.#served.length = 0
    for (;;) {
      // Nobody asks for anything else.
      if (this.#over.count === this.#order.demandCount) return undefined
      this.#comeIn()
      if (this.#heap.length === 0) return undefined
      const { run } = this.#heap[0]!.entry
      // Where it may not, nobody else of its account may: who keeps the quota has had its turn.
      const maySpend = this.#round.maySpend(run) && !this.#round.isClosed(this.#heap[0]!.account)
      while (this.#heap[0]?.entry.run === run) {
        const source = this.#pop()
        if (!maySpend) continue
        const over = this.#over.isOver(source.line, run)
        if (!over) this.#served.push(source)
        // Groups of a run have one turn together: what is kept for the first ones must not keep the others waiting.
        if (over || source.entry.stands.length > 1) this.#spread(source)
      }
      if (this.#served.length === 0) continue
      if (this.#mine?.(run) === false) {
        // Nothing is given to it, nor kept for it: whoever is behind it in its lines is yet to have the first turn there.
        for (const source of this.#served) this.#goOn(source)
        this.#served.length = 0
        continue
      }
      return { run, groups: this.#groups() }
    }
  }

  /** The others of a claim get a turn each, unless nothing is left for any of them. */
  #spread(source: Source): void {
    const { line, account, others } = source
    if (others === undefined) return
    source.others = undefined
    const { isSpent, isContested, isBarred } = this.#round
    const spent = isSpent(line)
    for (const other of others)
      if (other !== line && (!spent || isContested(other)) && !isBarred(other))
        this.#push(this.#sourceOf(account, other, undefined))
  }

  #groups(): readonly Group[] {
    if (this.#served.length === 1) return groupsIn(this.#served[0]!)
    return this.#served.flatMap(groupsIn)
  }

  #goOn(source: Source): void {
    this.#spread(source)
    source.at += 1
    const next = source.line.entries[source.at]
    if (next === undefined) return
    source.entry = next
    Object.assign(source, this.#rankOf(source.account, next))
    this.#push(source)
  }

  #push(source: Source): void {
    const heap = this.#heap
    let at = heap.length
    heap.push(source)
    while (at > 0) {
      const parent = (at - 1) >> 1
      if (compareRanks(heap[parent]!, source) <= 0) break
      heap[at] = heap[parent]!
      at = parent
    }
    heap[at] = source
  }

  #pop(): Source {
    const heap = this.#heap
    const first = heap[0]!
    const last = heap.pop()!
    if (heap.length > 0) {
      heap[0] = last
      this.#sink()
    }
    return first
  }

  #sink(): void {
    const heap = this.#heap
    const source = heap[0]!
    let at = 0
    for (;;) {
      let child = 2 * at + 1
      if (child >= heap.length) break
      if (child + 1 < heap.length && compareRanks(heap[child + 1]!, heap[child]!) < 0) child += 1
      if (compareRanks(heap[child]!, source) >= 0) break
      heap[at] = heap[child]!
      at = child
    }
    heap[at] = source
  }
}
