/**
 * An account: what waits of one project and user, or of everybody where shares and quotas don't matter. Its groups that ask
 * for the same stand in one line, so that a line for which nothing is left is passed over as a whole. And the order in which
 * runs stand in lines, as long as nothing but their keys tells one from another.
 */
import type { Need } from '../core/entities.ts'
import { quotaInTheWay, type Scopes } from '../core/holdings.ts'
import { isShut } from '../core/spent.ts'
import type { Group, Run, State } from '../core/state.ts'
import type { Demand } from './fleet.ts'
import type { Standing } from './share.ts'

export type Ranked = { readonly run: Run; readonly key: number }

/** Where a run stands, with which of its groups. */
type Stand = { readonly line: Line; readonly groups: Group[] }

export type Entry = Ranked & {
  readonly account: Account
  readonly stands: readonly Stand[]
  /** When it was given something last, of what it still has; else when it came. Only where runs are given batches in turn. */
  readonly sinceMs: number
}

/** Groups of one account that ask for the same of a worker, of locks, and (where it has any) of its quotas. */
export type Line = {
  readonly demand: Demand
  /** The same, whoever's quotas. */
  readonly plain: Demand
  readonly place: Demand
  readonly claim: Demand
  readonly need: Need
  readonly entries: Entry[]
}

/** Larger first, among equals the older one. */
export function compareEntries(a: Ranked, b: Ranked): number {
  return (
    b.key - a.key || a.run.createdAtMs - b.run.createdAtMs || (a.run.id < b.run.id ? -1 : a.run.id > b.run.id ? 1 : 0)
  )
}

/** Whoever has waited longest first. */
export function compareSince(a: Entry, b: Entry): number {
  return a.sinceMs - b.sinceMs || compareEntries(a, b)
}

/** Where it is or would be in a sorted list. */
export function indexOf(
  entries: readonly Entry[],
  entry: Entry,
  compare: (a: Entry, b: Entry) => number = compareEntries,
): number {
  let low = 0
  let high = entries.length
  while (low < high) {
    const middle = (low + high) >> 1
    if (compare(entries[middle]!, entry) < 0) low = middle + 1
    else high = middle
  }
  return low
}

/** Whether the other one stands in the same line at the same place. */
export function isIn(line: Line, entry: Entry, other: Entry | undefined): boolean {
  return other !== undefined && other.key === entry.key && other.stands.some((stand) => stand.line === line)
}

/** Where an account, or one of its runs, stands among others: smaller first, then by `head`. */
export type Rank = { first: number; second: number; third: number; head: Ranked }

export function compareRanks(a: Rank, b: Rank): number {
  return a.first - b.first || a.second - b.second || a.third - b.third || compareEntries(a.head, b.head)
}

export class Account {
  /** Undefined: everybody, where shares don't matter. */
  readonly scopes: Scopes | undefined
  readonly lines = new Map<Demand, Line>()
  /** Lines that ask for the same of a worker, by that; they differ in locks. */
  readonly claims = new Map<Demand, Line[]>()
  /** In order, and by when they were given something last; only where runs are given batches in turn. */
  readonly entries: Entry[] = []
  readonly bySince: Entry[] = []
  standing: Standing = [0, 0]
  rank: Rank | undefined
  changesAtMs = Infinity
  isChanged = false

  constructor(scopes: Scopes | undefined) {
    this.scopes = scopes
  }

  /** The first of its runs. */
  head(): Entry | undefined {
    let head: Entry | undefined
    for (const { entries } of this.lines.values())
      if (head === undefined || compareEntries(entries[0]!, head) < 0) head = entries[0]
    return head
  }

  /** Its quotas leave nothing for any of its runs, and nobody can have what they would keep. */
  isClosed(state: State, nowMs: number): boolean {
    if (this.scopes === undefined || state.shares.size === 0) return false
    const [project, user] = this.scopes
    if (isShut(state, project, nowMs)) return true
    if (!isShut(state, user, nowMs)) return false
    for (const { need, entries } of this.lines.values()) {
      const hit = quotaInTheWay(state, entries[0]!.run, need, need.cpus ?? 1, nowMs)
      // What is left of its project's is kept for it.
      if (hit === undefined || hit.scope === project) return false
    }
    return true
  }
}
