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
import type { Group, Run, State, Wake } from './state.ts'

export function addWake(state: State, run: Run, group: Group, wake: Wake): void {
  const heap = group.wakes
  let at = heap.length
  heap.push(wake)
  while (at > 0) {
    const parent = (at - 1) >> 1
    if (heap[parent]!.atMs <= wake.atMs) break
    heap[at] = heap[parent]!
    at = parent
  }
  heap[at] = wake
  state.waking.add(run.id)
}

function takeFirst(heap: Wake[]): Wake {
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
  for (const id of state.waking) {
    const run = state.runs.get(id)!
    let waiting = false
    for (const group of run.groups) {
      while (group.wakes.length > 0 && group.wakes[0]!.atMs <= state.atMs) {
        const wake = takeFirst(group.wakes)
        for (const index of wake.tasks) {
          if (!waits(run, index, wake)) continue
          run.tasks[index]!.again!.later = false
          group.laterCount -= 1
          group.again.push(index)
        }
      }
      if (group.wakes.length > 0) waiting = true
    }
    if (!waiting) state.waking.delete(id)
  }
}

/** Nothing of the run waits any more. */
export function forgetWakes(state: State, run: Run): void {
  for (const group of run.groups) group.wakes = []
  state.waking.delete(run.id)
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
  const look = (heap: readonly Wake[], at: number): void => {
    const wake = heap[at]
    if (wake === undefined || wake.atMs >= next) return
    if (wake.atMs > nowMs) {
      next = wake.atMs
      return
    }
    look(heap, 2 * at + 1)
    look(heap, 2 * at + 2)
  }
  for (const id of state.waking) for (const group of state.runs.get(id)!.groups) look(group.wakes, 0)
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
