/**
 * What stands in the way of work that waits: each reason is something that `place` looks at, too, so that nothing is said
 * to be in the way of what is placed next, and something is of whatever is not placed (a test asks both of random
 * histories). What there is about single workers is in worker-reasons.ts, words in waiting-words.ts, times in expected.ts.
 */
import { scopeAllowance } from '../core/breaker.ts'
import { classScope, workerScope } from '../core/breaker-state.ts'
import { dueTasks, isReady } from '../core/due.ts'
import type { TaskIndex, TaskState } from '../core/entities.ts'
import { fits } from '../core/fit.ts'
import { lockInTheWay } from '../core/holdings.ts'
import type { Group, Run, State } from '../core/state.ts'
import { isTerminal } from '../core/task-state.ts'
import type { WatchedView } from './expected.ts'
import { placeOf, type Demand, type Fleets, type View } from './fleet.ts'
import { nearestOf } from './nearest.ts'
import { atWorkerLimit } from './round.ts'
import { shownMax, type Reason, type Situation } from './reason.ts'
import { unknownAttributes } from './unknown-attributes.ts'
import { holderOf, keptReasons, workerReasons } from './worker-reasons.ts'

/** What is in the way of a task; without an index, of whatever of the group is ready first. Empty = nothing. */
export function reasonsOf(situation: Situation, run: Run, group: Group, index?: TaskIndex): readonly Reason[] {
  const { state } = situation.view
  const task = index === undefined ? undefined : run.tasks[index]!
  const whole = wholeRunReasons(state, run)
  if (whole.length > 0) return whole
  const reasons: Reason[] = []
  const after = afterReason(state, run)
  if (after) reasons.push(after)
  if (task?.state === 'blocked') reasons.push(afterTasksReason(run, index!))
  const untilMs = backOffUntilMs(run, group, index, situation.nowMs)
  if (untilMs !== undefined) reasons.push({ type: 'back-off', untilMs })
  const { workers } = situation.fleets.of(run, group)
  if (workers.length === 0) return [...reasons, nobodyReason(situation.view, run, group, situation.fleets)]
  // What comes after others is not looked at any closer: by then it is all different.
  if (reasons.length > 0 && untilMs === undefined) return reasons
  const behind = classReason(state, run)
  if (behind && scopeAllowance(state, behind.scope) === 0) reasons.push(behind)
  if (atWorkerLimit(run)) reasons.push({ type: 'workers-max', max: run.spec.workersMax! })
  const lock = lockReason(situation.view, group, situation.nowMs)
  if (lock) reasons.push(lock)
  reasons.push(...keptReasons(situation, run, group, lock !== undefined))
  reasons.push(...workerReasons(situation, run, group, workers, index))
  // A worker is free, but what is left of the group may be there only for others.
  const again = index === undefined ? firstAgain(run, group, situation.nowMs) : undefined
  if (reasons.length === 0 && again !== undefined) return reasonsOf(situation, run, group, again)
  if (reasons.length === 0 && (situation.order === undefined || situation.several))
    reasons.push({ type: 'scheduler', strategy: situation.strategy })
  return reasons
}

/** Of the tasks that were put back, one that could be placed as far as its time goes. */
function firstAgain(run: Run, group: Group, nowMs: number): TaskIndex | undefined {
  for (const index of group.again) if (run.tasks[index]!.state === 'queued') return index
  for (const index of dueTasks(run, group, nowMs)) return index
  return undefined
}

function wholeRunReasons(_state: State, run: Run): readonly Reason[] {
  if (run.state === 'paused') return [{ type: 'paused' }]
  if (run.state === 'cancelling') return [{ type: 'cancelling', why: run.cancelled?.why ?? '' }]
  return []
}

export function afterReason(state: State, run: Run): Extract<Reason, { type: 'after-runs' }> | undefined {
  if (run.after.length === 0) return undefined
  const runs = run.after.slice(0, shownMax).map((id) => ({
    run: id,
    state: state.runs.get(id)!.state,
    when: run.spec.after?.find((one) => one.run === id)?.when ?? 'finished',
  }))
  return { type: 'after-runs', runs, count: run.after.length }
}

function afterTasksReason(run: Run, index: TaskIndex): Reason {
  const tasks: { readonly task: TaskIndex; readonly file: string; readonly state: TaskState }[] = []
  let count = 0
  for (const [before, dependents] of run.dependencies?.dependents ?? []) {
    const { file, state } = run.tasks[before]!
    if (isTerminal(state) || !dependents.includes(index)) continue
    count += 1
    if (tasks.length < shownMax) tasks.push({ task: before, file, state })
  }
  return { type: 'after-tasks', tasks, count }
}

function backOffUntilMs(run: Run, group: Group, index: TaskIndex | undefined, nowMs: number): number | undefined {
  if (index === undefined) {
    if (group.queuedCount === 0 || isReady(run, group, nowMs)) return undefined
    // The rest of the heap comes later.
    return Math.max(nowMs, group.wakes[0]?.atMs ?? nowMs)
  }
  const { again } = run.tasks[index]!
  return again?.later && again.notBeforeMs > nowMs ? again.notBeforeMs : undefined
}

export function classReason(state: State, run: Run): Extract<Reason, { type: 'class-breaker' }> | undefined {
  const scope = classScope(run.spec)
  if (!state.breakers.notClosed.has(scope)) return undefined
  const { stand, untilMs, why } = state.breakers.byScope.get(scope)!
  if (stand === 'closed') return undefined
  return { type: 'class-breaker', scope, stand, ...(untilMs === undefined ? {} : { untilMs }), why }
}

export function lockReason(
  view: WatchedView,
  group: Group,
  nowMs: number,
): Extract<Reason, { type: 'lock' }> | undefined {
  const hit = lockInTheWay(view.state, group.need)
  if (!hit) return undefined
  const holders = hit.holders.slice(0, shownMax).map((id) => holderOf(view, id, nowMs))
  return { type: 'lock', name: hit.lock.name, mode: hit.lock.mode, holders, count: hit.holders.length }
}

type NobodyReason = Extract<Reason, { type: 'no-worker' | 'worker-breakers' | 'no-fit' }>

/** Found once for all that ask for the same in view of the same fleets. */
const nobody = new WeakMap<Fleets, Map<Demand, NobodyReason>>()

/** Of a group that no worker can take, now or later. */
export function nobodyReason(view: View, run: Run, group: Group, fleets?: Fleets): NobodyReason {
  let known = fleets && nobody.get(fleets)
  if (fleets && !known) {
    known = new Map()
    nobody.set(fleets, known)
  }
  const place = placeOf(run, group)
  const reason = known?.get(place) ?? findNobody(view, run, group)
  known?.set(place, reason)
  return reason
}

function findNobody(view: View, run: Run, group: Group): NobodyReason {
  const connected = [...view.state.workers.values()].filter(view.available)
  if (connected.length === 0) return { type: 'no-worker' }
  // None of those that fit is left, so they are all behind breakers.
  const behind = connected.filter((worker) => fits(run, group, worker))
  if (behind.length > 0) {
    const ends = behind.map((worker) => view.state.breakers.byScope.get(workerScope(worker.id))?.untilMs ?? Infinity)
    const untilMs = Math.min(...ends)
    return { type: 'worker-breakers', count: behind.length, ...(untilMs === Infinity ? {} : { untilMs }) }
  }
  const { worker, lacks } = nearestOf(run, group.need, connected)!
  const unknown = unknownAttributes(group.need, connected)
  return {
    type: 'no-fit',
    connected: connected.length,
    nearest: { worker: worker.id, name: worker.name, lacks },
    ...(unknown.length === 0 ? {} : { unknown }),
  }
}
