/**
 * When a worker that is busy may have room for a batch of a need, and which batches have to end for that: those that hold what
 * there isn't enough of. Cards, a host for itself and anti-affinity count by host, so the one in the way may be another
 * worker's. Cards are counted and not told apart, and of those that share one the first end counts. For people, never for
 * decisions.
 */
import { freeCards } from '../core/cards.ts'
import type { BatchId, Need } from '../core/entities.ts'
import { ownNumber } from '../core/fit.ts'
import { cpusOf, needOf, sharesHost } from '../core/holdings.ts'
import type { Batch, Group, Run, Worker } from '../core/state.ts'
import { batchFrees, later, moment, type Interval, type WatchedView } from './expected.ts'

/** `holders`: who ends first comes first; empty where nothing is in the way but the worker itself. */
export type RoomAt = { readonly free: Interval; readonly holders: readonly BatchId[] }

type Part = { readonly batch: Batch; readonly amount: number; readonly frees: Interval }

/** Batches of each host, whichever of its workers runs them. */
export function batchesByHost({ state }: WatchedView): ReadonlyMap<string, readonly BatchId[]> {
  const hosts = new Map<string, BatchId[]>()
  for (const { capabilities, batches } of state.workers.values()) {
    if (batches.size === 0) continue
    const known = hosts.get(capabilities.host)
    if (known) known.push(...batches)
    else hosts.set(capabilities.host, [...batches])
  }
  return hosts
}

/** `hosts`: as batchesByHost has found it. */
export function roomAt(
  view: WatchedView,
  { run, group }: { readonly run: Run; readonly group: Group },
  worker: Worker,
  hosts: ReadonlyMap<string, readonly BatchId[]>,
  nowMs: number,
): RoomAt {
  const { need } = group
  const { state } = view
  const { capabilities, held } = worker
  const partsOf = (ids: Iterable<BatchId>, amountOf: (batch: Batch, its: Need) => number): Part[] =>
    [...ids].flatMap((id) => {
      const batch = state.batches.get(id)!
      const amount = amountOf(batch, needOf(state.runs.get(batch.run)!, batch.kind))
      return amount > 0 ? [{ batch, amount, frees: batchFrees(view, batch, nowMs) }] : []
    })
  const here = worker.batches
  let wait: { free: Interval; holders: readonly Part[] } = { free: moment(nowMs), holders: [] }
  const until = (parts: readonly Part[], free: number, wanted: number): void => {
    const ending = enough(parts, wanted - free)
    for (const { frees } of ending) wait = { ...wait, free: later(wait.free, frees) }
    if (wait.holders.length === 0) wait = { ...wait, holders: ending }
  }
  if (!sharesHost(need)) {
    const own = partsOf(here, (batch) => (batch.run === run.id ? 1 : 0))
    until(own, 0, own.length)
  }
  const cpus = partsOf(here, (batch) => batch.cpus)
  until(cpus, capabilities.cpus - worker.cpusUsed, cpusOf(run, need, worker))
  if (need.memoryBytes !== undefined) {
    const parts = partsOf(here, (_, its) => its.memoryBytes ?? 0)
    until(parts, capabilities.memoryBytes - held.memoryBytes, need.memoryBytes)
  }
  for (const name in need.resources) {
    const parts = partsOf(here, (_, its) => ownNumber(its.resources, name))
    until(parts, ownNumber(capabilities.resources, name) - (held.resources.get(name) ?? 0), need.resources[name]!)
  }
  const there = hosts.get(capabilities.host) ?? []
  if (need.gpus !== undefined)
    until(
      partsOf(there, ({ grant }) => grant?.gpus?.length ?? 0),
      freeCards(state, worker, need.gpus).length,
      need.gpus.count,
    )
  const apart = partsOf(there, (_, its) => {
    if (need.exclusive || its.exclusive) return 1
    return need.antiAffinity !== undefined && need.antiAffinity === its.antiAffinity ? 1 : 0
  })
  until(apart, 0, apart.length)
  return { free: wait.free, holders: wait.holders.map(({ batch }) => batch.id) }
}

/** The first to end that come to so much together; all where they don't. */
function enough(parts: readonly Part[], missing: number): readonly Part[] {
  if (missing <= 0) return []
  const sorted = parts.toSorted((a, b) => a.frees.fromMs - b.frees.fromMs || (a.batch.id < b.batch.id ? -1 : 1))
  let sum = 0
  const at = sorted.findIndex(({ amount }) => (sum += amount) >= missing)
  return at < 0 ? sorted : sorted.slice(0, at + 1)
}
