/**
 * CPU time that a project or a user has had within the last hour, in slots of five minutes: whole numbers, so that every
 * coordinator comes to the same sum. What a batch took counts when it ends, as its CPUs times its time.
 */
import type { Batch, Spent, State } from './state.ts'

const slotMs = 300_000
const windowMs = 3_600_000

/** CPU-milliseconds of the last hour. */
export function spentHoursMs(spent: Spent, nowMs: number): number {
  let sumMs = 0
  for (const slot of spent.slots) if (slot.atMs + slotMs + windowMs > nowMs) sumMs += slot.cpuMs
  return sumMs
}

/** When so much of it is over that less than `maxMs` counts; undefined when that is so now. */
export function spentBelowAtMs(spent: Spent, maxMs: number, nowMs: number): number | undefined {
  let sumMs = spentHoursMs(spent, nowMs)
  for (let at = spent.slots.length - 1; at >= 0 && sumMs >= maxMs; at -= 1) {
    const slot = spent.slots[at]!
    const endsMs = slot.atMs + slotMs + windowMs
    if (endsMs <= nowMs) continue
    sumMs -= slot.cpuMs
    if (sumMs < maxMs) return endsMs
  }
  return undefined
}

export function spendBatch(spent: Spent, batch: Batch, atMs: number): void {
  const cpuMs = Math.max(0, Math.round(atMs - batch.assignedAtMs)) * batch.cpus
  if (cpuMs === 0) return
  const startMs = atMs - (atMs % slotMs)
  const newest = spent.slots[0]
  if (newest?.atMs === startMs) newest.cpuMs += cpuMs
  else spent.slots.unshift({ atMs: startMs, cpuMs })
  while (spent.slots.at(-1)!.atMs + slotMs + windowMs <= atMs) spent.slots.pop()
}

/** Scopes that have had nothing for an hour and have nothing now are forgotten. */
export function forgetSpent(state: State): void {
  for (const [scope, spent] of state.spent)
    if (spent.batches === 0 && spentHoursMs(spent, state.atMs) === 0) state.spent.delete(scope)
}
