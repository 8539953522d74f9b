/**
 * Who runs what next: the built-in `history` strategy. Runs are served in order of priority (which
 * grows with waiting, so nothing starves), then age; a run that must wait for a busy host keeps that
 * host reserved against later runs. Pure: the same view gives the same placement.
 */
import type { Assign } from '../core/input.ts'
import type { Run, State, Worker } from '../core/state.ts'
import { pickTasks, targetWorkMs } from './batch-size.ts'
import { fittingWorkers, fleetCpus, grantOf, type View } from './fleet.ts'

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
    if (run.queuedCount > 0 && (run.state === 'queued' || run.state === 'running')) waiting.push(run)
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
    const fitting = fittingWorkers(view, run)
    if (fitting.length === 0) continue
    const worker = freeWorker(run, fitting, reserved)
    if (worker) return placement(state, run, worker, fitting, nowMs)
    if (!atWorkerLimit(run)) for (const busy of fitting) reserved.add(busy.id)
  }
  return undefined
}

function atWorkerLimit(run: Run): boolean {
  return run.spec.workersMax !== undefined && run.batches.size >= run.spec.workersMax
}

/** The free worker with most CPUs; a host takes one batch of a run at a time. */
function freeWorker(run: Run, fitting: readonly Worker[], reserved: ReadonlySet<string>): Worker | undefined {
  if (atWorkerLimit(run)) return undefined
  let best: Worker | undefined
  for (const worker of fitting) {
    const free = worker.capabilities.cpus - worker.cpusUsed
    if (reserved.has(worker.id) || free < grantOf(run, worker) || holdsBatchOf(run, worker)) continue
    if (!best || free > best.capabilities.cpus - best.cpusUsed) best = worker
  }
  return best
}

function holdsBatchOf(run: Run, worker: Worker): boolean {
  for (const id of worker.batches) if (run.batches.has(id)) return true
  return false
}

function placement(state: State, run: Run, worker: Worker, fitting: readonly Worker[], nowMs: number): Assign {
  const cpus = grantOf(run, worker)
  const startupMs = run.startupMs ?? run.spec.startupMs
  const targetMs = targetWorkMs(state, run, cpus, fleetCpus(run, fitting), startupMs, nowMs)
  const tasks = pickTasks(run, targetMs, state.limits.batchTasksMax)
  const why =
    targetMs === Infinity
      ? `the only host that fits; ${tasks.length} tasks at once`
      : `${tasks.length} tasks, about ${Math.round(targetMs)} ms of the ${Math.round(run.queuedMs)} ms left`
  return { type: 'assign', run: run.id, worker: worker.id, tasks, cpus, why }
}
