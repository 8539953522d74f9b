/**
 * Whether a worker that is busy could soon take a batch: what decides if locks lie idle for a run that waits for more than
 * them. By the earliest that batches under way may end, so that where little is known of durations the answer is yes.
 */
import { needOf, obstacleOn, type Obstacle } from '../core/holdings.ts'
import type { Need } from '../core/entities.ts'
import { ownNumber } from '../core/fit.ts'
import type { Batch, Run, State, Worker } from '../core/state.ts'
import { batchEnds } from './expected.ts'
import { ageingMsPerPoint, deadlinePointsMax } from './urgency.ts'

/** A lock that is free for longer than this is better used by others. */
const soonMs = 60_000
/**
 * Who has waited for so long has its locks kept whatever else it waits for: the others that take them may take longer than
 * expected, and something else may be busy by then. As long as it may have to wait for a deadline of another run.
 */
const patienceMs = deadlinePointsMax * ageingMsPerPoint

/** Whether so much is kept for the run that it can't be held up by turns: by its quota, and by what else it needs. */
export function isOutOfPatience(run: Run, nowMs: number): boolean {
  return nowMs - run.createdAtMs >= patienceMs
}

/** Workers that are looked at; a decision must not cost more the more there are. */
const lookedAtMax = 64

/** Whether locks are to be kept for a batch of the run that some of these workers fit. */
export function wantsLocksKept(state: State, run: Run, need: Need, workers: readonly Worker[], nowMs: number): boolean {
  // One of so many will be free soon.
  if (workers.length > lookedAtMax || isOutOfPatience(run, nowMs)) return true
  for (const worker of workers) if (canTakeSoon(state, run, need, worker, nowMs)) return true
  return false
}

function canTakeSoon(state: State, run: Run, need: Need, worker: Worker, nowMs: number): boolean {
  const byMs = nowMs + soonMs
  if (worker.recycling && worker.recycling.untilMs > byMs) return false
  const obstacle = obstacleOn(state, run, need, worker)
  if (obstacle === undefined) return true
  let inTheWay = 0
  let leftOver = 0
  for (const id of worker.batches) {
    const batch = state.batches.get(id)!
    const part = partOf(state, batch, obstacle)
    if (batchEnds(state, batch, nowMs).fromMs <= byMs) inTheWay += part
    else leftOver += part
  }
  if (obstacle.type === 'exclusive' || obstacle.type === 'anti-affinity') return leftOver === 0
  // What another worker of its host has under way nobody knows here.
  return inTheWay + leftOver === 0 || obstacle.free + inTheWay >= obstacle.wanted
}

/** How much a batch has of what is missing. */
function partOf(state: State, batch: Batch, obstacle: Obstacle): number {
  const need = needOf(state.runs.get(batch.run)!, batch.kind)
  switch (obstacle.type) {
    case 'cpus':
      return batch.cpus
    case 'memory':
      return need.memoryBytes ?? 0
    case 'gpus':
      return batch.grant?.gpus?.length ?? 0
    case 'resource':
      return ownNumber(need.resources, obstacle.name)
    case 'exclusive':
      return 1
    case 'anti-affinity':
      return need.antiAffinity === obstacle.name ? 1 : 0
  }
}
