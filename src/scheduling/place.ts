/**
 * Who runs what next: the built-in `history` strategy. Runs are served in order of priority (which
 * grows with waiting, so nothing starves), then age; a run that must wait for a busy host keeps that
 * host reserved against later runs. Pure: the same view gives the same placement.
 */
import { allowance, scopeAllowance } from '../core/breaker.ts'
import { classScope } from '../core/breaker-state.ts'
import type { Assign } from '../core/input.ts'
import { hasReady } from '../core/due.ts'
import type { Run, State, Task, Worker } from '../core/state.ts'
import { pickTasks, targetWorkMs } from './batch-size.ts'
import { fittingWorkers, fleetCpus, grantOf, type View } from './fleet.ts'
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
  const { state } = view
  if (state.queuedCount === 0 || state.workers.size === 0) return undefined
  const reserved = new Set<string>()
  for (const run of waitingOrder(state, nowMs)) {
    if (scopeAllowance(state, classScope(run.spec)) === 0) continue
    const fitting = fittingWorkers(view, run)
    if (fitting.length === 0) continue
    const where = whereabouts(fitting, nowMs)
    for (const worker of freeWorkers(run, fitting, reserved, nowMs)) {
      const assign = placement(state, run, worker, fitting, where, nowMs)
      if (assign) return assign
    }
    if (atWorkerLimit(run)) continue
    for (const worker of fitting) if (!isFree(run, worker, nowMs)) reserved.add(worker.id)
  }
  return undefined
}

function atWorkerLimit(run: Run): boolean {
  return run.spec.workersMax !== undefined && run.batches.size >= run.spec.workersMax
}

/** Free workers, the one with most CPUs first; a host takes one batch of a run at a time. */
function freeWorkers(run: Run, fitting: readonly Worker[], reserved: ReadonlySet<string>, nowMs: number): Worker[] {
  if (atWorkerLimit(run)) return []
  const free = fitting.filter((worker) => !reserved.has(worker.id) && isFree(run, worker, nowMs))
  if (free.length > 1) free.sort((a, b) => freeCpus(b) - freeCpus(a))
  return free
}

function freeCpus(worker: Worker): number {
  return worker.capabilities.cpus - worker.cpusUsed
}

function isFree(run: Run, worker: Worker, nowMs: number): boolean {
  if (worker.recycling && worker.recycling.untilMs > nowMs) return false
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
  fitting: readonly Worker[],
  where: Whereabouts,
  nowMs: number,
): Assign | undefined {
  const cpus = grantOf(run, worker)
  const startupMs = run.startupMs ?? run.spec.startupMs
  const targetMs = targetWorkMs(state, run, cpus, fleetCpus(run, fitting), startupMs, nowMs)
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
