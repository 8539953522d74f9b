/**
 * CPU time that a project or a user has had within the last hour: its batches' CPUs times their time, of those that
 * ended in slots of five minutes, and of those that run up to now. Whole numbers, so that every coordinator comes to the
 * same sum, in whatever order it came to know of them.
 */
import { ruleOfScope, type Shares } from './shares.ts'
import type { Batch, Spent, State } from './state.ts'

const slotMs = 300_000
const windowMs = 3_600_000
/** Moments are counted from here, so that the products with CPUs stay exact. */
const originMs = 1_700_000_000_000

export function emptySpent(): Spent {
  return { cpus: 0, gpus: 0, batches: 0, sinceCpuMs: 0, slots: [] }
}

/** CPU-milliseconds of the last hour. Of what has run for longer than that, an hour counts. */
export function spentHoursMs(spent: Spent, nowMs: number): number {
  let sumMs = Math.min(spent.cpus * windowMs, Math.max(0, spent.cpus * (nowMs - originMs) - spent.sinceCpuMs))
  for (const slot of spent.slots) if (isWithin(slot.atMs, nowMs)) sumMs += slot.cpuMs
  return sumMs
}

/** When the slot ends that a moment is in: until then only batches that begin or end change who has had more by then. */
export function slotEndMs(nowMs: number): number {
  return (Math.floor(nowMs / slotMs) + 1) * slotMs
}

/** A slot of a clock that was ahead doesn't count before its time. */
function isWithin(slotAtMs: number, nowMs: number): boolean {
  return slotAtMs <= nowMs && slotAtMs + slotMs + windowMs > nowMs
}

/** When so much of it is over that less than `maxMs` counts, should nothing run; undefined when that is so now. */
export function spentBelowAtMs(spent: Spent, maxMs: number, nowMs: number): number | undefined {
  let sumMs = spentHoursMs(spent, nowMs)
  for (const slot of spent.slots.toSorted((a, b) => a.atMs - b.atMs)) {
    if (sumMs < maxMs) return undefined
    if (!isWithin(slot.atMs, nowMs)) continue
    sumMs -= slot.cpuMs
    if (sumMs < maxMs) return slot.atMs + slotMs + windowMs
  }
  return undefined
}

/** Called by `apply` when the batch begins (1) or has ended (-1). */
export function countRunning(spent: Spent, batch: Batch, by: 1 | -1): void {
  spent.sinceCpuMs += by * batch.cpus * (Math.round(batch.assignedAtMs) - originMs)
}

/** Called by `apply` when the batch has ended: what it took counts in the slots in which it ran. */
export function spendBatch(spent: Spent, batch: Batch, atMs: number): void {
  const endMs = Math.round(atMs)
  let fromMs = Math.max(Math.round(batch.assignedAtMs), endMs - windowMs)
  while (fromMs < endMs) {
    const startMs = Math.floor(fromMs / slotMs) * slotMs
    const untilMs = Math.min(endMs, startMs + slotMs)
    addToSlot(spent, startMs, (untilMs - fromMs) * batch.cpus)
    fromMs = untilMs
  }
  while (spent.slots.length > 0 && spent.slots.at(-1)!.atMs + slotMs + windowMs <= endMs) spent.slots.pop()
}

function addToSlot({ slots }: Spent, atMs: number, cpuMs: number): void {
  // The newest first, and there are a dozen at most.
  let at = 0
  while (at < slots.length && slots[at]!.atMs > atMs) at += 1
  if (slots[at]?.atMs === atMs) slots[at]!.cpuMs += cpuMs
  else slots.splice(at, 0, { atMs, cpuMs })
}

/** Scopes that have had nothing for an hour and have nothing now are forgotten. */
export function forgetSpent(state: State): void {
  for (const [scope, spent] of state.spent)
    if (spent.batches === 0 && spentHoursMs(spent, state.atMs) === 0) state.spent.delete(scope)
}

/** No CPU is left of the scope's quota, or no time: whatever it is, nothing of the scope can begin. */
export function isShut(
  { shares, spent: all }: Pick<State, 'spent'> & { readonly shares: Shares },
  scope: string,
  nowMs: number,
): boolean {
  const rule = ruleOfScope(shares, scope)
  const spent = rule && all.get(scope)
  if (!rule || !spent) return false
  if (rule.cpus !== undefined && spent.batches > 0 && spent.cpus + 1 > rule.cpus) return true
  return rule.cpuHours !== undefined && spentHoursMs(spent, nowMs) >= rule.cpuHours * 3_600_000
}
