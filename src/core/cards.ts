/**
 * Which cards batches use, by host: several workers of a host offer the same ones, and a worker may call a card otherwise
 * from one day to the next, also while a batch holds it. So a card counts under its UUID where that is known, and under
 * what its worker calls it where not. A slice (MIG) counts under its card's UUID and its own id: a card in use as a whole has
 * no free slices, and a card with a slice in use is not free as a whole.
 */
import type { Capabilities, Gpu, GpuNeed, Grant } from './entities.ts'
import { gpuFits } from './fit.ts'
import type { State, Worker } from './state.ts'

function keyOf({ id, uuid, partOf }: Gpu): string {
  return partOf === undefined ? (uuid ?? id) : `${partOf}/${id}`
}

/** A list of cards never changes: a worker with others has another list. */
const keys = new WeakMap<readonly Gpu[], ReadonlySet<string>>()

function keysOf(gpus: readonly Gpu[]): ReadonlySet<string> {
  let known = keys.get(gpus)
  if (known === undefined) {
    known = new Set(gpus.map(keyOf))
    keys.set(gpus, known)
  }
  return known
}

/** Under this all slices of a card count together. */
const slicesOf = (card: string) => `${card}/`

/**
 * Those that can be given away: a card that is cut into slices, which its worker offers beside it, is none any more, and
 * one that is listed twice is one.
 */
export function withCardsToGive(capabilities: Capabilities): Capabilities {
  const { gpus = [] } = capabilities
  const cut = new Set(gpus.flatMap((gpu) => gpu.partOf ?? []))
  const listed = new Set<string>()
  const counts = (gpu: Gpu): boolean => {
    if (gpu.partOf === undefined && (cut.has(keyOf(gpu)) || cut.has(gpu.id))) return false
    const names = [gpu.id, keyOf(gpu)]
    if (names.some((name) => listed.has(name))) return false
    for (const name of names) listed.add(name)
    return true
  }
  const kept = gpus.filter(counts)
  return kept.length === gpus.length ? capabilities : { ...capabilities, gpus: kept }
}

/** The grant, with which cards it is about. */
export function namingCards({ capabilities: { gpus = [] } }: Worker, grant: Grant): Grant {
  const { cards: _, ...rest } = grant
  const chosen = grant.gpus?.flatMap((id) => gpus.find((gpu) => gpu.id === id) ?? []) ?? []
  // Where only some have a name of their own, the others count under what they are called.
  if (chosen.every((gpu) => gpu.uuid === undefined && gpu.partOf === undefined)) return rest
  return { ...rest, cards: chosen.map(keyOf) }
}

/** Cards that a batch with this need could be given now, the one with least room first, so that large ones stay free. */
export function freeCards(state: State, worker: Worker, need: GpuNeed): string[] {
  const { count, memoryBytes = 0, exclusive = true } = need
  const { host, gpus = [] } = worker.capabilities
  const used = state.cards.get(host)
  if (used !== undefined && isInDoubt(state, worker)) return []
  const open: { readonly id: string; readonly left: number; readonly shared: boolean }[] = []
  for (const gpu of gpus) {
    const key = keyOf(gpu)
    const use = used?.get(key)
    if (!gpuFits(need, gpu) || (use && (exclusive || use.exclusive))) continue
    if (used?.has(gpu.partOf ?? slicesOf(key))) continue
    const left = gpu.memoryBytes - (use?.memoryBytes ?? 0)
    if (left >= memoryBytes) open.push({ id: gpu.id, left, shared: use !== undefined })
  }
  if (open.length > count) open.sort((a, b) => Number(b.shared) - Number(a.shared) || a.left - b.left)
  return open.map((gpu) => gpu.id)
}

/**
 * A batch of the worker holds a card that it doesn't list any more, and nobody can say whether that is one of those it
 * lists now: until the batch ends, each of them may be.
 */
function isInDoubt(state: State, { batches, capabilities: { gpus = [] } }: Worker): boolean {
  const listed = keysOf(gpus)
  for (const id of batches) {
    const { grant } = state.batches.get(id)!
    if (grant?.gpus === undefined) continue
    for (const key of cardsOf(grant)) {
      if (listed.has(key)) continue
      if (grant.cards === undefined || gpus.some((gpu) => gpu.uuid === undefined && gpu.partOf === undefined))
        return true
    }
  }
  return false
}

function cardsOf({ cards, gpus = [] }: Grant): readonly string[] {
  return cards ?? gpus
}

/** `by`: 1 = the batch begins, -1 = it has ended. */
export function useCards(cards: State['cards'], host: string, need: GpuNeed, grant: Grant, by: 1 | -1): void {
  let used = cards.get(host)
  if (!used) {
    used = new Map()
    cards.set(host, used)
  }
  const { exclusive = true, memoryBytes = 0 } = need
  for (const key of cardsOf(grant)) {
    const slash = key.indexOf('/')
    const of = grant.cards === undefined || slash < 0 ? [key] : [key, slicesOf(key.slice(0, slash))]
    for (const one of of) {
      const use = used.get(one) ?? { batches: 0, exclusive, memoryBytes: 0 }
      use.batches += by
      use.memoryBytes += by * memoryBytes
      if (use.batches === 0) used.delete(one)
      else used.set(one, use)
    }
  }
  if (used.size === 0) cards.delete(host)
}
