/**
 * One round of placement as it goes on: what is open, who had room, what is kept. And what keeps a group or a worker out of it.
 * Within a round there is only ever less.
 */
import { classScope } from '../core/breaker-state.ts'
import { scopeAllowance } from '../core/breaker.ts'
import { isReady } from '../core/due.ts'
import type { Need, WorkerId } from '../core/entities.ts'
import { fits } from '../core/fit.ts'
import {
  cpusOf,
  holdsBatchOf,
  hasCpuQuota,
  isBeyondQuota,
  isLocked,
  type Obstacle,
  obstacleOn,
  type QuotaHit,
  quotaInTheWay,
  sharesHost,
  spreadOn,
} from '../core/holdings.ts'
import type { Group, Run, State, Worker } from '../core/state.ts'
import { claimOf, type Demand, type Fleets, measuredSpeed, placeOf, type Speed, type View } from './fleet.ts'
import { freeInOrder } from './free-order.ts'
import { OpenWorkers } from './open-workers.ts'
import type { Ordering } from './ordering.ts'
import type { Reservations } from './reservations.ts'

/** Which of several workers is best. */
type Ranking = Pick<Ordering, 'rank' | 'ranks'>

export type Round = {
  readonly view: View
  readonly ordering: Ranking
  /** Workers that something could be given to, as far as they are concerned. */
  readonly open: OpenWorkers
  readonly fleets: Fleets
  readonly speed: Speed
  readonly kept: Reservations
  /** Workers that had room when it was last looked for, by what was asked for. */
  readonly rooms: Map<Demand, readonly Worker[]>
  /** What somebody asked for who could not have it: everything that it takes is kept. */
  readonly wanted: Set<Demand>
  /** Lines somebody in which had a turn that gave nothing: what of their locks is to be kept is kept. */
  readonly asked: Set<Demand>
  /** Whether some worker fits to which something could be given. */
  readonly openFits: Map<Demand, boolean>
  /** One of the open that is not kept as a whole, and those that have not been looked at for that. */
  readonly witness: { worker: Worker | undefined; readonly rest: Iterator<WorkerId> }
  readonly nowMs: number
}

/** As it begins. `fleets` with the same speed. */
export function beginRound(
  view: View & { readonly nowMs: number },
  { ordering = {}, fleets, speed, kept }: Pick<Round, 'fleets' | 'speed' | 'kept'> & { readonly ordering?: Ranking },
): Round {
  const { nowMs } = view
  const seen = { rooms: new Map(), wanted: new Set<Demand>(), asked: new Set<Demand>(), openFits: new Map() }
  const open = new OpenWorkers(view, nowMs)
  const witness = { worker: undefined, rest: view.state.free.values() }
  return { view, ordering, open, fleets, speed, kept, ...seen, witness, nowMs }
}

/** Nothing is left that anybody could be given: no CPU, but on workers that are kept as a whole. */
export function isAllGiven(round: Round): boolean {
  const { open, kept, witness } = round
  const { free, workers } = round.view.state
  if (witness.worker !== undefined && free.has(witness.worker.id) && !kept.keepsAll(witness.worker)) return false
  // Who was passed over stays so: within a round nobody gets anything back.
  for (let next = witness.rest.next(); !next.done; next = witness.rest.next()) {
    const worker = workers.get(next.value)!
    if (!open.has(worker) || kept.keepsAll(worker)) continue
    witness.worker = worker
    return false
  }
  witness.worker = undefined
  return true
}

/** For nothing that it asks for is there room any more, and all of that is kept for somebody before it. */
export function isHopeless(round: Round, run: Run): boolean {
  const { view, rooms, wanted, nowMs } = round
  const { state } = view
  for (const group of run.groups) {
    if (!isReady(run, group, nowMs)) continue
    if (group.need.locks !== undefined) return false
    if (state.shares.size === 0 && !fitsSomebodyOpen(round, run, group)) continue
    if (!wanted.has(claimOf(state, run, group)) || rooms.get(placeOf(run, group))?.length !== 0) return false
  }
  return true
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

/** Those with tasks to place, the one that fewest workers fit first. */
export function readyGroups({ fleets, nowMs }: Round, run: Run, groups: readonly Group[]): readonly Group[] {
  if (groups.length === 1) return isReady(run, groups[0]!, nowMs) ? groups : []
  const ready: Group[] = []
  for (const group of groups) if (isReady(run, group, nowMs)) ready.push(group)
  if (ready.length < 2) return ready
  const ranked = ready.map((group) => ({ group, fitting: fleets.of(run, group).workers.length }))
  ranked.sort((a, b) => a.fitting - b.fitting || a.group.kind - b.group.kind)
  return ranked.map((one) => one.group)
}

/** By the breaker of its project and suite. */
export function isStopped(state: State, run: Run): boolean {
  return state.breakers.notClosed.size > 0 && scopeAllowance(state, classScope(run.spec)) === 0
}

/** The quota that not even the smallest batch of this need would leave intact, whichever worker it is on. */
export function quotaSpent(state: State, run: Run, need: Need, nowMs: number): QuotaHit | undefined {
  return state.shares.size === 0 ? undefined : quotaInTheWay(state, run, need, need.cpus ?? 1, nowMs)
}

export function quotaPart(run: Run, need: Need, worker: Worker): { readonly cpus: number; readonly gpus: number } {
  return { cpus: cpusOf(run, need, worker), gpus: need.gpus?.count ?? 0 }
}

/** By something that no worker is to blame for. */
export function isHeldUp(state: State, run: Run, group: Group): boolean {
  return atWorkerLimit(run) || isLocked(state, group.need)
}

export function atWorkerLimit(run: Run): boolean {
  return run.spec.workersMax !== undefined && run.batches.size >= run.spec.workersMax
}

/** Where only one of so many that fit may be free, these are looked at each time, which costs no more. */
const rareFrom = 8

/** The best first; a host takes one batch of a run at a time, unless what it needs says how much of the host that is. */
export function freeWorkers(round: Round, run: Run, group: Group, fitting: readonly Worker[]): readonly Worker[] {
  const place = placeOf(run, group)
  // Within a round there is only ever less: those without room then need not be looked at again.
  const before = round.rooms.get(place)
  if (before?.length === 0) return before
  if (isKeptInOrder(round, run, group, fitting)) return freeOfOrder(round, run, group, fitting)
  const room = withRoom(round, run, group, fitting, before)
  round.rooms.set(place, room)
  const free = sharesHost(group.need) ? room : room.filter((worker) => !holdsBatchOf(run, worker))
  return free.length < 2 ? free : inOrder(round, run, group, free)
}

/** Their order is that of free-order.ts: nothing in it depends on the run. */
function isKeptInOrder(
  { view, ordering, speed }: Round,
  run: Run,
  { need }: Group,
  fitting: readonly Worker[],
): boolean {
  const { state, availableVersion } = view
  if (availableVersion === undefined || state.free.size * rareFrom <= fitting.length) return false
  if (need.affinity !== undefined || need.spread !== undefined) return false
  if (ordering.ranks !== undefined || speed !== measuredSpeed) return false
  // Of so many CPUs either all hosts keep to the quota or none does.
  return need.cpus !== undefined || !hasCpuQuota(state, run)
}

function freeOfOrder(round: Round, run: Run, group: Group, fitting: readonly Worker[]): readonly Worker[] {
  const { view, open, kept } = round
  const { need } = group
  const all = freeInOrder(view, run, group, fitting)
  const mayAll = view.state.recycling.size === 0 && kept.leavesAll(need)
  const room = mayAll ? all : all.filter((worker) => open.has(worker) && kept.mayUse(worker, need))
  if (room.length === 0) round.rooms.set(placeOf(run, group), room)
  if (run.batches.size === 0 || sharesHost(need)) return room
  return room.filter((worker) => !holdsBatchOf(run, worker))
}

/** `before`: those that had room when it was last looked for. */
function withRoom(
  { view, open, kept }: Round,
  run: Run,
  group: Group,
  fitting: readonly Worker[],
  before: readonly Worker[] | undefined,
): readonly Worker[] {
  const { need } = group
  // Whichever are fewer are looked through.
  const few = before ?? (open.sizeMax < fitting.length ? open.all : fitting)
  const room: Worker[] = []
  for (const worker of few) {
    if (few === fitting ? !open.has(worker) : few !== before && !fits(run, group, worker)) continue
    if (kept.mayUse(worker, need) && obstacleOn(view.state, run, need, worker) === undefined) room.push(worker)
  }
  return room
}

function inOrder(round: Round, run: Run, group: Group, free: readonly Worker[]): readonly Worker[] {
  const { view, ordering, speed } = round
  const { state } = view
  const { need } = group
  const ranks = ordering.ranks?.(run, group, free)
  const hasQuotas = hasCpuQuota(state, run)
  const order = free.map((worker, at) => ({
    worker,
    // Where a smaller host keeps to the quota, no larger one is taken.
    beyond: hasQuotas && isBeyondQuota(state, run, cpusOf(run, need, worker)) ? 1 : 0,
    warm: need.affinity !== undefined && worker.warm.includes(need.affinity) ? 0 : 1,
    spread: spreadOn(state, need, worker),
    rank: ranks?.[at] ?? freeCpus(worker) * speed(run, worker),
  }))
  order.sort(
    (a, b) =>
      a.beyond - b.beyond ||
      a.spread - b.spread ||
      a.warm - b.warm ||
      b.rank - a.rank ||
      (a.worker.id < b.worker.id ? -1 : 1),
  )
  return order.map((one) => one.worker)
}

export function freeCpus(worker: Worker): number {
  return worker.capabilities.cpus - worker.cpusUsed
}

/** Of one that is open and fits. */
export function isFree(state: State, run: Run, group: Group, worker: Worker): boolean {
  return obstacleFor(state, run, group, worker) === undefined
}

/** What keeps a worker that is open and fits from taking a batch of the group now. */
export function obstacleFor(state: State, run: Run, group: Group, worker: Worker): Obstacle | undefined {
  if (!sharesHost(group.need) && holdsBatchOf(run, worker))
    return { type: 'cpus', free: 0, wanted: cpusOf(run, group.need, worker) }
  return obstacleOn(state, run, group.need, worker)
}
