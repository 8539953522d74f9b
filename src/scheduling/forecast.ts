/** When a run will start and how long it will take, from estimates; for people, never for decisions. */
import type { Run } from '../core/state.ts'
import { fittingWorkers, fleetCpus, type View } from './fleet.ts'
import { waitingOrder } from './place.ts'

export type Forecast = {
  /** From its first assignment to its end, in milliseconds; undefined without a worker that fits. */
  readonly durationMs: number | undefined
  /** 1 = next; undefined when it doesn't wait. */
  readonly queuePosition: number | undefined
  readonly startsInMs: number | undefined
}

/** Start-up plus the larger of even work and the longest file. */
export function predictMs(run: Run, cpus: number): number {
  let longestMs = 0
  let totalMs = 0
  for (const task of run.tasks) {
    const ms = task.estimateMs < 0 ? run.unknownMs : task.estimateMs
    totalMs += ms
    if (ms > longestMs) longestMs = ms
  }
  return run.spec.startupMs + Math.max(totalMs / cpus, longestMs)
}

export function forecast(view: View, run: Run, nowMs: number): Forecast {
  const cpus = fleetCpus(run, fittingWorkers(view, run))
  const durationMs = cpus === 0 ? undefined : predictMs(run, cpus)
  if (run.startedAtMs !== undefined || run.state !== 'queued') {
    return { durationMs, queuePosition: undefined, startsInMs: undefined }
  }
  const position = waitingOrder(view.state, nowMs).findIndex((other) => other.id === run.id)
  if (position < 0 || cpus === 0) return { durationMs, queuePosition: undefined, startsInMs: undefined }
  let aheadMs = 0
  for (const id of view.state.active) {
    const other = view.state.runs.get(id)!
    if (other.id === run.id || (other.startedAtMs === undefined && !isAhead(view, other, run, nowMs))) continue
    aheadMs += leftMs(view, other, nowMs)
  }
  return { durationMs, queuePosition: position + 1, startsInMs: aheadMs }
}

function isAhead(view: View, other: Run, run: Run, nowMs: number): boolean {
  const order = waitingOrder(view.state, nowMs)
  return order.indexOf(other) < order.indexOf(run)
}

function leftMs(view: View, run: Run, nowMs: number): number {
  if (run.state === 'paused') return 0
  const cpus = Math.max(1, fleetCpus(run, fittingWorkers(view, run)))
  const spentMs = run.startedAtMs === undefined ? 0 : nowMs - run.startedAtMs
  return Math.max(0, predictMs(run, cpus) - spentMs)
}
