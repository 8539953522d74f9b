/** AMD cards as `rocm-smi` tells: an object with a member for each card. Releases differ in the names of fields, and in their capital letters. */
import { jsonIn, uuidOf, type UnorderedCard } from './amd-card.ts'
import { ask, type Question } from './ask.ts'

const args = ['--showproductname', '--showmeminfo', 'vram', '--showuniqueid', '--showdriverversion', '--json']

export async function askRocmSmi(question: Question): Promise<UnorderedCard[]> {
  return rocmSmiCards(await ask('rocm-smi', args, question))
}

export function rocmSmiCards(text: string): UnorderedCard[] {
  const value = jsonIn(text, 'rocm-smi')
  if (typeof value !== 'object' || value === null) throw new Error('rocm-smi printed JSON that is no object of cards')
  const driver = lookUp((value as Record<string, unknown>)['system'], /driver version/i)
  const cards: UnorderedCard[] = []
  for (const [key, card] of Object.entries(value)) {
    const index = /^card(\d+)$/.exec(key)?.[1]
    if (index === undefined) continue
    const node = lookUp(card, /^node id$/i)
    const name = lookUp(card, /^card series$/i) ?? lookUp(card, /^device name$/i) ?? lookUp(card, /^card model$/i)
    cards.push({
      index: Number(index),
      node: node !== undefined && /^\d+$/.test(node) ? Number(node) : undefined,
      uuid: uuidOf(lookUp(card, /^unique id$/i)),
      // Where the list of names is older than the card.
      name: name === undefined ? 'AMD GPU' : name.startsWith('0x') ? `AMD GPU ${name}` : name,
      memoryBytes: Number(lookUp(card, /^vram total memory/i) ?? 0) || 0,
      driver: driver ?? lookUp(card, /driver version/i),
    })
  }
  if (cards.length === 0) throw new Error('rocm-smi finds no card')
  return cards
}

function lookUp(from: unknown, name: RegExp): string | undefined {
  if (typeof from !== 'object' || from === null) return undefined
  const found = Object.entries(from).find(([key]) => name.test(key))?.[1] as unknown
  return typeof found === 'string' && found !== '' && found !== 'N/A' ? found : undefined
}
