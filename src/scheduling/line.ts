/**
 * Lines: groups that ask for the same stand in one, so that a line for which nothing is left is passed over as a whole. And
 * the order in which runs stand in them, as long as nothing but their keys tells one from another.
 */
import type { Need } from '../core/entities.ts'
import type { Group, Run } from '../core/state.ts'
import type { Account } from './accounts.ts'
import type { Demand } from './fleet.ts'

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
