/**
 * A plugin's scheduler as a strategy like any other: it sees a view of state, every call of it is guarded and counts towards
 * the time that it has in a round, and what it returns is checked. What is wrong ends the round with a StrategyFault.
 */
import type { Group, Run, State, Worker } from '../core/state.ts'
import { Fleets } from '../scheduling/fleet.ts'
import { waitingRuns, type Ordering, type Placement, type StrategyView } from '../scheduling/ordering.ts'
import { placeInOrder } from '../scheduling/place.ts'
import { plainText } from '../stdx/plain-text.ts'
import type { OrderedScheduler, PlacingScheduler, PluginScheduler } from './contract.ts'
import type { FaultKind } from './faults.ts'
import type { Guard } from './guard.ts'
import { readPlacement } from './placement-check.ts'
import { removeStain, stainWords } from './stain.ts'
import { PluginRun, PluginView } from './view.ts'

const whyMax = 1000

export class StrategyFault extends Error {
  override readonly name = 'StrategyFault'
  readonly kind: FaultKind

  /** `why` has words of the plugin in it, any number of them, and is shown to people. */
  constructor(kind: FaultKind, why: string) {
    super(plainText(why.slice(0, whyMax)))
    this.kind = kind
  }
}

/** Returned from within the guard, where throwing would be the plugin's. */
type Found<Value> = { readonly value: Value } | { readonly fault: string }

/** Whether a round of it may be many calls, so that a section for them pays. Without one, each is guarded by itself. */
export function callsOften(scheduler: PluginScheduler, { active, free }: State): boolean {
  if ('place' in scheduler) return true
  // One worker is not compared with others, nor is one run.
  return (scheduler.rank !== undefined && free.size > 1) || (scheduler.turn === 'batch' && active.size > 1)
}

/** The time that a strategy has in one round. */
export class Budget {
  readonly #guard: Guard
  readonly #allMs: number
  #leftMs: number
  #what = ''
  /** When the call that is under way began. */
  #sinceMs: number | undefined

  constructor(guard: Guard, ms: number) {
    this.#guard = guard
    this.#allMs = ms
    this.#leftMs = ms
  }

  call<Value>(what: string, call: () => Found<Value>): Value {
    this.#what = what
    if (this.#leftMs <= 0) throw this.hung()
    const sinceMs = this.#guard.nowMs()
    this.#sinceMs = sinceMs
    const outcome = this.#guard.call(call, this.#leftMs, sinceMs)
    this.#leftMs -= this.#guard.nowMs() - sinceMs
    this.#sinceMs = undefined
    const stain = removeStain()
    if (outcome.type === 'late') throw this.hung()
    if (stain !== undefined) throw new StrategyFault('nonsense', `${what}: ${stainWords(stain)}`)
    if (outcome.type === 'threw') throw new StrategyFault('threw', `${what} threw ${outcome.why}`)
    if ('fault' in outcome.value) throw new StrategyFault('nonsense', `${what}: ${outcome.value.fault}`)
    return outcome.value.value
  }

  /** In the plugin's code, so far. */
  get spentMs(): number {
    const nowMs = this.#sinceMs === undefined ? 0 : this.#guard.nowMs() - this.#sinceMs
    return this.#allMs - this.#leftMs + nowMs
  }

  /** Of the last call, which has used up all there was: the timer that ended it may have been a moment early. */
  hung(): StrategyFault {
    this.#leftMs = this.#allMs - Math.max(this.#allMs, this.spentMs)
    this.#sinceMs = undefined
    const what = this.#what === 'metrics' ? 'it' : 'a round'
    return new StrategyFault('hung', `${this.#what} was ended: ${what} may take ${this.#allMs} ms`)
  }
}

/**
 * The order that a plugin gave last. Rounds follow each other within a millisecond or two while much happens, and no order of
 * runs gets old so soon: it is asked for again when a run has come that it lacks, or after a moment.
 */
export type LastOrder = { atMs: number; places: ReadonlyMap<Run, number> }

/** How old an order may be, in milliseconds. */
const orderAgeMaxMs = 100

export function placeGuarded(
  scheduler: PluginScheduler,
  view: StrategyView,
  config: unknown,
  budget: Budget,
  last: LastOrder,
): Iterable<Placement> {
  return 'order' in scheduler
    ? placeInOrder(view, orderingOf(scheduler, view, config, budget, last))
    : placements(scheduler, view, config, budget)
}

function orderingOf(
  scheduler: OrderedScheduler,
  view: StrategyView,
  config: unknown,
  budget: Budget,
  last: LastOrder,
): Ordering {
  const { turn = 'run' } = scheduler
  let seen: PluginView | undefined
  const ordering: Ordering = {
    turn,
    sort: (_view, waiting, fleets) => {
      // What nobody is going to look at isn't made.
      if (scheduler.rank !== undefined) seen = new PluginView(view, fleets, waiting)
      if (waiting.length < 2) return waiting
      const known = turn === 'run' ? orderFrom(last, waiting, view.nowMs) : undefined
      if (known) return known
      const shown = seen ?? new PluginView(view, fleets, waiting)
      const runs = budget.call('order', () => readOrder(scheduler.order(shown.runs, shown, config), waiting))
      last.atMs = view.nowMs
      last.places = new Map(runs.map((run, place) => [run, place]))
      return runs
    },
  }
  if (scheduler.rank === undefined) return ordering
  return {
    ...ordering,
    ranks: (run, group, workers) => budget.call('rank', () => readRanks(scheduler, seen!, run, group, workers, config)),
  }
}

/** For people, who ask in between rounds: nothing that is said here is placed. Throws StrategyFault. */
export function orderGuarded(
  scheduler: OrderedScheduler,
  view: StrategyView,
  config: unknown,
  guard: Guard,
  maxMs: number,
): readonly Run[] {
  const waiting = waitingRuns(view.state, view.nowMs, view.mine)
  if (waiting.length < 2) return waiting
  const shown = new PluginView(view, new Fleets(view), waiting)
  const budget = new Budget(guard, maxMs)
  return budget.call('order', () => readOrder(scheduler.order(shown.runs, shown, config), waiting))
}

function orderFrom({ atMs, places }: LastOrder, waiting: readonly Run[], nowMs: number): Run[] | undefined {
  if (nowMs < atMs || nowMs - atMs >= orderAgeMaxMs) return undefined
  const ordered = Array.from<Run | undefined>({ length: places.size })
  for (const run of waiting) {
    const place = places.get(run)
    if (place === undefined) return undefined
    ordered[place] = run
  }
  return ordered.filter((run) => run !== undefined)
}

/** Those that the plugin left out come last: nobody waits for ever because it was forgotten. */
function readOrder(given: unknown, waiting: readonly Run[]): Found<Run[]> {
  if (!isIterable(given)) return { fault: `expected the runs in another order, received ${String(given)}` }
  const left = new Set(waiting)
  const ordered: Run[] = []
  for (const one of given) {
    const run = PluginRun.of(one)
    if (run === undefined) return { fault: `expected runs that it was given, received ${String(one)}` }
    if (!left.delete(run)) return { fault: `expected each run that it was given once, received ${run.id} again` }
    ordered.push(run)
  }
  for (const run of left) ordered.push(run)
  return { value: ordered }
}

function readRanks(
  scheduler: OrderedScheduler,
  shown: PluginView,
  run: Run,
  group: Group,
  workers: readonly Worker[],
  config: unknown,
): Found<number[]> {
  const seen = PluginView.see(shown, run, group)
  const ranks: number[] = []
  for (const worker of workers) {
    const rank: unknown = scheduler.rank!(seen.run, seen.group, PluginView.seeWorker(worker), shown, config)
    if (typeof rank !== 'number' || Number.isNaN(rank)) return { fault: `expected a number, received ${String(rank)}` }
    ranks.push(rank)
  }
  return { value: ranks }
}

function placements(
  scheduler: PlacingScheduler,
  view: StrategyView,
  config: unknown,
  budget: Budget,
): Iterable<Placement> {
  const waiting = waitingRuns(view.state, view.nowMs, view.mine)
  if (waiting.length === 0) return []
  const shown = new PluginView(view, new Fleets(view), waiting)
  const given = budget.call('place', () => readGiven(scheduler.place(shown, config)))
  const pull = given.type === 'list' ? listed(given) : oneByOne(given.iterator, budget)
  // Plain objects: a generator more for every placement would cost as much as asking for it.
  const next = (): IteratorResult<Placement, undefined> => {
    const placement = pull()
    if (placement === undefined) return { done: true, value: undefined }
    checkWhose(placement, view)
    return { done: false, value: placement }
  }
  return { [Symbol.iterator]: () => ({ next }) }
}

/** Several strategies may share a round: each places its own, and leaves alone what those before it wait for. */
function checkWhose(placement: Placement, { state, mine, kept }: StrategyView): void {
  if (mine === undefined && kept === undefined) return
  const run = state.runs.get(placement.run)
  const worker = state.workers.get(placement.worker)
  if (run && mine && !mine(run)) throw new StrategyFault('refused', `run ${run.id} is placed by another scheduler`)
  const need = run?.groups[run.tasks[placement.tasks[0]!]?.kind ?? 0]?.need
  if (worker && need && kept && !kept.mayUse(worker, need))
    throw new StrategyFault('refused', `worker ${worker.id} is kept for a run of another scheduler`)
}

type Given =
  | { readonly type: 'list'; readonly placements: readonly Placement[]; readonly fault: string | undefined }
  | { readonly type: 'iterator'; readonly iterator: Iterator<unknown> }

/** A list is there already, so all of it is read with the one call; whatever else it is says the next when it is asked. */
function readGiven(given: unknown): Found<Given> {
  if (!isIterable(given)) return { fault: `expected an iterable of placements, received ${String(given)}` }
  if (!Array.isArray(given)) return { value: { type: 'iterator', iterator: given[Symbol.iterator]() } }
  const placements: Placement[] = []
  for (const one of (given as unknown[]).slice(0, listedMax)) {
    const read = readPlacement(one)
    if ('fault' in read) return { value: { type: 'list', placements, fault: read.fault } }
    placements.push(read)
  }
  return { value: { type: 'list', placements, fault: undefined } }
}

/** More than a round takes; the rest is asked for with the next one. */
const listedMax = 1000

/** The next one; undefined = there are no more. */
type Pull = () => Placement | undefined

function listed({ placements, fault }: Extract<Given, { type: 'list' }>): Pull {
  let at = 0
  return () => {
    const placement = placements[at++]
    if (placement === undefined && fault !== undefined) throw new StrategyFault('nonsense', `place: ${fault}`)
    return placement
  }
}

function oneByOne(iterator: Iterator<unknown>, budget: Budget): Pull {
  const next = (): Found<Placement | undefined> => {
    const { done, value } = iterator.next()
    if (done) return none
    const read = readPlacement(value)
    return 'fault' in read ? read : { value: read }
  }
  return () => budget.call('place', next)
}

const none = { value: undefined }

function isIterable(value: unknown): value is Iterable<unknown> {
  return (
    typeof value === 'object' && value !== null && typeof (value as Iterable<unknown>)[Symbol.iterator] === 'function'
  )
}
