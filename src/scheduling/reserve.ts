/** What a run that has had its turn still waits for is kept for it; what keeping means is in reservations.ts. */
import { isReady } from '../core/due.ts'
import type { Need } from '../core/entities.ts'
import { fits } from '../core/fit.ts'
import { cpusOf, isLocked, type Obstacle, quotaInTheWay, slotsOn, waitsForItself } from '../core/holdings.ts'
import { isShut } from '../core/spent.ts'
import type { Group, Run, Worker } from '../core/state.ts'
import type { Fleets } from './fleet.ts'
import { claimOf, lineOf, measuredSpeed, type View } from './fleet.ts'
import { Reservations } from './reservations.ts'
import {
  atWorkerLimit,
  freeCpus,
  isStopped,
  obstacleFor,
  beginRound,
  quotaPart,
  quotaSpent,
  readyGroups,
  type Round,
} from './round.ts'
import { isOutOfPatience, wantsLocksKept } from './soon.ts'

/**
 * What can't be given to the run now is kept for it, unless it wants or may have no more. `groups`: those that were ready
 * when its turn began.
 */
export function reserve(round: Round, run: Run, groups: readonly Group[]): void {
  const { state } = round.view
  if (atWorkerLimit(run) || isStopped(state, run)) return
  for (const group of groups) if (isReady(run, group, round.nowMs)) reserveFor(round, run, group)
}

function reserveFor(round: Round, run: Run, group: Group): void {
  const { view, fleets, kept, nowMs } = round
  const { state } = view
  const { need } = group
  const { workers } = fleets.of(run, group)
  round.asked.add(lineOf(state, run, group))
  const spent = quotaSpent(state, run, need, nowMs)
  if (spent !== undefined) {
    // Of one that is spent altogether there is nothing to keep.
    if (workers.length > 0 && !isShut(state, spent.scope, nowMs)) kept.keepScope(run, spent.scope)
    return
  }
  if (state.shares.size > 0 && workers.length > 0) {
    const hit = quotaInTheWay(state, run, need, cpusOf(run, need, workers[0]!), nowMs)
    if (hit) kept.keepScope(run, hit.scope)
    else if (isOutOfPatience(run, nowMs)) kept.keepQuotaPart(state, run, quotaPart(run, need, workers[0]!))
  }
  if (
    need.locks !== undefined &&
    workers.some((worker) => mayHave(round, run, need, worker)) &&
    wantsLocksKept(state, run, need, workers, nowMs)
  )
    kept.keepLocks(run, need, batchesLeft(run, group, workers))
  if (isLocked(state, need)) return
  // The same for whoever asks for the same.
  const claim = claimOf(state, run, group)
  if (!round.wanted.has(claim) && keepWorkers(round, run, group, workers)) round.wanted.add(claim)
}

/** Of those that it could use later on, as many as it has tasks; whether that is all that there are, and nothing is left for others. */
function keepWorkers(round: Round, run: Run, group: Group, workers: readonly Worker[]): boolean {
  const { view, open, kept } = round
  const { state } = view
  const { need } = group
  const few = open.sizeMax < workers.length ? open.all : workers
  const inTheWay: { readonly worker: Worker; readonly obstacle: Obstacle }[] = []
  for (const worker of few) {
    if (kept.workers.has(worker.id)) continue
    if (few === workers ? !open.has(worker) : !fits(run, group, worker)) continue
    const obstacle = obstacleFor(state, run, group, worker)
    if (obstacle !== undefined && mayHave(round, run, need, worker)) inTheWay.push({ worker, obstacle })
  }
  let left = group.queuedCount
  let selfish = false
  for (const { worker, obstacle } of left < inTheWay.length ? emptiestFirst(inTheWay) : inTheWay) {
    // No more of them than it could ever use. One that is kept only gets emptier, so the emptiest stays the first.
    if (left === 0) return false
    // Until then others may have the rest of it.
    if (waitsForItself(state, run, need, worker)) selfish = true
    else if (kept.keepWorker(run, worker, need, obstacle)) left -= 1
  }
  return left > 0 && !selfish
}

/** As far as its quotas go. */
function mayHave({ view, nowMs }: Round, run: Run, need: Need, worker: Worker): boolean {
  const { state } = view
  return state.shares.size === 0 || quotaInTheWay(state, run, need, cpusOf(run, need, worker), nowMs) === undefined
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
function emptiestFirst<T extends { readonly worker: Worker }>(those: T[]): readonly T[] {
  return those.sort((a, b) => freeCpus(b.worker) - freeCpus(a.worker) || (a.worker.id < b.worker.id ? -1 : 1))
}

/** For people: what is kept from everybody after these runs, which come first, as it grows from run to run. */
export function* keeping(
  view: View,
  runs: readonly Run[],
  fleets: Fleets,
  nowMs: number,
): Generator<{ readonly run: Run; readonly kept: Reservations }> {
  const kept = new Reservations()
  const round = beginRound({ ...view, nowMs }, { fleets, speed: measuredSpeed, kept })
  for (const run of runs) {
    reserve(round, run, readyGroups(round, run, run.groups))
    yield { run, kept }
  }
}
