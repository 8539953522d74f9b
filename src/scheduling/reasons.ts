/**
 * What stands in the way of work that waits, as data: each reason is something that `place` looks at, too, so that
 * nothing is said to be in the way of what is placed next, and something is of whatever is not placed (a test asks both
 * of random histories). Words are waiting-words.ts's business, times are expected.ts's.
 *
 * Reasons with `any` are about workers one by one: it is enough when one of them goes. All others must go.
 */
import { allowance, scopeAllowance } from '../core/breaker.ts'
import { classScope, workerScope } from '../core/breaker-state.ts'
import { dueTasks, isReady } from '../core/due.ts'
import type { BatchId, Lock, RunId, TaskIndex, TaskState, WorkerId } from '../core/entities.ts'
import { fits } from '../core/fit.ts'
import { cpusOf, lockInTheWay, obstacleOn, quotaInTheWay, sharesHost, type QuotaHit } from '../core/holdings.ts'
import { spentBelowAtMs, spentHoursMs } from '../core/spent.ts'
import type { Group, Run, State, Worker } from '../core/state.ts'
import { isTerminal } from '../core/task-state.ts'
import { placeOf, type Fleets, type View } from './fleet.ts'
import { batchEnds, type Interval } from './expected.ts'
import { nearestOf, type Lack } from './nearest.ts'
import { atWorkerLimit, holdsBatchOf, keeping } from './place.ts'
import { mayRunOn, whereabouts } from './whereabouts.ts'

export type Holder = {
  readonly run: RunId
  readonly batch: BatchId
  readonly worker: WorkerId
  readonly name: string
  readonly sinceMs: number
  /** When it is expected to end. */
  readonly ends: Interval
}

export type BusyWorker = {
  readonly worker: WorkerId
  readonly name: string
  /** What there isn't enough of. */
  readonly short: string
  readonly holders: readonly Holder[]
  /** When there may be room. */
  readonly free: Interval
}

export type Reason =
  | { readonly type: 'paused' }
  | { readonly type: 'cancelling'; readonly why: string }
  | {
      readonly type: 'after-runs'
      readonly runs: readonly { readonly run: RunId; readonly state: string; readonly when: 'passed' | 'finished' }[]
      readonly count: number
    }
  | {
      readonly type: 'after-tasks'
      readonly tasks: readonly { readonly task: TaskIndex; readonly file: string; readonly state: TaskState }[]
      readonly count: number
    }
  | { readonly type: 'back-off'; readonly untilMs: number }
  | {
      readonly type: 'class-breaker'
      readonly scope: string
      readonly stand: 'open' | 'half-open'
      readonly untilMs?: number
      readonly why: string
    }
  | { readonly type: 'workers-max'; readonly max: number }
  | {
      readonly type: 'lock'
      readonly name: string
      readonly mode: Lock['mode']
      readonly holders: readonly Holder[]
      readonly count: number
    }
  /** The run comes first and waits for that lock, too; or for the same project's or user's quota. */
  | { readonly type: 'lock-kept' | 'quota-kept'; readonly run: RunId }
  | { readonly type: 'no-worker' }
  | { readonly type: 'worker-breakers'; readonly count: number; readonly untilMs?: number }
  | {
      readonly type: 'no-fit'
      readonly connected: number
      readonly nearest: { readonly worker: WorkerId; readonly name: string; readonly lacks: readonly Lack[] }
    }
  | {
      readonly type: 'quota'
      readonly any: true
      readonly scope: string
      readonly of: QuotaHit['of']
      readonly used: number
      readonly max: number
      readonly freeAtMs?: number
    }
  | { readonly type: 'busy'; readonly any: true; readonly workers: readonly BusyWorker[]; readonly count: number }
  | { readonly type: 'reserved'; readonly any: true; readonly run: RunId; readonly count: number }
  | {
      readonly type: 'recycling'
      readonly any: true
      readonly worker: WorkerId
      readonly name: string
      readonly untilMs: number
    }
  | { readonly type: 'probing'; readonly any: true; readonly count: number }
  | { readonly type: 'avoided'; readonly any: true; readonly count: number; readonly untilMs: number }
  /** Nothing that is known: the strategy serves runs in no order, or others have their turn, too. */
  | { readonly type: 'scheduler'; readonly strategy: string }

/** What is known when somebody asks. */
export type Situation = {
  readonly view: View
  readonly fleets: Fleets
  /** Of the strategy that serves the run. */
  readonly strategy: string
  /** Runs that it serves and that have work to hand out, next one first; undefined = it has no order. */
  readonly order: readonly Run[] | undefined
  /** Other strategies serve other runs, and have their turn before it or after it. */
  readonly several: boolean
  readonly nowMs: number
}

/** Of tasks, holders and workers so many are named; the rest are counted. */
const shownMax = 5

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
  const lock = lockReason(state, group, situation.nowMs)
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

export function lockReason(state: State, group: Group, nowMs: number): Extract<Reason, { type: 'lock' }> | undefined {
  const hit = lockInTheWay(state, group.need)
  if (!hit) return undefined
  const holders = hit.holders.slice(0, shownMax).map((id) => holderOf(state, id, nowMs))
  return { type: 'lock', name: hit.lock.name, mode: hit.lock.mode, holders, count: hit.holders.length }
}

export function holderOf(state: State, id: BatchId, nowMs: number): Holder {
  const batch = state.batches.get(id)!
  return {
    run: batch.run,
    batch: id,
    worker: batch.worker,
    name: state.workers.get(batch.worker)?.name ?? batch.worker,
    sinceMs: batch.assignedAtMs,
    ends: batchEnds(state, batch, nowMs),
  }
}

export function quotaReason(state: State, hit: QuotaHit, nowMs: number): Extract<Reason, { type: 'quota' }> {
  const { scope, of, max } = hit
  const spent = state.spent.get(scope)
  const used = !spent ? 0 : of === 'cpuHours' ? spentHoursMs(spent, nowMs) / 3_600_000 : spent[of]
  const freeAtMs = of === 'cpuHours' && spent ? spentBelowAtMs(spent, max * 3_600_000, nowMs) : undefined
  return { type: 'quota', any: true, scope, of, used, max, ...(freeAtMs === undefined ? {} : { freeAtMs }) }
}

type NobodyReason = Extract<Reason, { type: 'no-worker' | 'worker-breakers' | 'no-fit' }>

/** Found once for all that ask for the same in view of the same fleets. */
const nobody = new WeakMap<Fleets, Map<string, NobodyReason>>()

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
  return { type: 'no-fit', connected: connected.length, nearest: { worker: worker.id, name: worker.name, lacks } }
}

/** None when some worker is free for it, or for whatever of the group is first. */
function workerReasons(
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
    } else if (obstacle)
      busy.push({ worker, short: 'name' in obstacle ? `${obstacle.type} ${obstacle.name}` : obstacle.type })
    else if (!sharesHost(group.need) && holdsBatchOf(run, worker)) busy.push({ worker, short: 'batch of this run' })
    else if (quota) found.set(`${quota.scope} ${quota.of}`, quotaReason(state, quota, nowMs))
    else if (allowance(state, run, worker) === 0) countUp(found, 'probing', { type: 'probing', any: true, count: 1 })
    else if (task?.again !== undefined && !mayRunOn(where, task, worker)) {
      const untilMs = Math.max(task.again.on?.untilMs ?? 0, task.again.avoid?.untilMs ?? 0)
      countUp(found, 'avoided', { type: 'avoided', any: true, count: 1, untilMs })
    } else free.push(worker)
  }
  const usable = new Set(free)
  for (const [keptRun, count] of keptFrom(situation, run, group, usable))
    found.set(`kept ${keptRun}`, { type: 'reserved', any: true, run: keptRun, count })
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

function keptBefore({ view, fleets, order = [], nowMs }: Situation, run: Run): ReturnType<typeof keeping> {
  const at = order.indexOf(run)
  return keeping(view, at < 0 ? [] : order.slice(0, at), fleets, nowMs)
}

/** What no worker is to blame for, and a run that comes first has been promised. */
function keptReasons(situation: Situation, run: Run, group: Group, lock: boolean): readonly Reason[] {
  const reasons: Reason[] = []
  const quotas = situation.view.state.shares.size > 0
  if (!quotas && group.need.locks === undefined) return reasons
  const types = new Set([...(lock ? [] : ['lock-kept' as const]), ...(quotas ? ['quota-kept' as const] : [])])
  for (const { run: first, kept } of keptBefore(situation, run)) {
    for (const type of types) {
      if (type === 'lock-kept' ? kept.mayLock(run, group.need) : kept.maySpend(run)) continue
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
  { view: { state }, nowMs }: Situation,
  run: Run,
  group: Group,
  busy: readonly { readonly worker: Worker; readonly short: string }[],
): Reason {
  const all = busy.map(({ worker, short }) => ({ worker, short, free: freeAt(state, run, group, worker, nowMs) }))
  all.sort((a, b) => a.free.fromMs - b.free.fromMs || (a.worker.id < b.worker.id ? -1 : 1))
  const workers = all.slice(0, shownMax).map(({ worker, short, free }) => ({
    worker: worker.id,
    name: worker.name,
    short,
    holders: [...worker.batches].slice(0, shownMax).map((id) => holderOf(state, id, nowMs)),
    free,
  }))
  return { type: 'busy', any: true, workers, count: busy.length }
}

/** When batches of the worker may have ended that leave enough; one that wants all of it waits for the last. */
function freeAt(state: State, run: Run, group: Group, worker: Worker, nowMs: number): Interval {
  const all = [...worker.batches].map((id) => state.batches.get(id)!)
  const own = sharesHost(group.need) ? [] : all.filter((batch) => batch.run === run.id)
  const ends = (own.length > 0 ? own : all)
    .map((batch) => ({ cpus: batch.cpus, ...batchEnds(state, batch, nowMs) }))
    .sort((a, b) => a.fromMs - b.fromMs)
  if (ends.length === 0) return { fromMs: nowMs, toMs: nowMs }
  const wanted = group.need.exclusive ? worker.capabilities.cpus : cpusOf(run, group.need, worker)
  let free = worker.capabilities.cpus - worker.cpusUsed
  let at = -1
  do {
    at += 1
    free += ends[at]!.cpus
  } while (free < wanted && at + 1 < ends.length)
  const { fromMs } = ends[at]!
  return { fromMs, toMs: Math.max(...ends.slice(0, at + 1).map((one) => one.toMs)) }
}
