/**
 * How much work one framework process is given. One host alone takes everything: the framework's own
 * parallelism beats any splitting. Several hosts use a form of guided self-scheduling (Polychronopoulos
 * & Kuck 1987): a batch is most of its host's fair share of what is left, so that batches shrink
 * towards the end and the last ones even out what estimates got wrong. How much is held back follows
 * from how unsure the estimates are; nothing is, once evening it out would cost more (another
 * process's start-up) than it could gain.
 */
import { dueTasks } from '../core/due.ts'
import { expectedMs, type Batch, type Group, type Run, type State, type Task } from '../core/state.ts'

/** How far a share's real work may be off: with a duration from history for every file, and with none. */
const uncertaintyKnown = 0.15
const uncertaintyUnknown = 0.5
/** A start-up is next to nothing when this many of them are less than what estimates may be off by. */
const cheapStart = 50
/** Entries looked at beyond the picked ones for something small enough to fill a batch. */
const lookAheadMax = 500

/** What a run's batches are cut from. */
export type Share = {
  /** CPUs that it can count on, as ones of the reference machine. */
  readonly fleetCpus: number
  /** Work that is queued or under way. */
  readonly leftMs: number
  readonly startupMs: number
}

/** Work that the group still has, queued and under way, in estimated CPU-milliseconds. */
export function workLeftMs(state: State, group: Group, startupMs: number, nowMs: number): number {
  let leftMs = group.queuedMs
  for (const id of group.batches) leftMs += batchLeftMs(state.batches.get(id)!, startupMs, nowMs)
  return leftMs
}

/** Work to give to a host with `cpus` of the fleet's CPUs, in estimated CPU-milliseconds; Infinity = all. */
export function targetWorkMs(run: Run, cpus: number, { fleetCpus, leftMs, startupMs }: Share): number {
  if (cpus >= fleetCpus) return Infinity
  const fairMs = (leftMs * cpus) / fleetCpus
  const uncertainty = uncertaintyOf(run)
  const offMs = fairMs * uncertainty
  const startMs = startupMs * cpus
  if (offMs < startMs) return fairMs
  // Where another process costs next to nothing, holding back half is free and evens out more.
  const heldBack = Math.max(uncertainty, 0.5 * (1 - (cheapStart * startMs) / offMs))
  return fairMs * (1 - heldBack)
}

/** How far the run's estimates may be off, as a part of them: by how many of them history knows. */
export function uncertaintyOf(run: Run): number {
  const known = run.tasks.length === 0 ? 0 : run.knownCount / run.tasks.length
  return uncertaintyKnown * known + uncertaintyUnknown * (1 - known)
}

/** Work that a batch under way still has: by its reports, or by the clock where that says less. */
function batchLeftMs(batch: Batch, startupMs: number, nowMs: number): number {
  const byClockMs = batch.expectedMs + (startupMs - (nowMs - batch.assignedAtMs)) * batch.cpus
  return Math.max(0, Math.min(batch.openMs, byClockMs))
}

/**
 * Indexes of the queued tasks that make up the next batch: those that failed before first, then the longest
 * that fit. A task that waits for its time is passed over, as is one that `may` keeps away from the worker.
 */
export function pickTasks(
  run: Run,
  group: Group,
  targetMs: number,
  tasksMax: number,
  nowMs: number,
  may: (task: Task) => boolean,
): number[] {
  const picked: number[] = []
  let sumMs = 0
  let limit = tasksMax
  /** Returns whether the batch is full. */
  const offer = (index: number): boolean => {
    const task = run.tasks[index]!
    if (task.again !== undefined && !may(task)) return false
    const max = task.batchMax === 0 ? limit : Math.min(limit, task.batchMax)
    const workMs = expectedMs(run, task)
    // The first one is taken whatever it costs; one that would overshoot by more than half waits.
    if (picked.length >= max || (picked.length > 0 && sumMs + workMs / 2 > targetMs)) return false
    picked.push(index)
    sumMs += workMs
    limit = max
    return picked.length >= limit || sumMs >= targetMs
  }
  for (const index of group.again) if (run.tasks[index]!.state === 'queued' && offer(index)) return picked
  for (const index of dueTasks(run, group, nowMs)) if (offer(index)) return picked
  const again = group.again.length > 0 ? new Set(group.again) : undefined
  let passed = 0
  for (let at = group.queueHead; at < group.queue.length && passed < lookAheadMax; at += 1) {
    const index = group.queue[at]!
    const task = run.tasks[index]!
    if (task.state !== 'queued' || task.again?.later || again?.has(index)) continue
    const before = picked.length
    if (offer(index)) return picked
    if (picked.length === before) passed += 1
  }
  return picked
}
