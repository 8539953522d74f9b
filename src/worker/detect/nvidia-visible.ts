/**
 * Which NVIDIA cards this worker may give away, and under which names. The worker may itself have been given some
 * only; what it gives on lies inside that, in that order.
 *
 * CUDA_VISIBLE_DEVICES does not nest: a test's value replaces the worker's, and counts as the worker's did. So a card that was
 * named by its index keeps that index, and one named by its UUID that UUID. CUDA stops reading at the
 * first name that means nothing, and so does this; an empty value is no card at all.
 */
import type { Gpu } from '../../protocol/worker-messages.ts'
import type { Card, Slice } from './nvidia.ts'

export function visibleNvidia(
  { cards, listed }: { readonly cards: readonly Card[]; readonly listed: number },
  env: Readonly<Record<string, string | undefined>>,
  besidesOthers: boolean,
): Gpu[] {
  // CUDA leaves out what can't be used and counts slices in its own way; of another vendor's cards an index says nothing.
  const byUuid = besidesOthers || cards.length < listed || cards.some((card) => card.slices.length > 0)
  const there = inContainer(cards, listed, env['NVIDIA_VISIBLE_DEVICES'])
  const outer = env['CUDA_VISIBLE_DEVICES']
  if (outer === undefined) return there.flatMap((card) => gpusOf(card, byUuid ? card.uuid : String(card.index)))
  const gpus = new Map<string, Gpu>()
  const given = new Set<string>()
  for (const token of outer.split(',').map((part) => part.trim())) {
    const found = byToken(there, token, byUuid)
    if (found === undefined) break
    for (const { gpu, uuid } of found) {
      if (given.has(uuid)) continue
      given.add(uuid)
      gpus.set(gpu.id, gpu)
    }
  }
  return [...gpus.values()]
}

/**
 * NVIDIA_VISIBLE_DEVICES is read by the container's runtime, which has then left out the others and counts the rest from 0:
 * as many indices as cards are there have been obeyed already.
 */
function inContainer(cards: readonly Card[], listed: number, value: string | undefined): readonly Card[] {
  if (value === undefined || value === '' || value === 'all') return cards
  if (value === 'none' || value === 'void') return []
  const tokens = value.split(',').map((part) => part.trim())
  if (tokens.every((token) => /^\d+(:\d+)?$/.test(token))) {
    const wanted = new Set(tokens.map((token) => Number(token.split(':')[0])))
    return wanted.size === listed ? cards : cards.filter((card) => wanted.has(card.index))
  }
  return cards.flatMap((card) => {
    if (tokens.some((token) => token.startsWith('GPU-') && card.uuid.startsWith(token))) return [card]
    const slices = card.slices.filter((slice) => tokens.some((token) => slice.uuid === token))
    return slices.length > 0 ? [{ ...card, slices }] : []
  })
}

type Found = { readonly gpu: Gpu; readonly uuid: string }

function byToken(cards: readonly Card[], token: string, byUuid: boolean): Found[] | undefined {
  if (token.startsWith('MIG-')) {
    const matches = cards.flatMap((card) =>
      card.slices.filter((slice) => slice.uuid.startsWith(token)).map((slice) => sliceOf(card, slice)),
    )
    return matches.length === 1 ? matches.map((gpu) => ({ gpu, uuid: gpu.id })) : undefined
  }
  const isIndex = /^\d+$/.test(token)
  const matches = cards.filter((card) =>
    isIndex ? card.index === Number(token) : token.startsWith('GPU-') && card.uuid.startsWith(token),
  )
  const [card] = matches
  if (card === undefined || matches.length > 1) return undefined
  const gpus = gpusOf(card, isIndex && !byUuid ? token : card.uuid)
  return gpus.map((gpu) => ({ gpu, uuid: gpu.partOf === undefined ? card.uuid : gpu.id }))
}

function gpusOf(card: Card, id: string): Gpu[] {
  return card.slices.length > 0 ? card.slices.map((slice) => sliceOf(card, slice)) : [gpuOf(card, id)]
}

function gpuOf(card: Card, id: string): Gpu {
  return {
    id,
    uuid: card.uuid,
    vendor: 'nvidia',
    name: card.name,
    memoryBytes: card.memoryBytes,
    ...(card.driver === '' ? {} : { driver: card.driver }),
    ...(card.computeCapability === undefined ? {} : { computeCapability: card.computeCapability }),
  }
}

function sliceOf(card: Card, slice: Slice): Gpu {
  const { uuid: _, ...whole } = gpuOf(card, slice.uuid)
  return {
    ...whole,
    name: `${card.name} MIG ${slice.profile}`,
    memoryBytes: slice.memoryBytes,
    partOf: card.uuid,
  }
}
