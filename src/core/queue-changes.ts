/**
 * Which runs came to have something to hand out, or no more of it, or are served in another order now: what keeps an
 * order of waiting runs true without walking all of them for every decision. A list with a position, like a log: whoever
 * keeps an order remembers how far it has read. The same of projects and users that came to hold more or less, and of
 * workers that came to have less or more to give.
 * Follows from what happens; a snapshot doesn't hold it.
 */
import type { RunId, WorkerId } from './entities.ts'

export type QueueChanges = {
  /** Position of the first one in `runs`. */
  from: number
  runs: RunId[]
}

export type SpentChanges = {
  /** Position of the first one in `of`. */
  from: number
  /** A batch of the run, assigned then, began (1) or ended (-1) on the worker, which counts for its project and user. */
  of: {
    readonly run: RunId
    readonly worker: WorkerId
    readonly scopes: readonly [project: string, user: string]
    readonly assignedAtMs: number
    readonly by: 1 | -1
  }[]
}

/** Whoever is further behind than this looks at all runs, which costs no more. */
const keptMax = 20_000

export function emptyQueueChanges(): QueueChanges {
  return { from: 0, runs: [] }
}

export function emptySpentChanges(): SpentChanges {
  return { from: 0, of: [] }
}

/** Called by `apply`: a group of the run began or ceased to wait, or the run's state or priority is another. */
export function noteQueue(
  { queueChanges }: { readonly queueChanges: QueueChanges },
  run: { readonly id: RunId },
): void {
  const { runs } = queueChanges
  if (runs.length >= 2 * keptMax) {
    queueChanges.runs = runs.slice(-keptMax)
    queueChanges.from += runs.length - keptMax
  }
  queueChanges.runs.push(run.id)
}

/** Called by `apply`: a batch began or ended. */
export function noteSpent(
  { spentChanges }: { readonly spentChanges: SpentChanges },
  change: SpentChanges['of'][number],
): void {
  const { of } = spentChanges
  if (of.length >= 2 * keptMax) {
    spentChanges.of = of.slice(-keptMax)
    spentChanges.from += of.length - keptMax
  }
  spentChanges.of.push(change)
}

/** Called by `apply` when less or more of a run is left, which matters to those that are the more urgent the more that is. */
export function noteLeft(
  state: { readonly queueChanges: QueueChanges },
  run: { readonly id: RunId; readonly spec: { readonly deadlineAtMs?: number } },
): void {
  if (run.spec.deadlineAtMs !== undefined) noteQueue(state, run)
}
