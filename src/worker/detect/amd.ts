/**
 * AMD cards, and which of them this worker may give away. Two variables lie on top of each
 * other: ROCR_VISIBLE_DEVICES chooses among all cards, and HIP_VISIBLE_DEVICES (or, for programs written
 * for CUDA, CUDA_VISIBLE_DEVICES) counts within what that left.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Gpu } from '../../protocol/worker-messages.ts'
import type { AmdCard, UnorderedCard } from './amd-card.ts'
import { askAmdSmi } from './amd-smi.ts'
import { kfdCards } from './kfd.ts'
import type { Host } from './probe.ts'
import { askRocmSmi } from './rocm-smi.ts'

/** Of the time that a tool has to answer. */
const alonePart = 10

/** amd-smi's, which is there since ROCm 6; else rocm-smi's; where neither is installed, the kernel's. Rejects when there is no answer. */
export async function amdCards(host: Host): Promise<AmdCard[]> {
  const question = { timeoutMs: host.askMs, env: host.env, signal: host.signal }
  const isMissing = (error: Error): boolean => error.message.endsWith('is not on PATH')
  const asked = askAmdSmi(question).catch((error: Error) => error)
  const quick = await Promise.race([asked, patience(host)])
  if (quick !== undefined && !(quick instanceof Error)) return ordered(quick)
  // One that is slow may hang: the other isn't kept waiting for that.
  const [newer, older] = await Promise.all([asked, askRocmSmi(question).catch((error: Error) => error)])
  if (!(newer instanceof Error)) return ordered(newer)
  if (!(older instanceof Error)) return ordered(older)
  if (!isMissing(newer)) throw newer
  if (!isMissing(older)) throw older
  const listed = await kfdCards(host)
  if (listed.length > 0) return ordered(listed)
  throw new Error('neither amd-smi nor rocm-smi is on PATH')
}

/** How long the first tool is asked alone. */
async function patience({ askMs, signal }: Host): Promise<undefined> {
  await sleep(askMs / alonePart, undefined, { signal, ref: false }).catch(() => undefined)
}

/** The tools count in the order of the bus, HIP in that of the compute nodes; cards that are none can't be used by it. */
function ordered(cards: readonly UnorderedCard[]): AmdCard[] {
  const byNode = cards.some((card) => card.node !== undefined)
  const usable = byNode ? cards.filter((card) => card.node !== undefined) : cards
  return usable
    .toSorted((a, b) => (a.node ?? a.index) - (b.node ?? b.index))
    .map((card, rank) => (byNode ? { ...card, index: rank } : card))
}

export function visibleAmd(cards: readonly AmdCard[], env: Readonly<Record<string, string | undefined>>): Gpu[] {
  const rocr = env['ROCR_VISIBLE_DEVICES']
  const hip = env['HIP_VISIBLE_DEVICES'] ?? env['CUDA_VISIBLE_DEVICES']
  const all = cards.map((card) => ({ card, id: String(card.index) }))
  const lower =
    rocr === undefined
      ? all
      : select(rocr, (token) => {
          const found = /^\d+$/.test(token)
            ? all.find(({ card }) => card.index === Number(token))
            : all.find(({ card }) => card.uuid !== undefined && card.uuid.toLowerCase() === token.toLowerCase())
          return found && { card: found.card, id: token }
        })
  const chosen =
    hip === undefined ? lower : select(hip, (token) => (/^\d+$/.test(token) ? lower[Number(token)] : undefined))
  return chosen.map(({ card, id }) => ({
    id,
    ...(card.uuid === undefined ? {} : { uuid: card.uuid }),
    vendor: 'amd',
    name: card.name,
    memoryBytes: card.memoryBytes,
    ...(card.driver === undefined ? {} : { driver: card.driver }),
  }))
}

/** Up to the first token that means nothing; nothing twice. */
function select<T>(list: string, find: (token: string) => T | undefined): T[] {
  const found: T[] = []
  for (const token of list.split(',').map((part) => part.trim())) {
    const one = find(token)
    if (one === undefined) break
    if (!found.includes(one)) found.push(one)
  }
  return found
}
