/** Why no worker can take a batch now that could as a whole: what keeps each of them, and what is kept for others. */
import { allowance } from '../core/breaker.ts'
import type { BatchId, RunId, TaskIndex } from '../core/entities.ts'
import { cpusOf, holdsBatchOf, obstacleOn, quotaInTheWay, sharesHost, type QuotaHit } from '../core/holdings.ts'
import { spentBelowAtMs, spentHoursMs } from '../core/spent.ts'
import type { Group, Run, State, Worker } from '../core/state.ts'
import { Division } from './batch-size.ts'
import { batchFrees, silenceOf, type WatchedView } from './expected.ts'
import { Fleets, measuredSpeed } from './fleet.ts'
import { idleForMs } from './placement.ts'
import { keeping } from './reserve.ts'
import { shownMax, type Holder, type Reason, type Situation } from './reason.ts'
import { batchesByHost, roomAt } from './room-at.ts'
import { mayRunOn, whereabouts } from './whereabouts.ts'

/** None when some worker is free for it, or for whatever of the group is first. */
export function workerReasons(
  situation: Situation,
  run: Run,
  group: Group,
  workers: readonly Worker[],
  index: TaskIndex | undefined,
): readonly Reason[] {
  const { view, nowMs } = situation
  const { state } = view
  const task = index === undefined ? undefined : run.tasks[index]!
  const where = whereabouts(workers, nowMs)
  const found = new Map<string, Reason>()
  const busy: { readonly worker: Worker; readonly short: string }[] = []
  const free: Worker[] = []
  for (const worker of workers) {
    const obstacle = obstacleOn(state, run, group.need, worker)
    const quota = quotaInTheWay(state, run, group.need, cpusOf(run, group.need, worker), nowMs)
    if (worker.recycling && worker.recycling.untilMs > nowMs) {
      const { untilMs } = worker.recycling
      found.set('recycling', { type: 'recycling', any: true, worker: worker.id, name: worker.name, untilMs })
    } else if (quota) {
      // Before all that passes: a worker that gets free is of no use while the quota is spent.
      found.set(`${quota.scope} ${quota.of}`, quotaReason(state, quota, nowMs))
    } else if (obstacle)
      busy.push({ worker, short: 'name' in obstacle ? `${obstacle.type} ${obstacle.name}` : obstacle.type })
    else if (!sharesHost(group.need) && holdsBatchOf(run, worker)) busy.push({ worker, short: 'batch of this run' })
    else if (allowance(state, run, worker) === 0) countUp(found, 'probing', { type: 'probing', any: true, count: 1 })
    else if (task?.again !== undefined && !mayRunOn(where, task, worker)) {
      const untilMs = Math.max(task.again.on?.untilMs ?? 0, task.again.avoid?.untilMs ?? 0)
      countUp(found, 'avoided', { type: 'avoided', any: true, count: 1, untilMs })
    } else free.push(worker)
  }
  const usable = new Set(free)
  for (const [keptRun, count] of keptFrom(situation, run, group, usable))
    found.set(`kept ${keptRun}`, { type: 'reserved', any: true, run: keptRun, count })
  const left = leftIdle(situation, run, group, usable)
  if (left) found.set('left', left)
  if (usable.size > 0) return []
  return busy.length === 0 ? [...found.values()] : [busyReason(situation, run, group, busy), ...found.values()]
}

/** Takes those out of `usable` that are kept for runs which come first, and counts them by run. */
function keptFrom(situation: Situation, run: Run, group: Group, usable: Set<Worker>): ReadonlyMap<RunId, number> {
  const counts = new Map<RunId, number>()
  if (usable.size === 0) return counts
  for (const { run: first, kept } of keptBefore(situation, run)) {
    for (const worker of usable) {
      if (kept.mayUse(worker, group.need)) continue
      usable.delete(worker)
      counts.set(first.id, (counts.get(first.id) ?? 0) + 1)
    }
    if (usable.size === 0) break
  }
  return counts
}

/** Takes those out of `usable` that are too slow for all that is queued. */
function leftIdle(situation: Situation, run: Run, group: Group, usable: Set<Worker>): Reason | undefined {
  if (usable.size === 0 || group.batches.size === 0) return undefined
  const { view, speed, alone, nowMs } = situation
  const fleets = speed === measuredSpeed ? situation.fleets : new Fleets(view, speed)
  const startupMs = run.startupMs ?? run.spec.startupMs
  const undivided = { state: view.state, run, group, fleet: fleets.of(run, group), speed, startupMs, nowMs }
  // The same for all of them.
  const division = new Division(undivided, alone)
  let left: Extract<Reason, { type: 'sooner-elsewhere' }> | undefined
  for (const worker of usable) {
    const doneMs = idleForMs(division, worker)
    if (doneMs === undefined) continue
    usable.delete(worker)
    left = { type: 'sooner-elsewhere', any: true, count: (left?.count ?? 0) + 1, doneMs: nowMs + doneMs }
  }
  return left
}

function keptBefore({ view, fleets, order = [], nowMs }: Situation, run: Run): ReturnType<typeof keeping> {
  const at = order.indexOf(run)
  return keeping(view, at < 0 ? [] : order.slice(0, at), fleets, nowMs)
}

/** What no worker is to blame for, and a run that comes first has been promised. */
export function keptReasons(situation: Situation, run: Run, group: Group, lock: boolean): readonly Reason[] {
  const reasons: Reason[] = []
  const quotas = situation.view.state.shares.size > 0
  if (!quotas && group.need.locks === undefined) return reasons
  const types = new Set([...(lock ? [] : ['lock-kept' as const]), ...(quotas ? ['quota-kept' as const] : [])])
  const { state } = situation.view
  const { cpus = 1, gpus } = group.need
  const part = { cpus, gpus: gpus?.count ?? 0 }
  for (const { run: first, kept } of keptBefore(situation, run)) {
    const maySpend = () => kept.maySpend(run) && kept.leavesQuota(state, run, part)
    for (const type of types) {
      if (type === 'lock-kept' ? kept.mayLock(state, run, group.need) : maySpend()) continue
      types.delete(type)
      reasons.push({ type, run: first.id })
    }
    if (types.size === 0) break
  }
  return reasons
}

function countUp(
  found: Map<string, Reason>,
  key: string,
  reason: Extract<Reason, { readonly count: number; readonly any: true }>,
): void {
  const known = found.get(key) as typeof reason | undefined
  found.set(key, known ? { ...known, count: known.count + 1 } : reason)
}

/** Those that are free first come first. */
function busyReason(
  { view, nowMs }: Situation,
  run: Run,
  group: Group,
  busy: readonly { readonly worker: Worker; readonly short: string }[],
): Reason {
  const hosts = batchesByHost(view)
  const all = busy.map(({ worker, short }) => ({
    worker,
    short,
    ...roomAt(view, { run, group }, worker, hosts, nowMs),
  }))
  all.sort((a, b) => a.free.fromMs - b.free.fromMs || (a.worker.id < b.worker.id ? -1 : 1))
  const workers = all.slice(0, shownMax).map(({ worker, short, free, holders }) => ({
    worker: worker.id,
    name: worker.name,
    short,
    holders: holders.slice(0, shownMax).map((id) => holderOf(view, id, nowMs)),
    free,
  }))
  return { type: 'busy', any: true, workers, count: busy.length }
}

export function holderOf(view: WatchedView, id: BatchId, nowMs: number): Holder {
  const { state } = view
  const batch = state.batches.get(id)!
  const silent = silenceOf(view, batch, nowMs)
  return {
    run: batch.run,
    batch: id,
    worker: batch.worker,
    name: state.workers.get(batch.worker)?.name ?? batch.worker,
    sinceMs: batch.assignedAtMs,
    ends: batchFrees(view, batch, nowMs),
    ...(silent === undefined ? {} : { silent }),
  }
}

export function quotaReason(state: State, hit: QuotaHit, nowMs: number): Extract<Reason, { type: 'quota' }> {
  const { scope, of, max } = hit
  const spent = state.spent.get(scope)
  const used = !spent ? 0 : of === 'cpuHours' ? spentHoursMs(spent, nowMs) / 3_600_000 : spent[of]
  const freeAtMs = of === 'cpuHours' && spent ? spentBelowAtMs(spent, max * 3_600_000, nowMs) : undefined
  return { type: 'quota', any: true, scope, of, used, max, ...(freeAtMs === undefined ? {} : { freeAtMs }) }
}
