/**
 * Whose turn it is within one round: the heads of lines, as a heap. A line leaves as soon as nothing is left for anybody in it,
 * so that those who stand in it are not asked one by one.
 */
import type { Group, Run, State } from '../core/state.ts'
import type { Fleets } from './fleet.ts'
import {
  compareEntries,
  comparison,
  type Entry,
  keyNow,
  type Line,
  type Ranked,
  type RunOrder,
  standings,
} from './run-order.ts'
import type { Standing } from './share.ts'

/** Where somebody is in a line; of no line: a run whose place moves. */
type Source = {
  readonly line: Line | undefined
  at: number
  entry: Entry | undefined
  run: Run
  key: number
  readonly standing: Standing | undefined
  /** Other lines with the same claim, which come after this one and may never be asked; undefined: each has its own source. */
  others: readonly Line[] | undefined
}

function groupsIn({ line, entry }: Source): readonly Group[] | undefined {
  return entry?.stands.find((stand) => stand.line === line)?.groups
}

/** A run, and those of its groups that something may still be done for in this round. */
export type Turn = { readonly run: Run; readonly groups: readonly Group[] }

/** What a round says of lines as it goes on; all of it stays so until the round ends. */
export type RoundSoFar = {
  /** Nobody in the line can be given anything, nor does it matter what is kept for them. */
  readonly isBarred: (line: Line) => boolean
  /** The same of everybody with the same claim from `next` on, but that locks may have to be kept for them. */
  readonly isSpent: (line: Line, next: Run) => boolean
  /** The same of the line from `next` on; `first`: nobody of it has had a turn. */
  readonly isOver: (line: Line, next: Run, first: boolean) => boolean
  readonly isContested: (line: Line) => boolean
  /** The run can be given nothing, and be kept nothing that isn't kept already. */
  readonly isHopeless: (run: Run) => boolean
}

/** One round: all waiting runs once, the next one first, but for those in lines that are over meanwhile. */
export class Turns {
  readonly #heap: Source[] = []
  readonly #compare: (a: Ranked, b: Ranked) => number
  readonly #round: RoundSoFar
  readonly #standing: (run: Run) => Standing | undefined
  /** Those at whose head the run was that is served now. */
  readonly #served: Source[] = []

  constructor(order: RunOrder, state: State, fleets: Fleets, nowMs: number, round: RoundSoFar) {
    const { keyed } = order
    this.#compare = comparison(keyed, state, nowMs)
    this.#round = round
    this.#standing = standings({ keyed, state, nowMs })
    for (const lines of order.claims.values()) {
      const first = this.#firstOf(lines)
      if (first !== undefined) this.#heap.push(this.#sourceOf(first, lines.length === 1 ? undefined : lines))
    }
    for (const run of order.moving.values()) {
      if (round.isHopeless(run)) continue
      const key = keyNow(keyed, run, fleets, nowMs)
      const standing = this.#standing(run)
      this.#heap.push({ line: undefined, at: 0, entry: undefined, run, key, standing, others: undefined })
    }
    for (let at = (this.#heap.length >> 1) - 1; at >= 0; at -= 1) this.#sink(at)
  }

  #firstOf(lines: readonly Line[]): Line | undefined {
    let first: Line | undefined
    for (const line of lines) {
      if (this.#round.isBarred(line)) continue
      if (first === undefined || compareEntries(line.entries[0]!, first.entries[0]!) < 0) first = line
    }
    return first
  }

  #sourceOf(line: Line, others: readonly Line[] | undefined): Source {
    const entry = line.entries[0]!
    const { run, key } = entry
    return { line, at: 0, entry, run, key, standing: this.#standing(run), others }
  }

  next(): Turn | undefined {
    for (const source of this.#served) this.#goOn(source)
    this.#served.length = 0
    while (this.#heap.length > 0) {
      const { run } = this.#heap[0]!
      while (this.#heap[0]?.run === run) {
        const source = this.#pop()
        if (source.line === undefined) {
          if (!this.#round.isHopeless(run)) this.#served.push(source)
        } else if (!this.#round.isOver(source.line, run, source.at === 0)) this.#served.push(source)
        else this.#spread(source)
      }
      if (this.#served.length > 0) return { run, groups: this.#groupsOf(run) }
    }
    return undefined
  }

  /** The others of a claim get a turn each, unless nothing is left for any of them. */
  #spread(source: Source): void {
    const { line, run, others } = source
    if (line === undefined || others === undefined) return
    source.others = undefined
    const { isSpent, isContested, isBarred } = this.#round
    const spent = isSpent(line, run)
    for (const other of others)
      if (other !== line && (!spent || isContested(other)) && !isBarred(other))
        this.#push(this.#sourceOf(other, undefined))
  }

  #groupsOf(run: Run): readonly Group[] {
    if (this.#served.length === 1) return groupsIn(this.#served[0]!) ?? run.groups
    const groups: Group[] = []
    for (const source of this.#served) groups.push(...(groupsIn(source) ?? []))
    return groups
  }

  #goOn(source: Source): void {
    if (source.line === undefined) return
    this.#spread(source)
    source.at += 1
    const next = source.line.entries[source.at]
    if (next === undefined) return
    source.entry = next
    source.run = next.run
    source.key = next.key
    this.#push(source)
  }

  #push(source: Source): void {
    const heap = this.#heap
    let at = heap.length
    heap.push(source)
    while (at > 0) {
      const parent = (at - 1) >> 1
      if (this.#compare(heap[parent]!, source) <= 0) break
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
      this.#sink(0)
    }
    return first
  }

  #sink(from: number): void {
    const heap = this.#heap
    const source = heap[from]!
    let at = from
    for (;;) {
      let child = 2 * at + 1
      if (child >= heap.length) break
      if (child + 1 < heap.length && this.#compare(heap[child + 1]!, heap[child]!) < 0) child += 1
      if (this.#compare(heap[child]!, source) >= 0) break
      heap[at] = heap[child]!
      at = child
    }
    heap[at] = source
  }
}
