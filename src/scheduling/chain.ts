/**
 * The longest chain of work of which each piece waits for the one before it: however many workers there are, nothing is over
 * sooner. Of what comes after something unknown or goes round in a circle nothing is counted.
 */
import { expectedMs, type Run } from '../core/state.ts'

/** `after`: for each piece that others come after, those others. `ownMs`: undefined of what doesn't count. */
export function longestChainMs(
  after: ReadonlyMap<number, readonly number[]>,
  ownMs: (piece: number) => number | undefined,
): number {
  const open = new Map<number, number>()
  for (const [before, pieces] of after) {
    if (ownMs(before) === undefined) continue
    for (const piece of pieces) if (ownMs(piece) !== undefined) open.set(piece, (open.get(piece) ?? 0) + 1)
  }
  const startsMs = new Map<number, number>()
  const ready = [...after.keys()].filter((piece) => !open.has(piece) && ownMs(piece) !== undefined)
  let longestMs = 0
  for (let piece = ready.pop(); piece !== undefined; piece = ready.pop()) {
    const endsMs = (startsMs.get(piece) ?? 0) + ownMs(piece)!
    longestMs = Math.max(longestMs, endsMs)
    for (const next of after.get(piece) ?? []) {
      const left = open.get(next)
      if (left === undefined) continue
      startsMs.set(next, Math.max(startsMs.get(next) ?? 0, endsMs))
      if (left > 1) open.set(next, left - 1)
      else ready.push(next)
    }
  }
  return longestMs
}

/** It changes only as tasks begin and end, and is asked for again and again. */
const known = new WeakMap<Run, { readonly blocked: number; readonly queued: number; readonly ms: number }>()

/** Graphs with more pairs are looked at when they come, and not again with every task that ends. */
const pairsMax = 20_000

/** Of what has not begun, on a machine of speed 1. */
export function chainMs(run: Run): number {
  const { blocked, queued } = run.byState
  if (blocked === 0 || run.dependencies === undefined) return 0
  const kept = known.get(run)
  if (kept?.blocked === blocked && kept.queued === queued) return kept.ms
  const { dependents } = run.dependencies
  if (kept !== undefined && isLarge(dependents)) return 0
  const ms = longestChainMs(dependents, (index) => {
    const task = run.tasks[index]!
    return task.state === 'blocked' || task.state === 'queued' ? expectedMs(run, task) : undefined
  })
  known.set(run, { blocked, queued, ms })
  return ms
}

function isLarge(dependents: ReadonlyMap<number, readonly number[]>): boolean {
  let pairs = 0
  for (const pieces of dependents.values()) if ((pairs += pieces.length) > pairsMax) return true
  return false
}
