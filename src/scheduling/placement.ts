/** The batch that a group is given on a worker. */
import { allowance } from '../core/breaker.ts'
import { isReady } from '../core/due.ts'
import { cpusOf, grantOf, quotaInTheWay } from '../core/holdings.ts'
import { expectedMs, type Group, type Run, type Task, type Worker } from '../core/state.ts'
import type { Division } from './batch-size.ts'
import type { Placement } from './ordering.ts'
import { pickTasks } from './pick-tasks.ts'
import { freeCpus, type Round } from './round.ts'
import { givenUp, mayRunOn, type Whereabouts, whereabouts } from './whereabouts.ts'

/** `alike`: free workers from this one on that are as fast; `last`: nobody else is free. */
export function placementOn(
  division: Division,
  worker: Worker,
  where: Whereabouts,
  alike: number,
  last: boolean,
): Placement | undefined {
  const { state, run, group, speed, startupMs, nowMs } = division.undivided
  const { need } = group
  const cpus = cpusOf(run, need, worker)
  if (quotaInTheWay(state, run, need, cpus, nowMs)) return undefined
  const tries = allowance(state, run, worker)
  const allowed = Math.min(tries, need.batchMax ?? Infinity)
  if (allowed === 0) return undefined
  const own = speed(run, worker)
  const room = division.room(worker, cpus, own, alike, last && freeCpus(worker) < 2 * cpus)
  const { targetMs } = room
  const may = (task: Task) => mayRunOn(where, task, worker)
  const tasksMax = Math.min(state.limits.batchTasksMax, allowed)
  let picked = pickTasks(run, group, room, tasksMax, nowMs, may)
  // All is for others, who are at work already or yet to be asked.
  if (room.dealt !== undefined && picked.tasks.length === 0 && (group.batches.size > 0 || !last)) return undefined
  // All are too long for it; but it is left idle only where others are at work that would be done sooner with all of them.
  // Those others are not this run's alone while more runs wait: then it has the shortest.
  if (picked.tasks.length === 0) {
    const onlyRun = state.queuedCount === run.queuedCount
    const longestMs = onlyRun ? (division.othersMs - startupMs) * own : shortestMs(run, group)
    picked = pickTasks(run, group, { ...room, longestMs, dealt: undefined }, tasksMax, nowMs, may)
    if (picked.tasks.length === 0 && !onlyRun)
      picked = pickTasks(run, group, { ...room, longestMs: Infinity, dealt: undefined }, tasksMax, nowMs, may)
  }
  const { tasks } = picked
  if (tasks.length === 0) return undefined
  const words =
    tries < Infinity
      ? `${tasks.length} tasks to try whether a breaker can close`
      : targetMs === Infinity
        ? `the only host that fits; ${tasks.length} tasks at once`
        : `${tasks.length} tasks, about ${Math.round(targetMs)} ms of the ${Math.round(group.queuedMs)} ms left`
  const given = givenUp(run, tasks, worker)
  const why = given === '' ? words : `${words}; ${given}`
  const grant = grantOf(state, worker, need)
  if (grant === undefined) return { run: run.id, worker: worker.id, tasks, cpus, why }
  return { run: run.id, worker: worker.id, tasks, cpus, grant, why }
}

/** From there on, how many of the same speed follow each other. */
export function alikeFrom({ speed }: Round, run: Run, free: readonly Worker[], from: number): number {
  const own = speed(run, free[from]!)
  let at = from + 1
  while (at < free.length && speed(run, free[at]!) === own) at += 1
  return at - from
}

/** Of the queue's last task: it was in order when the run came. */
function shortestMs(run: Run, group: Group): number {
  const last = group.queue.at(-1)
  return last === undefined ? Infinity : expectedMs(run, run.tasks[last]!)
}

/**
 * For people: a worker that could take a batch now is left idle, because all that is queued is so long for it that those at
 * work on the group would be done with everything sooner. When they would be, in milliseconds from now; undefined =
 * it is not left idle.
 */
export function idleForMs(division: Division, worker: Worker): number | undefined {
  const { state, run, group, fleet, nowMs } = division.undivided
  if (group.batches.size === 0 || !isReady(run, group, nowMs)) return undefined
  // Those that are tried again go anywhere where they may.
  const again = group.again.filter((index) => run.tasks[index]!.state === 'queued').length
  if (group.queuedCount <= again + group.laterCount) return undefined
  if (placementOn(division, worker, whereabouts(fleet.workers, nowMs), 1, false) !== undefined) return undefined
  // Quotas and breakers keep it from all of them.
  return allowance(state, run, worker) === 0 ? undefined : division.othersMs
}
