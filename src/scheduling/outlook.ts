/**
 * When work will start and finish, as intervals from estimates: what runs now ends, runs that come first take their part of
 * the workers that fit, then the work's own. Undefined where nobody can say: it waits for a person, or for a worker that
 * is not there. For people, never for decisions.
 */
import type { TaskIndex } from '../core/entities.ts'
import { expectedMs, type Group, type Run } from '../core/state.ts'
import { formatDuration } from '../stdx/duration.ts'
import { uncertaintyOf } from './batch-size.ts'
import { batchFrees, batchWorkEnds, firstOf, lastOf, later, moment, sooner, type Interval } from './expected.ts'
import { speedOf } from './fleet.ts'
import { lockFrees, quotaFrees } from './held-up.ts'
import type { Reason, Situation } from './reason.ts'
import { reasonsOf } from './reasons.ts'
import { remainingMs } from './urgency.ts'

/** Runs and tasks that wait for each other are followed so far. */
const depthMax = 4

export type Times = { readonly starts: Interval; readonly finishes: Interval }

/** Of a task that is queued or blocked. */
export function waitingTaskTimes(situation: Situation, run: Run, index: TaskIndex, depth = 0): Times | undefined {
  const task = run.tasks[index]!
  const group = run.groups[task.kind]!
  const { workers, cpus } = situation.fleets.of(run, group)
  const open = openAt(situation, run, reasonsOf(situation, run, group, index), depth)
  if (!open || cpus === 0) return undefined
  const off = uncertaintyOf(run)
  const ownMs = expectedMs(run, task)
  const ahead = aheadOf(situation, run)
  const beforeMs = task.state === 'queued' ? workBefore(run, group, index) / cpus : 0
  const starts = {
    fromMs: Math.round(open.fromMs + beforeMs * (1 - off)),
    toMs: Math.round(open.toMs + ahead.toMs + beforeMs * (1 + off)),
    ...outrunLike(open),
  }
  const fastest = workers.reduce((most, worker) => Math.max(most, speedOf(worker)), 0)
  const slowest = workers.reduce((least, worker) => Math.min(least, speedOf(worker)), Infinity)
  const startupMs = run.startupMs ?? run.spec.startupMs
  // It may be the last one of its batch.
  const besideMs = Math.max(0, group.queuedMs / cpus - beforeMs)
  const finishes = {
    fromMs: Math.round(starts.fromMs + (ownMs / fastest) * (1 - off)),
    toMs: Math.round(starts.toMs + startupMs + (ownMs / slowest + besideMs) * (1 + off)),
    ...outrunLike(open),
  }
  return { starts, finishes }
}

/** Of a run that has not finished. `starts` is in the past when it has started. */
export function runTimes(situation: Situation, run: Run, depth = 0): Times | undefined {
  const { view, fleets, nowMs } = situation
  if (run.open) return undefined
  let finishes = moment(nowMs)
  for (const id of run.batches) finishes = later(finishes, batchWorkEnds(view, view.state.batches.get(id)!, nowMs))
  let starts = run.startedAtMs === undefined ? undefined : moment(run.startedAtMs)
  const off = uncertaintyOf(run)
  const leftMs = remainingMs(run, fleets)
  const ahead = aheadOf(situation, run)
  for (const group of run.groups) {
    if (group.queuedCount === 0) continue
    const open = openAt(situation, run, reasonsOf(situation, run, group), depth)
    if (!open || fleets.of(run, group).cpus === 0) return undefined
    const begins = { ...open, toMs: open.toMs + ahead.toMs }
    if (run.startedAtMs === undefined) starts = starts ? sooner(starts, begins) : begins
    // What is queued now is placed while the rest runs: its work counts from when there is room.
    const ends = { ...begins, fromMs: begins.fromMs + leftMs * (1 - off), toMs: begins.toMs + leftMs * (1 + off) }
    finishes = later(finishes, ends)
  }
  // What is blocked comes after all this, and how long it takes is known only as a whole.
  if (run.byState.blocked > 0) {
    const blockedMs = (run.expectedMs * run.byState.blocked) / Math.max(1, run.tasks.length)
    const cpus = Math.min(...run.groups.map((group) => fleets.of(run, group).cpus))
    if (cpus === 0) return undefined
    finishes = {
      ...finishes,
      fromMs: finishes.fromMs + (blockedMs / cpus) * (1 - off),
      toMs: finishes.toMs + (blockedMs + (run.startupMs ?? run.spec.startupMs) * cpus) * (1 + off),
    }
    if (run.queuedCount === 0 && run.batches.size === 0) return undefined
  }
  if (!starts) return undefined
  return { starts: rounded(starts), finishes: rounded(finishes) }
}

function rounded({ fromMs, toMs, ...rest }: Interval): Interval {
  return { fromMs: Math.round(fromMs), toMs: Math.round(toMs), ...rest }
}

function outrunLike({ outrun }: Interval): { readonly outrun?: true } {
  return outrun ? { outrun } : {}
}

/** Work of runs that come first and want the same workers: at best it is given to others, at worst all of it goes first. */
function aheadOf({ order = [], fleets }: Situation, run: Run): { readonly toMs: number } {
  const mine = new Set(run.groups.flatMap((group) => fleets.of(run, group).workers.map((worker) => worker.id)))
  let toMs = 0
  for (const first of order) {
    if (first === run) return { toMs }
    const shared = first.groups.some(
      (group) => group.queuedCount > 0 && fleets.of(first, group).workers.some((worker) => mine.has(worker.id)),
    )
    if (shared) toMs += remainingMs(first, fleets) * (1 + uncertaintyOf(first))
  }
  return { toMs: order.length === 0 ? 0 : toMs }
}

/** Work of the group that is given out first: what is longer, or was tried before. */
function workBefore(run: Run, group: Group, index: TaskIndex): number {
  const task = run.tasks[index]!
  if (task.again) return 0
  const ownMs = expectedMs(run, task)
  let beforeMs = 0
  for (let other = 0; other < run.tasks.length; other += 1) {
    const one = run.tasks[other]!
    if (one.state !== 'queued' || one.kind !== group.kind || other === index) continue
    const workMs = expectedMs(run, one)
    if (one.again || workMs > ownMs || (workMs === ownMs && other < index)) beforeMs += workMs
  }
  return beforeMs
}

/** When nothing is in the way any more. */
function openAt(situation: Situation, run: Run, reasons: readonly Reason[], depth: number): Interval | undefined {
  const { nowMs } = situation
  let all = moment(nowMs)
  let any: Interval | undefined
  let anyCount = 0
  for (const reason of reasons) {
    const open = reasonEnds(situation, run, reason, depth)
    if (!('any' in reason)) {
      if (!open) return undefined
      all = later(all, open)
      continue
    }
    anyCount += 1
    if (open) any = any ? sooner(any, open) : open
  }
  if (anyCount > 0 && !any) return undefined
  return any ? later(all, any) : all
}

function reasonEnds(situation: Situation, run: Run, reason: Reason, depth: number): Interval | undefined {
  const { view, nowMs } = situation
  const { state } = view
  switch (reason.type) {
    case 'back-off':
    case 'recycling':
      return moment(Math.max(nowMs, reason.untilMs))
    case 'avoided':
      return { fromMs: nowMs, toMs: Math.max(nowMs, reason.untilMs) }
    case 'class-breaker':
    case 'worker-breakers':
      return reason.untilMs === undefined ? undefined : { fromMs: nowMs, toMs: Math.max(nowMs, reason.untilMs) }
    case 'after-runs':
      return lastOf(run.after, (id) =>
        depth >= depthMax ? undefined : runTimes(situation, state.runs.get(id)!, depth + 1)?.finishes,
      )
    case 'after-tasks':
      return lastOf(reason.tasks, ({ task }) => taskEnds(situation, run, task, depth))
    case 'workers-max':
      return firstOf([...run.batches], (id) => batchFrees(view, state.batches.get(id)!, nowMs))
    case 'lock':
      return lockFrees(reason)
    case 'quota':
      return quotaFrees(view, reason, nowMs)
    case 'busy':
      return firstOf(reason.workers, (worker) => worker.free)
    case 'lock-kept':
    case 'quota-kept':
    case 'reserved': {
      const first = state.runs.get(reason.run)!
      return { fromMs: nowMs, toMs: nowMs + remainingMs(first, situation.fleets) * (1 + uncertaintyOf(first)) }
    }
    case 'sooner-elsewhere':
      return firstOf([...run.batches], (id) => batchFrees(view, state.batches.get(id)!, nowMs))
    case 'probing':
    case 'scheduler':
      return moment(nowMs)
    case 'paused':
    case 'cancelling':
    case 'no-worker':
    case 'no-fit':
      return undefined
  }
}

function taskEnds(situation: Situation, run: Run, index: TaskIndex, depth: number): Interval | undefined {
  const { state } = situation.view
  const { batch, state: now } = run.tasks[index]!
  if ((now === 'assigned' || now === 'running') && batch !== undefined)
    return batchWorkEnds(situation.view, state.batches.get(batch)!, situation.nowMs)
  return depth >= depthMax ? undefined : waitingTaskTimes(situation, run, index, depth + 1)?.finishes
}

/** What the intervals are worth. */
export function restsOn(run: Run): string {
  const { length } = run.tasks
  const off = Math.round(uncertaintyOf(run) * 100)
  const startupMs = run.startupMs ?? run.spec.startupMs
  const startup = startupMs === 0 ? '' : `, start-up ${formatDuration(startupMs)}`
  if (run.knownCount === 0)
    return `no duration from history: a guess of ${formatDuration(run.unknownMs)} a file, ±${off} %${startup}`
  const share = run.knownCount === length ? 'all' : `${Math.round((run.knownCount / length) * 100)} % of`
  return `durations from history of ${share} ${length} files, ±${off} %${startup}`
}
