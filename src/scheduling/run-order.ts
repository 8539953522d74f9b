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
import type { Need } from '../core/entities.ts'
import type { Run, State } from '../core/state.ts'
import { lineOf, placeOf, type Demand, type Fleets, type View } from './fleet.ts'
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

type Entry = { readonly run: Run; readonly key: number; readonly lines: readonly Line[] }

/** Groups that ask for the same of a worker, of locks, and (where there are quotas) of the same quotas. */
export type Line = {
  readonly demand: Demand
  readonly place: Demand
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
  readonly moving = new Set<Run>()
  readonly keyed: KeyedOrder
  readonly #state: State
  readonly #entries = new Map<Run, Entry>()
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
        const run = runs.get(queueChanges.runs[at]!)
        // One that is forgotten was finished before, and left then.
        if (run) this.#look(run)
      }
    this.#read = from + queueChanges.runs.length
  }

  #rebuild(): void {
    this.lines.clear()
    this.moving.clear()
    this.#entries.clear()
    const entries: Entry[] = []
    for (const id of this.#state.active) {
      const run = this.#state.runs.get(id)!
      if (!isServed(run)) continue
      if (this.#isMoving(run)) this.moving.add(run)
      else entries.push(this.#entryOf(run))
    }
    entries.sort(compareEntries)
    for (const entry of entries) {
      this.#entries.set(entry.run, entry)
      for (const line of entry.lines) line.entries.push(entry)
    }
  }

  #isMoving(run: Run): boolean {
    return this.keyed.moving?.is(run) ?? false
  }

  #entryOf(run: Run): Entry {
    const lines: Line[] = []
    for (const group of run.groups) {
      if (group.queuedCount === 0) continue
      const demand = lineOf(this.#state, run, group)
      let line = this.lines.get(demand)
      if (!line) {
        line = { demand, place: placeOf(run, group), need: group.need, entries: [] }
        this.lines.set(demand, line)
      }
      if (!lines.includes(line)) lines.push(line)
    }
    return { run, key: this.keyed.key(run), lines }
  }

  #look(run: Run): void {
    if (this.#isMoving(run)) {
      if (isServed(run)) this.moving.add(run)
      else this.moving.delete(run)
      return
    }
    const before = this.#entries.get(run)
    const after = isServed(run) ? this.#entryOf(run) : undefined
    for (const line of before?.lines ?? [])
      if (!isIn(line, before!, after)) line.entries.splice(indexOf(line.entries, before!), 1)
    if (after) {
      for (const line of after.lines) {
        if (before && isIn(line, after, before)) line.entries[indexOf(line.entries, before)] = after
        else line.entries.splice(indexOf(line.entries, after), 0, after)
      }
      this.#entries.set(run, after)
    } else this.#entries.delete(run)
    for (const line of before?.lines ?? []) if (line.entries.length === 0) this.lines.delete(line.demand)
  }
}

/** Whether the other one stands in the same line at the same place. */
function isIn(line: Line, entry: Entry, other: Entry | undefined): boolean {
  return other !== undefined && other.key === entry.key && other.lines.includes(line)
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
  return (run) => standingOf(state, run, totals, nowMs)
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

/** Where somebody is in a line, or among those whose place moves (of no line). */
type Source = {
  readonly line: Line | undefined
  readonly ranked: readonly Ranked[]
  at: number
  run: Run
  key: number
  readonly standing: Standing | undefined
}

/** One round: all waiting runs once, the next one first, but for those in lines that are over meanwhile. */
export class Turns {
  readonly #heap: Source[] = []
  readonly #compare: (a: Ranked, b: Ranked) => number
  readonly #isOver: (line: Line, next: Run) => boolean
  /** Those at whose head the run was that is served now. */
  readonly #served: Source[] = []

  /** `isOver`: whether nobody from here on can be given or kept anything in this round; asked after each run of a line. */
  constructor(
    order: RunOrder,
    state: State,
    fleets: Fleets,
    nowMs: number,
    isOver: (line: Line, next: Run) => boolean,
  ) {
    const { keyed } = order
    this.#compare = comparison(keyed, state, nowMs)
    this.#isOver = isOver
    const standing = standings({ keyed, state, nowMs })
    for (const line of order.lines.values()) {
      const { run, key } = line.entries[0]!
      this.#heap.push({ line, ranked: line.entries, at: 0, run, key, standing: standing(run) })
    }
    for (const run of order.moving)
      this.#heap.push({
        line: undefined,
        ranked: [],
        at: 0,
        run,
        key: keyNow(keyed, run, fleets, nowMs),
        standing: standing(run),
      })
    for (let at = (this.#heap.length >> 1) - 1; at >= 0; at -= 1) this.#sink(at)
  }

  next(): Run | undefined {
    for (const source of this.#served) this.#goOn(source)
    this.#served.length = 0
    const first = this.#heap[0]
    if (first === undefined) return undefined
    const { run } = first
    while (this.#heap[0]?.run === run) this.#served.push(this.#pop())
    return run
  }

  #goOn(source: Source): void {
    source.at += 1
    const next = source.ranked[source.at]
    if (source.line === undefined || next === undefined || this.#isOver(source.line, next.run)) return
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
