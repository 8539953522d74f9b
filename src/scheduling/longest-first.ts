/**
 * Who would run what if all that a run has left were divided now: longest first, each file to the CPU that would be done with it
 * first, those that are busy included (Graham 1969). That counts where there are few files for each CPU, above all on workers
 * with several CPUs or of different speeds: there sums (level.ts) say too little. Only those that are free now are given what
 * is theirs; what is left is divided anew when somebody comes back.
 *
 * Left out: so many files that a single one makes no difference, large fleets, runs that share their workers with others,
 * and needs about more than CPUs.
 */
import type { Need, TaskIndex } from '../core/entities.ts'
import { cpusOf, obstacleOn, sharesHost } from '../core/holdings.ts'
import { expectedMs, type Batch, type Run, type Worker } from '../core/state.ts'
import type { Undivided } from './level.ts'

/** What is one worker's, longest first. */
export type Deal = {
  readonly tasks: TaskIndex[]
  /** Of each: on which of its CPUs, and when that would be done with it; in milliseconds of the reference machine. */
  readonly lanes: number[]
  readonly endsMs: number[]
  /** When all would be done. */
  lastMs: number
  workMs: number
  squares: number
}

const workersMax = 64
const tasksMax = 1024
/** Tasks under way that are looked at. */
const underWayMax = 1024
/** With more tasks for each CPU, sums even out more of what estimates get wrong; where all workers have one CPU, from fewer on. */
const perCpuMax = { single: 10, several: 24 }
/** With so few for each CPU, wherever a long one is put, another one has to give way. */
const riskyPerCpu = 5
/**
 * Workers with one CPU come back often where a start-up is less than such a part of what is left for each: then there is always
 * somebody to even things out, and it would cost too much to divide all of it each time.
 */
const cheapStart = 300

/** By worker that is free, or was at this moment. `deviation`: of what a file is expected to need, as a part of it. */
export function dealsOf(undivided: Undivided, deviation: number): ReadonlyMap<Worker, Deal> | undefined {
  const { state, run, group, fleet } = undivided
  if (fleet.workers.length > workersMax || run.tasks.length > tasksMax) return undefined
  // While others wait, those who come back may not come back to this run.
  if (state.queuedCount !== group.queuedCount || state.shares.size > 0 || state.breakers.notClosed.size > 0)
    return undefined
  if (!isPlain(group.need) || group.laterCount > 0 || comeBackOften(undivided)) return undefined
  for (const index of group.again) if (run.tasks[index]!.state === 'queued') return undefined
  const pools = poolsOf(undivided)
  return pools === undefined ? undefined : divide(undivided, pools, deviation)
}

function comeBackOften({ state, group, fleet, startupMs, nowMs }: Undivided): boolean {
  const [id] = group.batches
  const oldest = id === undefined ? undefined : state.batches.get(id)!
  if (oldest === undefined || oldest.assignedAtMs === nowMs || oldest.cpus > 1) return false
  return group.queuedMs >= cheapStart * startupMs * fleet.cpus
}

function isPlain(need: Need): boolean {
  if (sharesHost(need) || need.exclusive || need.batchMax !== undefined) return false
  return need.locks === undefined && need.spread === undefined && need.antiAffinity === undefined
}

/** CPUs of workers of one speed, as a heap: the one that is free first comes first. */
type Pool = { readonly speed: number; readonly lanes: Lane[] }
type Lane = {
  readonly at: number
  readonly fromMs: number
  endMs: number
  readonly worker: Worker
  readonly deal?: Deal
}

/** The fastest first; undefined when not all of them can be counted on. */
function poolsOf(undivided: Undivided): readonly Pool[] | undefined {
  const { state, run, group, fleet, speed, startupMs, nowMs } = undivided
  const bySpeed = new Map<number, Lane[]>()
  let count = 0
  let sum = 0
  let underWay = 0
  for (const worker of fleet.workers) {
    const own = speed(run, worker)
    const cpus = cpusOf(run, group.need, worker)
    let fromMs = startupMs
    let deal: Deal | undefined
    const [id] = worker.batches
    const batch = id === undefined ? undefined : state.batches.get(id)!
    if (batch !== undefined && (worker.batches.size > 1 || !group.batches.has(batch.id))) return undefined
    if (batch !== undefined && batch.assignedAtMs < nowMs) {
      underWay += batch.tasks.length
      if (underWay > underWayMax) return undefined
      fromMs += busyForMs(run, batch, own, startupMs, nowMs)
    } else {
      if (batch === undefined && !isFree(undivided, worker)) return undefined
      deal = { tasks: [], lanes: [], endsMs: [], lastMs: 0, workMs: 0, squares: 0 }
    }
    let lanes = bySpeed.get(own)
    if (lanes === undefined) bySpeed.set(own, (lanes = []))
    for (let at = 0; at < cpus; at += 1)
      lanes.push({ at, fromMs, endMs: fromMs, worker, ...(deal === undefined ? {} : { deal }) })
    count += cpus
    sum += cpus * own
  }
  // Its run may not have all of them at once.
  if (sum > fleet.cpus * (1 + 1e-9)) return undefined
  if (run.tasks.length > count * (count > fleet.workers.length ? perCpuMax.several : perCpuMax.single)) return undefined
  const pools = Array.from(bySpeed, ([own, lanes]) => ({ speed: own, lanes }))
  for (const { lanes } of pools) lanes.sort((a, b) => a.endMs - b.endMs)
  return pools.sort((a, b) => b.speed - a.speed)
}

function isFree({ state, run, group, nowMs }: Undivided, worker: Worker): boolean {
  if (worker.recycling !== undefined && worker.recycling.untilMs > nowMs) return false
  return obstacleOn(state, run, group.need, worker) === undefined
}

/**
 * Its files go to its CPUs as they come. A batch that takes longer than expected is taken to go on for as long again, so that nobody
 * waits for ever for a worker that hangs.
 */
function busyForMs(run: Run, batch: Batch, speed: number, startupMs: number, nowMs: number): number {
  const ends: number[] = Array.from({ length: Math.min(batch.cpus, batch.tasks.length) }, () => 0)
  let lastMs = 0
  for (const index of batch.tasks) {
    const task = run.tasks[index]!
    let first = 0
    for (let lane = 1; lane < ends.length; lane += 1) if (ends[lane]! < ends[first]!) first = lane
    ends[first]! += expectedMs(run, task) / speed
    if (task.batch === batch.id && ends[first]! > lastMs) lastMs = ends[first]!
  }
  return Math.abs(batch.assignedAtMs + startupMs + lastMs - nowMs)
}

function divide(undivided: Undivided, pools: readonly Pool[], deviation: number): ReadonlyMap<Worker, Deal> {
  const { run } = undivided
  const deals = new Map<Worker, Deal>()
  let count = 0
  let isFirst = true
  for (const { lanes } of pools) {
    count += lanes.length
    for (const { worker, deal } of lanes) {
      if (deal === undefined) isFirst = false
      else deals.set(worker, deal)
    }
  }
  const tasks = undividedTasks(undivided)
  // What a long file is off by weighs less the faster its worker is, and there are short ones for the others.
  const care = isFirst && tasks.length > riskyPerCpu * count ? 1 + 2 * deviation : 1
  for (const index of tasks) give(pools, index, expectedMs(run, run.tasks[index]!), care)
  return deals
}

/** What is queued, and what was given out at this very moment: so that it is divided alike, whoever is asked about first. */
function undividedTasks({ state, run, group, nowMs }: Undivided): readonly TaskIndex[] {
  const { queue } = group
  const tasks: TaskIndex[] = []
  for (let at = group.queueHead; at < queue.length; at += 1)
    if (run.tasks[queue[at]!]!.state === 'queued') tasks.push(queue[at]!)
  for (const id of group.batches) {
    const batch = state.batches.get(id)!
    if (batch.assignedAtMs === nowMs) for (const index of batch.tasks) tasks.push(index)
  }
  const lengthOf = (index: TaskIndex) => expectedMs(run, run.tasks[index]!)
  // What came later stands at the end of the queue, however long it is.
  return tasks.sort((a, b) => lengthOf(b) - lengthOf(a) || a - b)
}

function give(pools: readonly Pool[], task: TaskIndex, workMs: number, care: number): void {
  let best = pools[0]!
  let bestMs = Infinity
  for (const pool of pools) {
    const endMs = pool.lanes[0]!.endMs + (workMs * care) / pool.speed
    if (endMs >= bestMs) continue
    best = pool
    bestMs = endMs
  }
  const { speed, lanes } = best
  const lane = lanes[0]!
  lane.endMs += workMs / speed
  const { deal } = lane
  if (deal !== undefined) {
    const endMs = (lane.endMs - lane.fromMs) * speed
    deal.tasks.push(task)
    deal.lanes.push(lane.at)
    deal.endsMs.push(endMs)
    deal.lastMs = Math.max(deal.lastMs, endMs)
    deal.workMs += workMs
    deal.squares += workMs ** 2
  }
  sink(lanes)
}

/** The first has become later. */
function sink(lanes: Lane[]): void {
  const moved = lanes[0]!
  let at = 0
  for (;;) {
    let child = 2 * at + 1
    if (child >= lanes.length) break
    if (child + 1 < lanes.length && lanes[child + 1]!.endMs < lanes[child]!.endMs) child += 1
    if (lanes[child]!.endMs >= moved.endMs) break
    lanes[at] = lanes[child]!
    at = child
  }
  lanes[at] = moved
}

/** Sums of estimates are compared with what they add up to. */
const tolerance = 1 + 1e-9
/** Several CPUs even out between them what so few files for each are off by. */
const fewPerCpu = 4

/**
 * Without what ends last, so much of it that each CPU is done so much sooner. Where CPUs would stand idle for longer then, until the
 * last of them is done, all of it.
 */
export function shortened(
  { tasks, lanes, endsMs, lastMs, workMs }: Deal,
  cpus: number,
  byMs: number,
): readonly number[] {
  if (cpus > 1 && tasks.length <= fewPerCpu * cpus) return tasks
  const untilMs = Math.max(endsMs[0] ?? 0, lastMs - byMs) * tolerance
  const kept = tasks.filter((_, at) => endsMs[at]! <= untilMs)
  if (cpus === 1) return kept
  const ends: number[] = Array.from({ length: cpus }, () => 0)
  for (let at = 0; at < tasks.length; at += 1) if (endsMs[at]! <= untilMs) ends[lanes[at]!] = endsMs[at]!
  const idleMs = ends.reduce((sum, endMs) => sum - endMs, Math.max(...ends) * cpus)
  return idleMs > (lastMs * cpus - workMs) * tolerance ? tasks : kept
}
