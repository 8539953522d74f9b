/**
 * When all that a group has left would be over if its workers shared it evenly: the level to which each is filled, as
 * water would fill them. Who is busy beyond the level takes no part. From it follow how much a worker is given
 * (batch-size.ts) and which files are too long for it. All of it comes from estimates; nobody waits for a
 * level, it only says how to cut.
 */
import { expectedMs, type Batch, type Group, type Run, type State } from '../core/state.ts'
import { measuredSpeed, type Fleet, type Speed } from './fleet.ts'

/** A group at one moment, and who there is for it. */
export type Undivided = {
  readonly state: State
  readonly run: Run
  readonly group: Group
  readonly fleet: Fleet
  readonly speed: Speed
  readonly startupMs: number
  readonly nowMs: number
}

export type Level = {
  /** From now, start-up included. */
  readonly ms: number
  /** CPUs of the reference machine that take part. */
  readonly cpus: number
}

/** Of more batches only the sum of what they have left is looked at: then no single one matters, and a decision costs no more. */
const singleMax = 64
/** After so many rounds of leaving out who is busy for longer, what is left out makes next to no difference. */
const passesMax = 4

/**
 * `together`: what was given out at this very moment counts as not given out yet, so that all who are free at once are
 * filled to one level, whoever of them is asked about first.
 */
export function levelOf(undivided: Undivided, together: boolean): Level {
  const { group, fleet, startupMs } = undivided
  const all = underWay(undivided, Infinity, together)
  const { lastMs } = all
  let { cpus } = fleet
  let ms = startupMs + (group.queuedMs + all.workMs) / cpus
  for (let pass = 0; pass < passesMax && lastMs > ms - startupMs; pass += 1) {
    const { workMs, beyondCpus } = underWay(undivided, ms - startupMs, together)
    const left = fleet.cpus - beyondCpus
    if (left <= 0) break
    const lowerMs = startupMs + (group.queuedMs + workMs) / left
    if (lowerMs >= ms) break
    ms = lowerMs
    cpus = left
  }
  // Until the last batch has ended, others may as well be busy, if that saves somebody a start-up.
  return { ms: together ? Math.max(ms, Math.min(lastMs, ms + startupMs)) : ms, cpus }
}

/**
 * Until when a worker should have run a file, start-up not included: by when the others would be done with everything
 * without it, or the fastest with the longest file. `surplus`: by how much of itself a file may well take longer.
 */
export function latestMs(undivided: Undivided, level: Level, ownCpus: number, surplus: number): number {
  const left = level.cpus - ownCpus
  const othersMs = left > 0 ? ((level.ms - undivided.startupMs) * level.cpus) / left : Infinity
  return Math.max(othersMs / (1 + surplus), longestMs(undivided) / fastestOf(undivided))
}

/**
 * When those that have a batch of the group now would be done with all that is left, without anybody else. Infinity where
 * nobody has one.
 */
export function othersDoneMs(undivided: Undivided): number {
  const { group, startupMs } = undivided
  const { workMs, batchCpus, soonestMs } = underWay(undivided, Infinity, false)
  if (batchCpus === 0) return Infinity
  return Math.max(soonestMs, startupMs + (group.queuedMs + workMs) / batchCpus)
}

type UnderWay = {
  /** Of batches that end in time: what they still have. */
  workMs: number
  /** Of the others: CPUs that they keep. */
  beyondCpus: number
  batchCpus: number
  /** When the last batch ends. */
  lastMs: number
  /** When the longest file could be over on one of the busy workers. */
  soonestMs: number
}

function underWay(undivided: Undivided, untilMs: number, together: boolean): UnderWay {
  const { state, run, group, fleet, speed, startupMs, nowMs } = undivided
  const sum: UnderWay = { workMs: 0, beyondCpus: 0, batchCpus: 0, lastMs: 0, soonestMs: Infinity }
  const ahead = longestMs(undivided)
  if (group.batches.size > singleMax) {
    const batchCpus = fleet.cpus * Math.min(1, group.batches.size / Math.max(1, fleet.workers.length))
    return { ...sum, workMs: group.openMs, batchCpus, soonestMs: startupMs + ahead / fastestOf(undivided) }
  }
  for (const id of group.batches) {
    const batch = state.batches.get(id)!
    const worker = state.workers.get(batch.worker)
    const one = worker === undefined ? 1 : speed(run, worker)
    const cpus = batch.cpus * one
    sum.batchCpus += cpus
    if (together && batch.assignedAtMs === nowMs) {
      sum.workMs += batch.openMs
      continue
    }
    const leftMs = remainingMs(batch, one, startupMs, nowMs)
    if (leftMs > untilMs) sum.beyondCpus += cpus
    else sum.workMs += leftMs * cpus
    if (leftMs > sum.lastMs) sum.lastMs = leftMs
    const soonMs = leftMs + overdueMs(batch, cpus, startupMs, nowMs) + startupMs + ahead / one
    if (soonMs < sum.soonestMs) sum.soonestMs = soonMs
  }
  return sum
}

/**
 * Until a batch ends: what has no report yet, less what of that must have been run since the last one. That is taken to be
 * no more than a file on every CPU, so that one that takes longer than expected doesn't seem to be over.
 */
export function remainingMs(batch: Batch, speed: number, startupMs: number, nowMs: number): number {
  if (batch.open === 0) return 0
  const cpus = batch.cpus * speed
  const openMs = batch.openMs / cpus
  const ranMs = nowMs - batch.assignedAtMs - startupMs
  if (ranMs < 0) return openMs - ranMs
  const unreportedMs = ranMs - (batch.expectedMs - batch.openMs) / cpus
  const oneEachMs = batch.openMs / batch.open / speed
  return Math.max(0, openMs - Math.min(Math.max(0, unreportedMs), oneEachMs))
}

/**
 * How much longer than expected a batch has been running: that one is taken to go on for as long again, so that nobody waits for ever
 * for a worker that hangs.
 */
function overdueMs(batch: Batch, cpus: number, startupMs: number, nowMs: number): number {
  return Math.max(0, nowMs - batch.assignedAtMs - startupMs - batch.expectedMs / cpus)
}

/** Of what is queued for the first time, the longest; the queue is in that order. */
function longestMs({ run, group }: Undivided): number {
  const index = group.queue[group.queueHead]
  return index === undefined ? 0 : expectedMs(run, run.tasks[index]!)
}

/** Kept for as long as the fleet stays as it is. */
const fastest = new WeakMap<object, number>()

function fastestOf({ run, fleet, speed }: Undivided): number {
  const key = speed === measuredSpeed ? fleet.workers : fleet
  let most = fastest.get(key)
  if (most === undefined) {
    most = fleet.workers.reduce((so, worker) => Math.max(so, speed(run, worker)), 0)
    fastest.set(key, most)
  }
  return most
}
