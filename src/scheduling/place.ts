/**
 * Who runs what next, given an order of runs: the part that all built-in strategies share. Runs are served in their
 * order; what one must wait for is kept for it against later runs (see reservations.ts). Within a run, the group that
 * fewest workers fit goes first. Pure: the same view gives the same placements.
 */
import { hasReady } from '../core/due.ts'
import type { Lock, Need } from '../core/entities.ts'
import { isLocked } from '../core/holdings.ts'
import type { Run, State } from '../core/state.ts'
import { FairTurns } from './fair-turns.ts'
import { Fleets, measuredSpeed } from './fleet.ts'
import { Handout } from './handout.ts'
import { type Ordering, type Placement, sorted, type StrategyView, waitingRuns } from './ordering.ts'
import { Reservations } from './reservations.ts'
import { reserve } from './reserve.ts'
import { beginRound, isAllGiven, isHopeless, type Round } from './round.ts'
import { type RunOrder, runOrderOf } from './run-order.ts'
import { type RoundSoFar, type Turn, Turns } from './turns.ts'

/**
 * All placements, one after the other, each in view of those before: whoever takes one applies it to state
 * before the next is asked for, and changes nothing else. So what is known of a run and its workers is
 * worked out once, and not for every worker again: a run may begin on thousands at the same time.
 */
export function* placeInOrder(view: StrategyView, ordering: Ordering): Generator<Placement, undefined> {
  const { state, nowMs, mine } = view
  if (state.queuedCount === 0 || state.free.size === 0) return
  const speed = ordering.speed?.(view) ?? measuredSpeed
  const fleets = new Fleets(view, speed)
  const round = beginRound(view, { ordering, fleets, speed, kept: view.kept ?? new Reservations() })
  if (round.open.isEmpty) return
  if (ordering.turn === 'run') {
    const turns =
      ordering.keyed === undefined
        ? oneByOne(round, sorted(ordering, view, waitingRuns(state, nowMs, mine), fleets, nowMs))
        : turnsOf(round, runOrderOf(view, ordering.keyed, nowMs), view)
    for (let turn = turns.next(); turn !== undefined; turn = turns.next()) {
      const { run, groups } = turn
      const given = new Handout(round, run, groups)
      for (let next = given.next(); next !== undefined; next = given.next()) yield next
      // Nothing is left to give, so nothing need be kept.
      if (isAllGiven(round)) return
      reserve(round, run, given.groups)
    }
    return
  }
  const turns =
    ordering.keyed === undefined
      ? new SortedTurns(waitingRuns(state, nowMs, mine), (runs) => sorted(ordering, view, runs, fleets, nowMs))
      : fairTurnsOf(round, runOrderOf(view, ordering.keyed, nowMs), view)
  for (let turn = turns.next(); turn !== undefined && !isAllGiven(round); turn = turns.next()) {
    const { run, groups } = turn
    const before = state.lastToken
    if (!isHopeless(round, run) && round.kept.maySpend(run)) {
      const given = new Handout(round, run, groups)
      const next = given.next()
      if (next !== undefined) yield next
      if (state.lastToken === before) reserve(round, run, given.groups)
    }
    const gave = state.lastToken > before
    if (!gave || !hasReady(run, nowMs)) turns.drop(run)
    // Also of one that has no more: what it has been given counts for the others of its project and user.
    if (gave) turns.gave(run)
  }
}

/** All are sorted again after each batch. */
class SortedTurns {
  readonly #sort: (runs: Run[]) => Run[]
  #waiting: Run[]

  constructor(waiting: Run[], sort: (runs: Run[]) => Run[]) {
    this.#sort = sort
    this.#waiting = sort(waiting)
  }

  next(): Turn | undefined {
    const run = this.#waiting[0]
    return run && { run, groups: run.groups }
  }

  drop(run: Run): void {
    this.#waiting = this.#waiting.filter((one) => one !== run)
  }

  gave(): void {
    this.#waiting = this.#sort(this.#waiting)
  }
}

function oneByOne(round: Round, runs: readonly Run[]): { readonly next: () => Turn | undefined } {
  let at = 0
  const next = () => {
    while (at < runs.length) {
      const run = runs[at++]!
      // Who keeps a quota that it needs comes before it.
      if (!isHopeless(round, run) && round.kept.maySpend(run)) return { run, groups: run.groups }
    }
    return undefined
  }
  return { next }
}

function turnsOf(round: Round, order: RunOrder, { mine, kept }: StrategyView): Turns {
  return new Turns(order, round.nowMs, soFar(round, order, kept === undefined), mine)
}

function fairTurnsOf(round: Round, order: RunOrder, { state, mine, kept }: StrategyView): FairTurns {
  return new FairTurns(order, state, round.nowMs, soFar(round, order, kept === undefined), mine)
}

/** `alone`: nobody else places in this round. */
function soFar({ view, kept, rooms, wanted, asked, nowMs }: Round, order: RunOrder, alone: boolean): RoundSoFar {
  const { state } = view
  return {
    isContested: (line) => !alone || order.isContested(line),
    isAsked: (line) => asked.has(line.demand),
    isSpent: (line) => wanted.has(line.claim) && rooms.get(line.place)?.length === 0,
    maySpend: (run) => kept.maySpend(run),
    isClosed: (account) => account.isClosed(state, nowMs),
    mayHold: (line, run) => mayHold(state, kept, run, line.need),
    // Locks that are held alone are nobody's in this round, however they are kept, and without them nothing begins.
    isBarred: ({ need, claim, place }) =>
      need.locks !== undefined && claim === place && areHeldAlone(state.lockedAlone, need.locks),
  }
}

/** Every round asks for every line with locks. */
function areHeldAlone(heldAlone: ReadonlySet<string>, locks: readonly Lock[]): boolean {
  for (const { name } of locks) if (!heldAlone.has(name)) return false
  return true
}

function mayHold(state: State, kept: Reservations, run: Run, need: Need): boolean {
  return !isLocked(state, need) && kept.mayLock(state, run, need)
}
