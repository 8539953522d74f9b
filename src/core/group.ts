/** The groups of a run: tasks that need the same, in a queue of their own. */
import type { Need, TaskIndex } from './entities.ts'
import { expectedMs, type Group, type Run } from './state.ts'

export function emptyGroup(need: Need, kind: number): Group {
  return {
    kind,
    need,
    queue: [],
    queueHead: 0,
    again: [],
    wakes: [],
    laterCount: 0,
    queuedCount: 0,
    queuedMs: 0,
    batches: new Set(),
    openMs: 0,
    barren: 0,
    barrenOn: [],
  }
}

/** Adds queued tasks, longest first. */
export function enqueue(run: Run, group: Group, fresh: TaskIndex[]): void {
  if (fresh.length > 1) fresh.sort((a, b) => expectedMs(run, run.tasks[b]!) - expectedMs(run, run.tasks[a]!) || a - b)
  if (group.queueHead > 1024 && group.queueHead * 2 > group.queue.length) {
    group.queue = group.queue.slice(group.queueHead)
    group.queueHead = 0
  }
  if (group.queue.length === 0) group.queue = fresh
  else for (const index of fresh) group.queue.push(index)
}
