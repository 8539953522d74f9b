/**
 * What can be said of a run when it comes, and while it waits: that it can't be over by its deadline even if every
 * worker that fits had nothing else to do, that others are likely to make it late, or that a part of it fits nobody.
 * Of a run whose files nobody has ever timed nothing is said about its deadline.
 */
import type { Group, Run, State, Worker } from '../core/state.ts'
import { formatDuration } from '../stdx/duration.ts'
import { chainMs } from './chain.ts'
import { batchEnds } from './expected.ts'
import { isAvailable, speedOf, type Fleets, type View } from './fleet.ts'
import type { Forecast } from './forecast.ts'
import { nobodyReason } from './reasons.ts'
import { reasonWords } from './waiting-words.ts'

export type Lateness =
  /** Alone on all workers that fit it would need more than there is. */
  | { readonly type: 'impossible'; readonly needMs: number; readonly leftMs: number; readonly workers: number }
  /** It would be in time if it began soon enough. */
  | { readonly type: 'likely'; readonly needMs: number; readonly leftMs: number; readonly startsInMs: number }
  | { readonly type: 'missed'; readonly sinceMs: number }

export function latenessOf(
  state: State,
  run: Run,
  fleets: Fleets,
  forecast: Forecast | undefined,
  nowMs: number,
): Lateness | undefined {
  const { deadlineAtMs } = run.spec
  if (deadlineAtMs === undefined || run.state === 'finished') return undefined
  const leftMs = deadlineAtMs - nowMs
  if (leftMs <= 0) return { type: 'missed', sinceMs: -leftMs }
  if (run.knownCount === 0 || run.open) return undefined
  const alone = aloneMs(state, run, fleets, nowMs)
  if (alone === undefined) return undefined
  const { needMs, workers } = alone
  if (needMs > leftMs) return { type: 'impossible', needMs, leftMs, workers }
  const startsInMs = run.startedAtMs === undefined ? (forecast?.startsInMs ?? 0) : 0
  return startsInMs + needMs > leftMs ? { type: 'likely', needMs, leftMs, startsInMs } : undefined
}

/** `by`: the deadline in words. */
export function latenessWords(lateness: Lateness, by: string): string {
  if (lateness.type === 'missed') return `is past its deadline, ${by}, by ${formatDuration(lateness.sinceMs)}`
  const { needMs, leftMs } = lateness
  const left = `${formatDuration(leftMs)} are left`
  if (lateness.type === 'impossible') {
    const { workers } = lateness
    const who = workers === 1 ? 'the only worker that fits' : `the ${workers} workers that fit`
    return `can't finish by ${by}: needs about ${formatDuration(needMs)} on ${who}, and ${left}`
  }
  const waits = formatDuration(lateness.startsInMs)
  return `is likely to miss ${by}: waits about ${waits} first, then needs about ${formatDuration(needMs)}, and ${left}`
}

type Alone = { readonly needMs: number; readonly workers: number }

/** The longer of what runs and what has not begun; undefined when neither says anything. */
function aloneMs(state: State, run: Run, fleets: Fleets, nowMs: number): Alone | undefined {
  const waiting = waitingMs(run, fleets)
  const batches = [...run.batches].map((id) => state.batches.get(id)!)
  // The earliest that they are likely to end: nobody shall be told that something can't be that then is.
  const runningMs = batches.reduce((most, batch) => Math.max(most, batchEnds(state, batch, nowMs).fromMs - nowMs), 0)
  if (runningMs <= (waiting?.needMs ?? 0)) return waiting
  return { needMs: runningMs, workers: new Set(batches.map((batch) => batch.worker)).size }
}

/** Start-up, and what has not begun, on all workers that fit; undefined when nobody fits or nothing is left to begin. */
function waitingMs(run: Run, fleets: Fleets): Alone | undefined {
  const workers = new Set<Worker>()
  const seen = new Set<readonly Worker[]>()
  const blockedMs = run.tasks.length === 0 ? 0 : (run.expectedMs * run.byState.blocked) / run.tasks.length
  let allMs = blockedMs
  let mostMs = 0
  for (const group of run.groups) {
    if (group.queuedCount === 0 && run.byState.blocked === 0) continue
    const fleet = fleets.of(run, group)
    // Groups that ask for the same have the same list.
    if (!seen.has(fleet.workers)) for (const worker of fleet.workers) workers.add(worker)
    seen.add(fleet.workers)
    allMs += group.queuedMs
    if (fleet.cpus > 0) mostMs = Math.max(mostMs, group.queuedMs / fleet.cpus)
  }
  if (workers.size === 0 || allMs === 0) return undefined
  let cpus = 0
  let fastest = 0
  for (const worker of workers) {
    cpus += worker.capabilities.cpus * speedOf(worker)
    fastest = Math.max(fastest, speedOf(worker))
  }
  const longestMs = run.startedAtMs === undefined ? run.expectedLongestMs / fastest : 0
  const startupMs = run.startupMs ?? run.spec.startupMs
  const needMs = startupMs + Math.max(mostMs, allMs / cpus, longestMs, chainMs(run) / fastest)
  return { needMs, workers: workers.size }
}

/** What keeps a part of the run from ever running with the workers that are connected; undefined when some worker fits each part. */
export function noFitWords(view: View, run: Run, fleets: Fleets, nowMs: number): string | undefined {
  const group = run.groups.find((one) => fleets.of(run, one).workers.length === 0 && waits(run, one))
  if (group === undefined || ![...view.state.workers.values()].some((worker) => isAvailable(view, worker)))
    return undefined
  const reason = nobodyReason(view, run, group, fleets)
  return reason.type === 'no-fit' ? reasonWords(reason, nowMs) : undefined
}

function waits(run: Run, group: Group): boolean {
  return group.queuedCount > 0 || (run.byState.blocked > 0 && blockedKinds(run).has(group.kind))
}

/** Groups with blocked tasks. Tasks are blocked from the start or never, so while as many are, they are the same ones. */
const blocked = new WeakMap<Run, { readonly count: number; readonly kinds: ReadonlySet<number> }>()

function blockedKinds(run: Run): ReadonlySet<number> {
  const count = run.byState.blocked
  const known = blocked.get(run)
  if (known?.count === count) return known.kinds
  const kinds = new Set<number>()
  for (const task of run.tasks) if (task.state === 'blocked') kinds.add(task.kind)
  blocked.set(run, { count, kinds })
  return kinds
}
