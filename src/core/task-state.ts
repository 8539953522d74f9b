/**
 * The life of a task as a table: which state may follow which. `apply` asserts it on every
 * transition, so an impossible history stops the process instead of spreading.
 */
import { assert } from '../stdx/assert.ts'
import type { TaskState } from './entities.ts'

const ends: readonly TaskState[] = [
  'passed',
  'failed',
  'flaky',
  'skipped',
  'quarantined',
  'timed-out',
  'cancelled',
  'lost',
]

export const taskTransitions: Readonly<Record<TaskState, readonly TaskState[]>> = {
  queued: ['assigned', 'blocked', 'paused', 'cancelled', 'lost', 'failed'],
  blocked: ['queued', 'skipped', 'cancelled', 'lost'],
  paused: ['queued', 'cancelled', 'lost'],
  assigned: ['running', 'queued', ...ends],
  running: ['queued', ...ends],
  passed: [],
  failed: ['dead-lettered'],
  flaky: [],
  skipped: [],
  quarantined: [],
  'timed-out': ['dead-lettered'],
  cancelled: [],
  lost: ['dead-lettered'],
  'dead-lettered': ['queued'],
}

const terminal = new Set<TaskState>([...ends, 'dead-lettered'])

export function isTerminal(state: TaskState): boolean {
  return terminal.has(state)
}

export function assertTransition(from: TaskState, to: TaskState, task: string): void {
  assert(taskTransitions[from].includes(to), `task ${task} can't go from ${from} to ${to}`)
}
