/**
 * Which runs came to have something to hand out, or no more of it, or are served in another order now: what keeps an
 * order of waiting runs true without walking all of them for every decision. A list with a position, like a log: whoever
 * keeps an order remembers how far it has read. Follows from what happens; a snapshot doesn't hold it.
 */
import type { RunId } from './entities.ts'

export type QueueChanges = {
  /** Position of the first one in `runs`. */
  from: number
  runs: RunId[]
}

/** Whoever is further behind than this looks at all runs, which costs no more. */
const keptMax = 20_000

export function emptyQueueChanges(): QueueChanges {
  return { from: 0, runs: [] }
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
