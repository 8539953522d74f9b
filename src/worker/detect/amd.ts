/**
 * AMD cards, as `rocm-smi` tells, and which of them this worker may give away. Two variables lie on top of each
 * other: ROCR_VISIBLE_DEVICES chooses among all cards, and HIP_VISIBLE_DEVICES (or, for programs written
 * for CUDA, CUDA_VISIBLE_DEVICES) counts within what that left.
 */
import type { Gpu } from '../../protocol/worker-messages.ts'
import { ask } from './ask.ts'
import type { Host } from './probe.ts'

export type AmdCard = {
  readonly index: number
  readonly uuid: string | undefined
  readonly name: string
  readonly memoryBytes: number
  readonly driver: string | undefined
}

const args = ['--showproductname', '--showmeminfo', 'vram', '--showuniqueid', '--showdriverversion', '--json']

/** Rejects when rocm-smi is not there, fails, hangs, or prints what can't be understood. */
export async function amdCards(host: Host): Promise<AmdCard[]> {
  const text = await ask('rocm-smi', args, { timeoutMs: host.askMs, env: host.env, signal: host.signal })
  return parseCards(text)
}

export function parseCards(text: string): AmdCard[] {
  // Warnings may come before it.
  const start = text.indexOf('{')
  let value: unknown
  try {
    value = JSON.parse(text.slice(Math.max(0, start)))
  } catch (error) {
    throw new Error(`rocm-smi printed '${text.trim().slice(0, 80)}' where JSON was expected`, { cause: error })
  }
  if (typeof value !== 'object' || value === null) throw new Error('rocm-smi printed JSON that is no object of cards')
  const system = (value as Record<string, unknown>)['system']
  const driver = lookUp(system, /driver version/i)
  const cards: AmdCard[] = []
  for (const [key, card] of Object.entries(value)) {
    const index = /^card(\d+)$/.exec(key)?.[1]
    if (index === undefined) continue
    const unique = lookUp(card, /^unique id$/i)
    cards.push({
      index: Number(index),
      uuid: unique !== undefined && /^0x[\da-f]+$/i.test(unique) ? `GPU-${unique.slice(2)}` : undefined,
      name: lookUp(card, /^card series$/i) ?? lookUp(card, /^(device name|card model)$/i) ?? 'AMD GPU',
      memoryBytes: Number(lookUp(card, /^vram total memory/i) ?? 0) || 0,
      driver: driver ?? lookUp(card, /driver version/i),
    })
  }
  return cards.sort((a, b) => a.index - b.index)
}

/** Names of fields differ between releases in their capital letters. */
function lookUp(from: unknown, name: RegExp): string | undefined {
  if (typeof from !== 'object' || from === null) return undefined
  const found = Object.entries(from).find(([key]) => name.test(key))?.[1] as unknown
  return typeof found === 'string' && found !== '' && found !== 'N/A' ? found : undefined
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
