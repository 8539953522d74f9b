/**
 * Runs with work to hand out in the order in which a strategy serves them, kept from one decision to the next: with
 * thousands of waiting runs, sorting them whenever a worker becomes free would cost more than everything else. Groups that
 * ask for the same stand in one line, so that a line for which nothing is left is passed over as a whole. What is kept here
 * follows from state, and any coordinator comes to the same order.
 *
 * It can be kept because time changes the place of few: a point of priority is worth a fixed time of waiting, so two runs
 * never change places by waiting. Those for which time does more (a deadline comes near) are sorted in at each round.
 */
import { isServed } from '../core/due.ts'
import type { Lock, Need, RunId } from '../core/entities.ts'
import { type Scopes, scopesOf } from '../core/holdings.ts'
import type { Group, Run, State } from '../core/state.ts'
import { claimOf, type Demand, type Fleets, lineOf, placeOf, type View } from './fleet.ts'
import { compareStandings, type Standing, standingOf, totalsOf } from './share.ts'

export type KeyedOrder = {
  /** Larger first, among equals the older one. Follows from what the run is, when it came, and its priority. */
  readonly key: (run: Run) => number
  /** Runs for which time changes it, and what it is now. */
  readonly moving?: {
    readonly is: (run: Run) => boolean
    readonly key: (run: Run, fleets: Fleets, nowMs: number) => number
  }
  /**
   * Where shares are configured: keys plus the time that are in the same step count as equal, and whoever is furthest
   * below its share goes first; absent = shares don't matter.
   */
  readonly shareStep?: number
}

/** Who stands where. */
export type Ranked = { readonly run: Run; readonly key: number; readonly standing?: Standing | undefined }

/** Where a run stands, with which of its groups. */
type Stand = { readonly line: Line; readonly groups: Group[] }

export type Entry = { readonly run: Run; readonly key: number; readonly stands: readonly Stand[] }

/** Groups that ask for the same of a worker, of locks, and (where there are quotas) of the same quotas. */
export type Line = {
  readonly demand: Demand
  readonly place: Demand
  readonly claim: Demand
  readonly need: Need
  readonly entries: Entry[]
}

const orders = new WeakMap<State, Map<KeyedOrder, RunOrder>>()

/** As the state is now. Good until the state changes. */
export function runOrderOf(state: State, keyed: KeyedOrder): RunOrder {
  let ofState = orders.get(state)
  if (!ofState) {
    ofState = new Map()
    orders.set(state, ofState)
  }
  let order = ofState.get(keyed)
  if (!order) {
    order = new RunOrder(state, keyed)
    ofState.set(keyed, order)
  }
  order.catchUp()
  return order
}

export class RunOrder {
  readonly lines = new Map<Demand, Line>()
  /** Lines that ask for the same of a worker, by that; they differ in locks. */
  readonly claims = new Map<Demand, Line[]>()
  readonly moving = new Map<RunId, Run>()
  readonly keyed: KeyedOrder
  readonly #state: State
  readonly #entries = new Map<RunId, Entry>()
  readonly #byLock = new Map<string, Set<Line>>()
  readonly #contested = new Map<Line, boolean>()
  /** Position in the state's list of changes up to which they are in here. */
  #read = -1

  constructor(state: State, keyed: KeyedOrder) {
    this.#state = state
    this.keyed = keyed
  }

  catchUp(): void {
    const { queueChanges, runs } = this.#state
    const { from } = queueChanges
    if (this.#read < from) this.#rebuild()
    else
      for (let at = this.#read - from; at < queueChanges.runs.length; at += 1) {
        const id = queueChanges.runs[at]!
        this.#look(id, runs.get(id))
      }
    this.#read = from + queueChanges.runs.length
  }

  #rebuild(): void {
    this.lines.clear()
    this.claims.clear()
    this.#contested.clear()
    this.#byLock.clear()
    this.moving.clear()
    this.#entries.clear()
    const entries: Entry[] = []
    for (const id of this.#state.active) {
      const run = this.#state.runs.get(id)!
      if (!isServed(run)) continue
      if (this.#isMoving(run)) this.moving.set(id, run)
      else entries.push(this.#entryOf(run))
    }
    entries.sort(compareEntries)
    for (const entry of entries) {
      this.#entries.set(entry.run.id, entry)
      for (const { line } of entry.stands) line.entries.push(entry)
    }
  }

  #isMoving(run: Run): boolean {
    return this.keyed.moving?.is(run) ?? false
  }

  #entryOf(run: Run): Entry {
    const stands: Stand[] = []
    for (const group of run.groups) {
      if (group.queuedCount === 0) continue
      const demand = lineOf(this.#state, run, group)
      let line = this.lines.get(demand)
      if (!line) {
        line = this.#newLine(demand, run, group)
      }
      const stand = stands.find((one) => one.line === line)
      if (stand) stand.groups.push(group)
      else stands.push({ line, groups: [group] })
    }
    return { run, key: this.keyed.key(run), stands }
  }

  #newLine(demand: Demand, run: Run, group: Group): Line {
    const { need } = group
    const claim = claimOf(this.#state, run, group)
    const line: Line = { demand, place: placeOf(run, group), claim, need, entries: [] }
    this.lines.set(demand, line)
    const lines = this.claims.get(claim)
    if (lines) lines.push(line)
    else this.claims.set(claim, [line])
    this.#contested.clear()
    for (const { name } of need.locks ?? []) {
      const lines = this.#byLock.get(name)
      if (lines) lines.add(line)
      else this.#byLock.set(name, new Set([line]))
    }
    return line
  }

  #forget(line: Line): void {
    this.lines.delete(line.demand)
    const others = this.claims.get(line.claim)!
    others.splice(others.indexOf(line), 1)
    if (others.length === 0) this.claims.delete(line.claim)
    this.#contested.clear()
    for (const { name } of line.need.locks ?? []) {
      const lines = this.#byLock.get(name)
      lines?.delete(line)
      if (lines?.size === 0) this.#byLock.delete(name)
    }
  }

  /** Whether what is kept of the line's locks may keep somebody of another line from them. */
  isContested(line: Line): boolean {
    if (line.need.locks === undefined) return false
    if (this.moving.size > 0) return true
    let contested = this.#contested.get(line)
    if (contested === undefined) {
      contested = this.#findContest(line.need.locks)
      this.#contested.set(line, contested)
    }
    return contested
  }

  #findContest(locks: readonly Lock[]): boolean {
    return locks.some(({ name, mode }) => {
      const lines = this.#byLock.get(name)!
      if (lines.size === 1) return false
      if (mode !== 'shared') return true
      for (const { need } of lines)
        if (need.locks!.some((lock) => lock.name === name && lock.mode !== 'shared')) return true
      return false
    })
  }

  /** `run`: undefined for one that is forgotten by now. While nobody is free, nobody looks here for long. */
  #look(id: RunId, run: Run | undefined): void {
    const served = run !== undefined && isServed(run) ? run : undefined
    if (served && this.#isMoving(served)) {
      this.moving.set(id, served)
      return
    }
    this.moving.delete(id)
    const before = this.#entries.get(id)
    const after = served && this.#entryOf(served)
    for (const { line } of before?.stands ?? []) {
      if (!isIn(line, before!, after)) line.entries.splice(indexOf(line.entries, before!), 1)
    }
    if (after) {
      for (const { line } of after.stands) {
        const at = indexOf(line.entries, after)
        line.entries.splice(at, before && isIn(line, after, before) ? 1 : 0, after)
      }
      this.#entries.set(id, after)
    } else this.#entries.delete(id)
    for (const { line } of before?.stands ?? []) if (line.entries.length === 0) this.#forget(line)
  }
}

/** Whether the other one stands in the same line at the same place. */
function isIn(line: Line, entry: Entry, other: Entry | undefined): boolean {
  return other !== undefined && other.key === entry.key && other.stands.some((stand) => stand.line === line)
}

function indexOf(entries: readonly Entry[], entry: Entry): number {
  let low = 0
  let high = entries.length
  while (low < high) {
    const middle = (low + high) >> 1
    if (compareEntries(entries[middle]!, entry) < 0) low = middle + 1
    else high = middle
  }
  return low
}

export function compareEntries(a: Ranked, b: Ranked): number {
  return (
    b.key - a.key || a.run.createdAtMs - b.run.createdAtMs || (a.run.id < b.run.id ? -1 : a.run.id > b.run.id ? 1 : 0)
  )
}

/** Compares two that stand somewhere at the time. */
export function comparison(
  { shareStep }: KeyedOrder,
  { shares }: State,
  nowMs: number,
): (a: Ranked, b: Ranked) => number {
  if (shareStep === undefined || shares.size === 0) return compareEntries
  const step = ({ key }: Ranked) => Math.floor((nowMs + key) / shareStep)
  return (a, b) => step(b) - step(a) || compareStandings(a.standing!, b.standing!) || compareEntries(a, b)
}

/** What two runs are compared by, beside their keys; the same for all of a project and user. */
export function standings({ keyed, state, nowMs }: Asked): (run: Run) => Standing | undefined {
  if (keyed.shareStep === undefined || state.shares.size === 0) return () => undefined
  const totals = totalsOf(state)
  const known = new Map<Scopes, Standing>()
  return (run) => {
    const scopes = scopesOf(run)
    let standing = known.get(scopes)
    if (standing === undefined) {
      standing = standingOf(state, run, totals, nowMs)
      known.set(scopes, standing)
    }
    return standing
  }
}

type Asked = { readonly keyed: KeyedOrder; readonly state: State; readonly nowMs: number }

export function keyNow({ key, moving }: KeyedOrder, run: Run, fleets: Fleets, nowMs: number): number {
  return moving?.is(run) ? moving.key(run, fleets, nowMs) : key(run)
}

/** Some runs in this order, for who needs no more than that. */
export function sortRuns(keyed: KeyedOrder, { state }: View, runs: Run[], fleets: Fleets, nowMs: number): Run[] {
  if (runs.length < 2) return runs
  const standing = standings({ keyed, state, nowMs })
  const ranked = runs.map((run): Ranked => ({ run, key: keyNow(keyed, run, fleets, nowMs), standing: standing(run) }))
  ranked.sort(comparison(keyed, state, nowMs))
  return ranked.map((one) => one.run)
}
