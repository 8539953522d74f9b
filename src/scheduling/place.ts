/**
 * Who runs what next: the built-in `history` strategy. Runs are served in order of priority (which
 * grows with waiting, so nothing starves), then age; a run that must wait for a busy host keeps that
 * host reserved against later runs. Pure: the same view gives the same placement.
 */
import { allowance, scopeAllowance } from '../core/breaker.ts'
import { classScope } from '../core/breaker-state.ts'
import type { Assign } from '../core/input.ts'
import { hasReady } from '../core/due.ts'
import { fits } from '../core/fit.ts'
import type { Run, State, Task, Worker } from '../core/state.ts'
import { pickTasks, targetWorkMs, workLeftMs, type Share } from './batch-size.ts'
import { fittingWorkers, fleetCpus, grantOf, isAvailable, type View } from './fleet.ts'
import { givenUp, mayRunOn, whereabouts, type Whereabouts } from './whereabouts.ts'

/** Waiting this long is worth one point of priority. */
const ageingMsPerPoint = 60_000

export function effectivePriority(run: Run, nowMs: number): number {
  return run.priority + Math.floor(Math.max(0, nowMs - run.createdAtMs) / ageingMsPerPoint)
}

/** Runs with work to hand out, the next one first. */
export function waitingOrder(state: State, nowMs: number): Run[] {
  const waiting: Run[] = []
  for (const id of state.active) {
    const run = state.runs.get(id)!
    if ((run.state === 'queued' || run.state === 'running') && hasReady(run, nowMs)) waiting.push(run)
  }
  if (waiting.length > 1) {
    waiting.sort((a, b) => effectivePriority(b, nowMs) - effectivePriority(a, nowMs) || a.createdAtMs - b.createdAtMs)
  }
  return waiting
}

/** The next placement, or undefined when nothing more can be placed. */
export function place(view: View, nowMs: number): Assign | undefined {
  return placements(view, nowMs).next().value ?? undefined
}

/**
 * All placements, one after the other, each in view of those before: whoever takes one applies it to state
 * before the next is asked for, and changes nothing else. So what is known of a run and its workers is
 * worked out once, and not for every worker again: a run may begin on thousands at the same time.
 */
export function* placements(view: View, nowMs: number): Generator<Assign, undefined> {
  const { state } = view
  if (state.queuedCount === 0) return
  const open = openWorkers(view, nowMs)
  if (open.length === 0) return
  const reserved = new Set<string>()
  for (const run of waitingOrder(state, nowMs)) {
    if (scopeAllowance(state, classScope(run.spec)) === 0) continue
    const here = open.filter((worker) => fits(run, worker))
    yield* placementsOf(view, run, freeWorkers(run, here, reserved), nowMs)
    // What can't be given to it now is kept for it, unless it wants or may have no more.
    if (atWorkerLimit(run) || !hasReady(run, nowMs) || scopeAllowance(state, classScope(run.spec)) === 0) continue
    for (const worker of here) if (!isFree(run, worker)) reserved.add(worker.id)
  }
}

/** Workers that something could be given to, as far as they are concerned. */
function openWorkers(view: View, nowMs: number): Worker[] {
  const open: Worker[] = []
  for (const worker of view.state.workers.values()) {
    if (freeCpus(worker) <= 0 || (worker.recycling && worker.recycling.untilMs > nowMs)) continue
    if (isAvailable(view, worker)) open.push(worker)
  }
  return open
}

function* placementsOf(view: View, run: Run, free: readonly Worker[], nowMs: number): Generator<Assign> {
  if (free.length === 0) return
  const { state } = view
  const fitting = fittingWorkers(view, run)
  const where = whereabouts(fitting, nowMs)
  const startupMs = run.startupMs ?? run.spec.startupMs
  // Placing moves work from the queue to batches, and leaves the sum as it is.
  const share = { fleetCpus: fleetCpus(run, fitting), leftMs: workLeftMs(state, run, startupMs, nowMs), startupMs }
  for (const worker of free) {
    if (atWorkerLimit(run) || !hasReady(run, nowMs)) return
    const assign = placement(state, run, worker, share, where, nowMs)
    if (assign) yield assign
  }
}

function atWorkerLimit(run: Run): boolean {
  return run.spec.workersMax !== undefined && run.batches.size >= run.spec.workersMax
}

/** Free workers, the one with most CPUs first; a host takes one batch of a run at a time. */
function freeWorkers(run: Run, here: readonly Worker[], reserved: ReadonlySet<string>): Worker[] {
  if (atWorkerLimit(run)) return []
  const free = here.filter((worker) => !reserved.has(worker.id) && isFree(run, worker))
  if (free.length > 1) free.sort((a, b) => freeCpus(b) - freeCpus(a))
  return free
}

function freeCpus(worker: Worker): number {
  return worker.capabilities.cpus - worker.cpusUsed
}

/** Of one that is open. */
function isFree(run: Run, worker: Worker): boolean {
  return freeCpus(worker) >= grantOf(run, worker) && !holdsBatchOf(run, worker)
}

function holdsBatchOf(run: Run, worker: Worker): boolean {
  for (const id of worker.batches) if (run.batches.has(id)) return true
  return false
}

function placement(
  state: State,
  run: Run,
  worker: Worker,
  share: Share,
  where: Whereabouts,
  nowMs: number,
): Assign | undefined {
  const cpus = grantOf(run, worker)
  const targetMs = targetWorkMs(run, cpus, share)
  const may = (task: Task) => mayRunOn(where, task, worker)
  const allowed = allowance(state, run, worker)
  if (allowed === 0) return undefined
  const tasks = pickTasks(run, targetMs, Math.min(state.limits.batchTasksMax, allowed), nowMs, may)
  if (tasks.length === 0) return undefined
  const why =
    allowed < Infinity
      ? `${tasks.length} tasks to try whether a breaker can close`
      : targetMs === Infinity
        ? `the only host that fits; ${tasks.length} tasks at once`
        : `${tasks.length} tasks, about ${Math.round(targetMs)} ms of the ${Math.round(run.queuedMs)} ms left`
  const given = givenUp(run, tasks, worker)
  return { type: 'assign', run: run.id, worker: worker.id, tasks, cpus, why: given === '' ? why : `${why}; ${given}` }
}
