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
import { scopesOf, type Scopes } from '../core/holdings.ts'
import type { Group, Run, State } from '../core/state.ts'
import { claimOf, lineOf, placeOf, type Demand, type Fleets, type View } from './fleet.ts'
import { compareStandings, standingOf, totalsOf, type Standing } from './share.ts'

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
type Ranked = { readonly run: Run; readonly key: number; readonly standing?: Standing | undefined }

/** Where a run stands, with which of its groups. */
type Stand = { readonly line: Line; readonly groups: Group[] }

type Entry = { readonly run: Run; readonly key: number; readonly stands: readonly Stand[] }

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

function compareEntries(a: Ranked, b: Ranked): number {
  return (
    b.key - a.key || a.run.createdAtMs - b.run.createdAtMs || (a.run.id < b.run.id ? -1 : a.run.id > b.run.id ? 1 : 0)
  )
}

/** Compares two that stand somewhere at the time. */
function comparison({ shareStep }: KeyedOrder, { shares }: State, nowMs: number): (a: Ranked, b: Ranked) => number {
  if (shareStep === undefined || shares.size === 0) return compareEntries
  const step = ({ key }: Ranked) => Math.floor((nowMs + key) / shareStep)
  return (a, b) => step(b) - step(a) || compareStandings(a.standing!, b.standing!) || compareEntries(a, b)
}

/** What two runs are compared by, beside their keys; the same for all of a project and user. */
function standings({ keyed, state, nowMs }: Asked): (run: Run) => Standing | undefined {
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

function keyNow({ key, moving }: KeyedOrder, run: Run, fleets: Fleets, nowMs: number): number {
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
