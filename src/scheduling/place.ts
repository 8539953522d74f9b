/**
 * Who runs what next, given an order of runs: the part that all built-in strategies share. Runs are served in their
 * order; what one must wait for is kept for it against later runs (see reservations.ts). Within a run, the group that
 * fewest workers fit goes first. Pure: the same view gives the same placements.
 */
import { allowance, scopeAllowance } from '../core/breaker.ts'
import { classScope } from '../core/breaker-state.ts'
import { hasReady, isReady } from '../core/due.ts'
import { fits } from '../core/fit.ts'
import {
  cpusOf,
  grantOf,
  holdsBatchOf,
  isLocked,
  obstacleOn,
  quotaInTheWay,
  sharesHost,
  slotsOn,
  spreadOn,
  waitsForItself,
  type Obstacle,
  type QuotaHit,
} from '../core/holdings.ts'
import type { Need } from '../core/entities.ts'
import type { Assign } from '../core/input.ts'
import { expectedMs, type Group, type Run, type State, type Task, type Worker } from '../core/state.ts'
import { Division } from './batch-size.ts'
import { claimOf, Fleets, isAvailable, measuredSpeed, placeOf, type Demand, type Speed, type View } from './fleet.ts'
import type { Undivided } from './level.ts'
import { pickTasks } from './pick-tasks.ts'
import { FairTurns, type FairOrder } from './fair-turns.ts'
import { Reservations } from './reservations.ts'
import { runOrderOf, sortRuns, Turns, type KeyedOrder, type Line, type RunOrder, type Turn } from './run-order.ts'
import { isOutOfPatience, wantsLocksKept } from './soon.ts'
import { givenUp, mayRunOn, whereabouts, type Whereabouts } from './whereabouts.ts'

export type Placement = Omit<Assign, 'type'>

export type StrategyView = View & {
  readonly nowMs: number
  /** Runs that this strategy is to place; absent = all. */
  readonly mine?: (run: Run) => boolean
  /** What is kept for runs of strategies before this one, and takes what this one keeps; absent = nothing yet. */
  readonly kept?: Reservations
}

/** What tells one strategy from another that places in order. */
export type Ordering = {
  /** How runs are served: by an order that is kept from round to round, by shares as they change, or sorted each time. */
  readonly keyed?: KeyedOrder
  /** With `turn: 'batch'` only. */
  readonly fair?: FairOrder
  /** Sorts runs with work to hand out, the next one first; may drop some. Used where the others are absent. */
  readonly sort?: (view: View, waiting: Run[], fleets: Fleets, nowMs: number) => Run[]
  /** run: everything that it can be given, before the next run's turn. batch: one batch, then all are sorted again. */
  readonly turn: 'run' | 'batch'
  /** Of workers that could take a batch of the group, larger first; default: by free CPUs and speed. */
  readonly rank?: (run: Run, group: Group, worker: Worker) => number
  /** The same for several workers with one call. */
  readonly ranks?: (run: Run, group: Group, workers: readonly Worker[]) => readonly number[]
  /** Default: as measured. */
  readonly speed?: (view: View) => Speed
}

/** Runs with work to hand out, in the order in which they came. */
export function waitingRuns(state: State, nowMs: number, mine?: (run: Run) => boolean): Run[] {
  const waiting: Run[] = []
  for (const id of state.active) {
    const run = state.runs.get(id)!
    if (mine !== undefined && !mine(run)) continue
    if ((run.state === 'queued' || run.state === 'running') && hasReady(run, nowMs)) waiting.push(run)
  }
  return waiting
}

/**
 * All placements, one after the other, each in view of those before: whoever takes one applies it to state
 * before the next is asked for, and changes nothing else. So what is known of a run and its workers is
 * worked out once, and not for every worker again: a run may begin on thousands at the same time.
 */
export function* placeInOrder(view: StrategyView, ordering: Ordering): Generator<Placement, undefined> {
  const { state, nowMs, mine } = view
  if (state.queuedCount === 0 || state.free.size === 0) return
  const open = openWorkers(view, nowMs)
  if (open.size === 0) return
  const speed = ordering.speed?.(view) ?? measuredSpeed
  const fleets = new Fleets(view, speed)
  const round: Round = {
    view,
    ordering,
    open,
    fleets,
    speed,
    kept: view.kept ?? new Reservations(),
    ...nothingSeen(),
    nowMs,
  }
  if (ordering.turn === 'run') {
    const turns =
      ordering.keyed === undefined
        ? oneByOne(round, sorted(ordering, view, waitingRuns(state, nowMs, mine), fleets, nowMs))
        : turnsOf(round, runOrderOf(state, ordering.keyed), view.kept === undefined)
    for (let turn = turns.next(); turn !== undefined; turn = turns.next()) {
      // Nothing is left to give, or to keep.
      if (state.free.size === 0) return
      const { run, groups } = turn
      if (mine !== undefined && !mine(run)) continue
      yield* placementsOf(round, run, groups, Infinity)
      reserve(round, run, groups)
    }
    return
  }
  const waiting = waitingRuns(state, nowMs, mine)
  const turns =
    ordering.fair === undefined
      ? new SortedTurns(waiting, (runs) => sorted(ordering, view, runs, fleets, nowMs))
      : new FairTurns(state, waiting, ordering.fair, nowMs)
  for (let run = turns.next(); run !== undefined && state.free.size > 0; run = turns.next()) {
    const before = state.lastToken
    if (!isHopeless(round, run)) {
      yield* placementsOf(round, run, run.groups, 1)
      if (state.lastToken === before) reserve(round, run, run.groups)
    }
    if (state.lastToken === before || !hasReady(run, nowMs)) turns.drop(run)
    else turns.gave(run)
  }
}

function sorted({ keyed, fair, sort }: Ordering, view: View, waiting: Run[], fleets: Fleets, nowMs: number): Run[] {
  if (keyed !== undefined) return sortRuns(keyed, view, waiting, fleets, nowMs)
  if (fair !== undefined) return FairTurns.sort(view.state, waiting, fair, nowMs)
  return sort === undefined ? waiting : sort(view, waiting, fleets, nowMs)
}

/** All are sorted again after each batch. */
class SortedTurns {
  readonly #sort: (runs: Run[]) => Run[]
  #waiting: Run[]

  constructor(waiting: Run[], sort: (runs: Run[]) => Run[]) {
    this.#sort = sort
    this.#waiting = sort(waiting)
  }

  next(): Run | undefined {
    return this.#waiting[0]
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
      if (!isHopeless(round, run)) return { run, groups: run.groups }
    }
    return undefined
  }
  return { next }
}

/** Runs with work to hand out in the order in which they are served. */
export function orderedRuns(view: StrategyView, ordering: Ordering): readonly Run[] {
  const { state, nowMs, mine } = view
  return sorted(ordering, view, waitingRuns(state, nowMs, mine), new Fleets(view, ordering.speed?.(view)), nowMs)
}

/** For people: what is kept from everybody after these runs, which come first, as it grows from run to run. */
export function* keeping(
  view: View,
  runs: readonly Run[],
  fleets: Fleets,
  nowMs: number,
): Generator<{ readonly run: Run; readonly kept: Reservations }> {
  const ordering: Ordering = { turn: 'run' }
  const kept = new Reservations()
  const open = openWorkers(view, nowMs)
  const round: Round = { view, ordering, open, fleets, speed: measuredSpeed, kept, ...nothingSeen(), nowMs }
  for (const run of runs) {
    reserve(round, run, run.groups)
    yield { run, kept }
  }
}

/** For strategies that choose group and worker themselves: what could go where, by the rules of all. */
export type Choices = {
  /** Workers that the group could have a batch on now, the best first. */
  readonly workers: (run: Run, group: Group) => readonly Worker[]
  /** The batch that it would have there; undefined = none now. */
  readonly batch: (run: Run, group: Group, worker: Worker) => Placement | undefined
}

/** `fleets` with the same speed. */
export function choicesOf(view: StrategyView, fleets: Fleets, speed: Speed = measuredSpeed): Choices {
  const { state, nowMs, kept = new Reservations() } = view
  const ordering: Ordering = { turn: 'run' }
  const open = openWorkers(view, nowMs)
  const round: Round = { view, ordering, open, fleets, speed, kept, ...nothingSeen(), nowMs }
  const mayBegin = (run: Run, group: Group) =>
    isReady(run, group, nowMs) && !isHeldUp(state, run, group) && kept.mayLock(state, run, group.need)
  const workers = (run: Run, group: Group) =>
    mayBegin(run, group) ? freeWorkers(round, run, group, fleets.of(run, group).workers) : []
  return {
    workers,
    batch: (run, group, worker) => {
      const fleet = fleets.of(run, group)
      if (!open.has(worker) || !fits(run, group, worker) || !mayBegin(run, group)) return undefined
      if (!kept.mayUse(worker, group.need) || !isFree(state, run, group, worker)) return undefined
      const startupMs = run.startupMs ?? run.spec.startupMs
      const division = new Division({ state, run, group, fleet, speed: round.speed, startupMs, nowMs })
      return placementOn(division, worker, whereabouts(fleet.workers, nowMs), 1, false)
    },
  }
}

type Round = {
  readonly view: View
  readonly ordering: Ordering
  /** Workers that something could be given to, as far as they are concerned. */
  readonly open: Set<Worker>
  readonly fleets: Fleets
  readonly speed: Speed
  readonly kept: Reservations
  /** Workers that had room when it was last looked for, by what was asked for. */
  readonly rooms: Map<Demand, readonly Worker[]>
  /** What somebody asked for who could not have it: everything that it takes is kept. */
  readonly wanted: Set<Demand>
  /** Whether some worker fits to which something could be given. */
  readonly openFits: Map<Demand, boolean>
  readonly nowMs: number
}

const nothingSeen = (): Pick<Round, 'rooms' | 'wanted' | 'openFits'> => {
  return { rooms: new Map(), wanted: new Set(), openFits: new Map() }
}

function openWorkers(view: View, nowMs: number): Set<Worker> {
  const open = new Set<Worker>()
  for (const id of view.state.free) {
    const worker = view.state.workers.get(id)!
    if (worker.recycling && worker.recycling.untilMs > nowMs) continue
    if (isAvailable(view, worker)) open.add(worker)
  }
  return open
}

/** For nothing that it asks for is there room any more, and all of that is kept for somebody before it. */
function isHopeless(round: Round, run: Run): boolean {
  const { view, rooms, wanted, nowMs } = round
  const { state } = view
  return run.groups.every((group) => {
    if (!isReady(run, group, nowMs)) return true
    if (group.need.locks !== undefined) return false
    if (state.shares.size === 0 && !fitsSomebodyOpen(round, run, group)) return true
    return wanted.has(claimOf(state, run, group)) && rooms.get(placeOf(run, group))?.length === 0
  })
}

function fitsSomebodyOpen({ open, fleets, openFits }: Round, run: Run, group: Group): boolean {
  const place = placeOf(run, group)
  let known = openFits.get(place)
  if (known === undefined) {
    known = fleets.of(run, group).workers.some((worker) => open.has(worker))
    openFits.set(place, known)
  }
  return known
}

function turnsOf(round: Round, order: RunOrder, alone: boolean): Turns {
  const { view, fleets, nowMs, kept, rooms, wanted } = round
  const { state } = view
  const isContested = (line: Line) => !alone || order.isContested(line)
  const isSpent = (line: Line, next: Run) =>
    (wanted.has(line.claim) && rooms.get(line.place)?.length === 0) || !kept.maySpend(next)
  return new Turns(order, state, fleets, nowMs, {
    isContested,
    isHopeless: (run) => isHopeless(round, run),
    isSpent,
    // Locks that are held alone are nobody's in this round, however they are kept, and without them nothing begins.
    isBarred: ({ need }) =>
      need.locks !== undefined &&
      state.shares.size === 0 &&
      need.locks.every(({ name }) => state.lockedAlone.has(name)),
    isOver: (line, next, first) => {
      if (isSpent(line, next)) return !first || !isContested(line)
      return !first && line.need.locks !== undefined && !mayHold(state, kept, next, line.need)
    },
  })
}

function mayHold(state: State, kept: Reservations, run: Run, need: Need): boolean {
  return !isLocked(state, need) && kept.mayLock(state, run, need)
}

/** Those with tasks to place, the one that fewest workers fit first. */
function readyGroups({ fleets, nowMs }: Round, run: Run, groups: readonly Group[]): readonly Group[] {
  if (groups.length === 1) return isReady(run, groups[0]!, nowMs) ? groups : []
  const count = (group: Group) => fleets.of(run, group).workers.length
  return groups.filter((group) => isReady(run, group, nowMs)).sort((a, b) => count(a) - count(b) || a.kind - b.kind)
}

/** By the breaker of its project and suite. */
function isStopped(state: State, run: Run): boolean {
  return state.breakers.notClosed.size > 0 && scopeAllowance(state, classScope(run.spec)) === 0
}

function* placementsOf(round: Round, run: Run, groups: readonly Group[], max: number): Generator<Placement> {
  const { view, fleets, kept, nowMs } = round
  const { state } = view
  let left = max
  for (const group of readyGroups(round, run, groups)) {
    if (isStopped(state, run)) return
    const { need } = group
    if (isHeldUp(state, run, group) || !kept.mayLock(state, run, need) || !kept.maySpend(run)) continue
    if (quotaSpent(state, run, need, nowMs) !== undefined) continue
    const fleet = fleets.of(run, group)
    const free = freeWorkers(round, run, group, fleet.workers)
    if (free.length === 0) continue
    const where = whereabouts(fleet.workers, nowMs)
    const startupMs = run.startupMs ?? run.spec.startupMs
    // Placing moves work from the queue to batches, and leaves the sum as it is.
    const division = new Division({ state, run, group, fleet, speed: round.speed, startupMs, nowMs })
    const mayGoOn = () =>
      !isHeldUp(state, run, group) &&
      isReady(run, group, nowMs) &&
      // Each takes a place of a counted lock, and others may wait for the rest.
      (need.locks === undefined || kept.mayLock(state, run, need))
    let alike = 0
    for (const [at, worker] of free.entries()) {
      if (!mayGoOn()) break
      alike = alike > 1 ? alike - 1 : alikeFrom(round, run, free, at)
      // What was placed before it may be on its host, and want to be alone or apart there.
      if (!isFree(state, run, group, worker)) continue
      do {
        if (!kept.leavesQuota(state, run, quotaPart(run, need, worker))) break
        const placement = placementOn(division, worker, where, alike, at === free.length - 1)
        if (!placement) break
        yield placement
        left -= 1
        if (left === 0) return
      } while (sharesHost(need) && mayGoOn() && isFree(state, run, group, worker))
    }
  }
}

/** The quota that not even the smallest batch of this need would leave intact, whichever worker it is on. */
function quotaSpent(state: State, run: Run, need: Need, nowMs: number): QuotaHit | undefined {
  return state.shares.size === 0 ? undefined : quotaInTheWay(state, run, need, need.cpus ?? 1, nowMs)
}

function quotaPart(run: Run, need: Need, worker: Worker): { readonly cpus: number; readonly gpus: number } {
  return { cpus: cpusOf(run, need, worker), gpus: need.gpus?.count ?? 0 }
}

/** By something that no worker is to blame for. */
function isHeldUp(state: State, run: Run, group: Group): boolean {
  return atWorkerLimit(run) || isLocked(state, group.need)
}

export function atWorkerLimit(run: Run): boolean {
  return run.spec.workersMax !== undefined && run.batches.size >= run.spec.workersMax
}

/** What can't be given to the run now is kept for it, unless it wants or may have no more. */
function reserve(round: Round, run: Run, groups: readonly Group[]): void {
  const { view, open, fleets, kept } = round
  const { state } = view
  if (atWorkerLimit(run) || isStopped(state, run)) return
  for (const group of readyGroups(round, run, groups)) {
    const { need } = group
    const { workers } = fleets.of(run, group)
    const spent = quotaSpent(state, run, need, round.nowMs)
    if (spent !== undefined) {
      if (workers.length > 0) kept.keepScope(run, spent.scope)
      continue
    }
    const quotaOn = (worker: Worker) => quotaInTheWay(state, run, need, cpusOf(run, need, worker), round.nowMs)
    const mayHave = (worker: Worker) => quotaOn(worker) === undefined
    const hit = state.shares.size > 0 && workers.length > 0 ? quotaOn(workers[0]!) : undefined
    if (hit) kept.keepScope(run, hit.scope)
    else if (state.shares.size > 0 && workers.length > 0 && isOutOfPatience(run, round.nowMs))
      kept.keepQuotaPart(state, run, quotaPart(run, need, workers[0]!))
    if (need.locks !== undefined && workers.some(mayHave) && wantsLocksKept(state, run, need, workers, round.nowMs))
      kept.keepLocks(run, need, batchesLeft(run, group, workers))
    if (isLocked(state, need)) continue
    // The same for whoever asks for the same.
    const claim = claimOf(state, run, group)
    if (round.wanted.has(claim)) continue
    const few = open.size < workers.length ? open : workers
    let left = group.queuedCount
    let selfish = false
    for (const worker of group.queuedCount < open.size ? emptiestFirst(few) : few) {
      // No more of them than it could ever use. One that is kept only gets emptier, so the emptiest stays the first.
      if (left === 0) break
      if (kept.workers.has(worker.id)) continue
      if (few === open ? !fits(run, group, worker) : !open.has(worker)) continue
      const obstacle = obstacleFor(state, run, group, worker)
      if (obstacle === undefined || !mayHave(worker)) continue
      // Until then others may have the rest of it.
      if (waitsForItself(state, run, need, worker)) {
        selfish = true
        continue
      }
      if (kept.keepWorker(run, worker, need, obstacle)) left -= 1
    }
    if (left > 0 && !selfish) round.wanted.add(claim)
  }
}

/** Most batches that the run could still begin of the group, if all that fits were its own. */
function batchesLeft(run: Run, group: Group, workers: readonly Worker[]): number {
  const { need, queuedCount } = group
  // Only of a counted lock does it matter how many.
  if (!need.locks!.some((lock) => lock.mode === 'counted')) return 1
  const byTasks = Math.min(queuedCount, (run.spec.workersMax ?? Infinity) - run.batches.size)
  let slots = -group.batches.size
  for (const worker of workers) {
    if (slots >= byTasks) return byTasks
    slots += slotsOn(run, need, worker)
  }
  // What is under way may be on workers that are away now.
  return Math.max(1, Math.min(slots, byTasks))
}

/** What is nearly free is what a run that waits will have soonest. */
function emptiestFirst(workers: Iterable<Worker>): Worker[] {
  return [...workers].sort((a, b) => freeCpus(b) - freeCpus(a) || (a.id < b.id ? -1 : 1))
}

/** The best first; a host takes one batch of a run at a time, unless what it needs says how much of the host that is. */
function freeWorkers(round: Round, run: Run, group: Group, fitting: readonly Worker[]): readonly Worker[] {
  const { view, ordering, open, kept, speed } = round
  const { state } = view
  const { need } = group
  // Whichever are fewer are looked through.
  const place = placeOf(run, group)
  const here =
    round.rooms.get(place) ??
    (open.size < fitting.length
      ? [...open].filter((worker) => fits(run, group, worker))
      : fitting.filter((worker) => open.has(worker)))
  // Within a round there is only ever less: those without room now need not be looked at again.
  const room = here.filter((worker) => kept.mayUse(worker, need) && obstacleOn(state, run, need, worker) === undefined)
  round.rooms.set(place, room)
  const free = sharesHost(need) ? room : room.filter((worker) => !holdsBatchOf(run, worker))
  if (free.length < 2) return free
  const ranks = ordering.ranks?.(run, group, free)
  const order = free.map((worker, at) => ({
    worker,
    warm: need.affinity !== undefined && worker.warm.includes(need.affinity) ? 0 : 1,
    spread: spreadOn(state, need, worker),
    rank: ranks?.[at] ?? freeCpus(worker) * speed(run, worker),
  }))
  order.sort(
    (a, b) => a.spread - b.spread || a.warm - b.warm || b.rank - a.rank || (a.worker.id < b.worker.id ? -1 : 1),
  )
  return order.map((one) => one.worker)
}

function freeCpus(worker: Worker): number {
  return worker.capabilities.cpus - worker.cpusUsed
}

/** Of one that is open and fits. */
function isFree(state: State, run: Run, group: Group, worker: Worker): boolean {
  return obstacleFor(state, run, group, worker) === undefined
}

/** What keeps a worker that is open and fits from taking a batch of the group now. */
function obstacleFor(state: State, run: Run, group: Group, worker: Worker): Obstacle | undefined {
  if (!sharesHost(group.need) && holdsBatchOf(run, worker))
    return { type: 'cpus', free: 0, wanted: cpusOf(run, group.need, worker) }
  return obstacleOn(state, run, group.need, worker)
}

/**
 * For people: a worker that could take a batch now is left idle, because all that is queued is so long for it that those at
 * work on the group would be done with everything sooner. When they would be, in milliseconds from now; undefined =
 * it is not left idle.
 */
export function idleForMs(undivided: Undivided, worker: Worker): number | undefined {
  const { state, run, group, fleet, nowMs } = undivided
  if (group.batches.size === 0 || !isReady(run, group, nowMs)) return undefined
  // Those that are tried again go anywhere where they may.
  const again = group.again.filter((index) => run.tasks[index]!.state === 'queued').length
  if (group.queuedCount <= again + group.laterCount) return undefined
  const division = new Division(undivided)
  if (placementOn(division, worker, whereabouts(fleet.workers, nowMs), 1, false) !== undefined) return undefined
  // Quotas and breakers keep it from all of them.
  return allowance(state, run, worker) === 0 ? undefined : division.othersMs
}

/** From there on, how many of the same speed follow each other. */
function alikeFrom({ speed }: Round, run: Run, free: readonly Worker[], from: number): number {
  const own = speed(run, free[from]!)
  let at = from + 1
  while (at < free.length && speed(run, free[at]!) === own) at += 1
  return at - from
}

/** Of the queue's last task: it was in order when the run came. */
function shortestMs(run: Run, group: Group): number {
  const last = group.queue.at(-1)
  return last === undefined ? Infinity : expectedMs(run, run.tasks[last]!)
}

/** `alike`: free workers from this one on that are as fast; `last`: nobody else is free. */
function placementOn(
  division: Division,
  worker: Worker,
  where: Whereabouts,
  alike: number,
  last: boolean,
): Placement | undefined {
  const { state, run, group, speed, startupMs, nowMs } = division.undivided
  const { need } = group
  const cpus = cpusOf(run, need, worker)
  if (quotaInTheWay(state, run, need, cpus, nowMs)) return undefined
  const allowed = Math.min(allowance(state, run, worker), need.batchMax ?? Infinity)
  if (allowed === 0) return undefined
  const own = speed(run, worker)
  const room = division.room(cpus, own, alike, last && freeCpus(worker) < 2 * cpus)
  const { targetMs } = room
  const may = (task: Task) => mayRunOn(where, task, worker)
  const tasksMax = Math.min(state.limits.batchTasksMax, allowed)
  let picked = pickTasks(run, group, room, tasksMax, nowMs, may)
  // All are too long for it; but it is left idle only where others are at work that would be done sooner with all of them.
  // Those others are not this run's alone while more runs wait: then it has the shortest.
  if (picked.tasks.length === 0) {
    const onlyRun = state.queuedCount === run.queuedCount
    const longestMs = onlyRun ? (division.othersMs - startupMs) * own : shortestMs(run, group)
    picked = pickTasks(run, group, { ...room, longestMs }, tasksMax, nowMs, may)
    if (picked.tasks.length === 0 && !onlyRun)
      picked = pickTasks(run, group, { ...room, longestMs: Infinity }, tasksMax, nowMs, may)
  }
  const { tasks } = picked
  if (tasks.length === 0) return undefined
  const why =
    allowance(state, run, worker) < Infinity
      ? `${tasks.length} tasks to try whether a breaker can close`
      : targetMs === Infinity
        ? `the only host that fits; ${tasks.length} tasks at once`
        : `${tasks.length} tasks, about ${Math.round(targetMs)} ms of the ${Math.round(group.queuedMs)} ms left`
  const given = givenUp(run, tasks, worker)
  const grant = grantOf(state, worker, need)
  return {
    run: run.id,
    worker: worker.id,
    tasks,
    cpus,
    ...(grant === undefined ? {} : { grant }),
    why: given === '' ? why : `${why}; ${given}`,
  }
}
