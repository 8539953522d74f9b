/**
 * Moments to come, per group of tasks as a heap: a task that waits out its back-off is queued but not placeable
 * before its time, and nobody walks all tasks to find the ones whose time has come. One entry stands
 * for all tasks that were put back by one event. Entries of tasks that went another way meanwhile
 * (cancelled, lost) stay until their moment and are skipped then.
 *
 * `apply` moves what is due into the group's `again`, by the time of the entry, so that a replay does the same;
 * placement, which happens between two entries, looks at what is due by its own clock.
 */
import type { TaskIndex } from './entities.ts'
import { ruleOfScope } from './shares.ts'
import { spentBelowAtMs } from './spent.ts'
import type { Group, Moment, Run, State, Wake } from './state.ts'

export function addWake(state: State, run: Run, group: Group, wake: Wake): void {
  push(group.wakes, wake)
  noteMoment(state, run, group, wake.atMs)
}

/** So that nobody walks all runs either to find those with a moment that has come. */
export function noteMoment(state: State, run: Run, group: Group, atMs: number): void {
  push(state.waking.moments, { atMs, run: run.id, kind: group.kind })
}

function push<T extends { readonly atMs: number }>(heap: T[], one: T): void {
  let at = heap.length
  heap.push(one)
  while (at > 0) {
    const parent = (at - 1) >> 1
    if (heap[parent]!.atMs <= one.atMs) break
    heap[at] = heap[parent]!
    at = parent
  }
  heap[at] = one
}

function takeFirst<T extends { readonly atMs: number }>(heap: T[]): T {
  const first = heap[0]!
  const last = heap.pop()!
  if (heap.length === 0) return first
  let at = 0
  for (;;) {
    let child = 2 * at + 1
    if (child >= heap.length) break
    if (child + 1 < heap.length && heap[child + 1]!.atMs < heap[child]!.atMs) child += 1
    if (heap[child]!.atMs >= last.atMs) break
    heap[at] = heap[child]!
    at = child
  }
  heap[at] = last
  return first
}

/** Still waiting for exactly this moment. */
function waits(run: Run, index: TaskIndex, wake: Wake): boolean {
  const again = run.tasks[index]!.again
  return again !== undefined && again.later && again.notBeforeMs === wake.atMs
}

/** Everything that is due by the state's own time goes where it can be placed from. */
export function promoteDue(state: State): void {
  const { waking, atMs } = state
  while (waking.moments.length > 0 && waking.moments[0]!.atMs <= atMs) {
    const moment = takeFirst(waking.moments)
    const run = stillWaiting(state, moment)
    if (run) promoteGroup(run, run.groups[moment.kind]!, atMs)
    else waking.goneCount -= 1
  }
}

function promoteGroup(run: Run, group: Group, atMs: number): void {
  while (group.wakes.length > 0 && group.wakes[0]!.atMs <= atMs) {
    const wake = takeFirst(group.wakes)
    for (const index of wake.tasks) {
      if (!waits(run, index, wake)) continue
      run.tasks[index]!.again!.later = false
      group.laterCount -= 1
      group.again.push(index)
    }
  }
}

/** Undefined for a moment of a run that is over. */
function stillWaiting(state: State, moment: Moment): Run | undefined {
  const run = state.runs.get(moment.run)
  return run === undefined || run.state === 'finished' ? undefined : run
}

/** Called when the run has finished: nothing of it waits any more. Its moments go when they are due, or are the most. */
export function forgetWakes(state: State, run: Run): void {
  const { waking } = state
  for (const group of run.groups) {
    waking.goneCount += group.wakes.length
    group.wakes = []
  }
  if (waking.goneCount * 2 <= waking.moments.length) return
  const kept = waking.moments.filter((moment) => stillWaiting(state, moment))
  waking.moments.length = 0
  waking.goneCount = 0
  for (const moment of kept) push(waking.moments, moment)
}

/** Tasks whose time has come since state was last moved on, soonest entry first within what the heap knows. */
export function* dueTasks(run: Run, group: Group, nowMs: number, at = 0): Generator<TaskIndex> {
  const wake = group.wakes[at]
  if (wake === undefined || wake.atMs > nowMs) return
  for (const index of wake.tasks) if (waits(run, index, wake)) yield index
  yield* dueTasks(run, group, nowMs, 2 * at + 1)
  yield* dueTasks(run, group, nowMs, 2 * at + 2)
}

/** Whether a task of the group can be placed now, as far as its time goes. */
export function isReady(run: Run, group: Group, nowMs: number): boolean {
  if (group.queuedCount > group.laterCount) return true
  return group.laterCount > 0 && !dueTasks(run, group, nowMs).next().done
}

/** Whether the run has queued tasks that nothing but time, room, locks, quotas and breakers keep from being handed out. */
export function isServed(run: Run): boolean {
  return (run.state === 'queued' || run.state === 'running') && run.queuedCount > 0 && run.after.length === 0
}

/** Whether a task of the run can be placed now, as far as its time and the runs before it go. */
export function hasReady(run: Run, nowMs: number): boolean {
  if (run.queuedCount === 0 || run.after.length > 0) return false
  for (const group of run.groups) if (isReady(run, group, nowMs)) return true
  return false
}

/** The next moment after `nowMs` at which something may become placeable without anything else happening. */
export function nextDueMs(state: State, nowMs: number): number | undefined {
  let next = Infinity
  const look = (at: number): void => {
    const moment = state.waking.moments[at]
    if (moment === undefined || moment.atMs >= next) return
    if (moment.atMs > nowMs && stillWaiting(state, moment)) {
      next = moment.atMs
      return
    }
    look(2 * at + 1)
    look(2 * at + 2)
  }
  look(0)
  for (const id of state.recycling) {
    const { recycling } = state.workers.get(id)!
    if (recycling && recycling.untilMs > nowMs && recycling.untilMs < next) next = recycling.untilMs
  }
  if (state.shares.size > 0 && state.queuedCount > 0) next = Math.min(next, nextQuotaMs(state, nowMs))
  return next === Infinity ? undefined : next
}

/** When somebody who has spent all CPU-hours of a quota may spend again. */
function nextQuotaMs(state: State, nowMs: number): number {
  let next = Infinity
  for (const [scope, spent] of state.spent) {
    const hours = ruleOfScope(state.shares, scope)?.cpuHours
    const atMs = hours === undefined ? undefined : spentBelowAtMs(spent, hours * 3_600_000, nowMs)
    if (atMs !== undefined && atMs < next) next = atMs
  }
  return next
}
