/**
 * NVIDIA cards, as `nvidia-smi` tells: whole cards, and the slices (MIG) of those that are cut. A cut card can't be
 * given to anybody as a whole any more; its slices can.
 */
import { ask } from './ask.ts'
import type { Host } from './probe.ts'

const mebibyte = 2 ** 20
const gibibyte = 2 ** 30

export type Slice = { readonly uuid: string; readonly profile: string; readonly memoryBytes: number }
export type Card = {
  /** As nvidia-smi counts: in the order of PCI addresses. */
  readonly index: number
  readonly uuid: string
  readonly name: string
  readonly memoryBytes: number
  readonly driver: string
  readonly computeCapability: string | undefined
  readonly slices: readonly Slice[]
}

const fields = ['index', 'uuid', 'name', 'memory.total', 'driver_version', 'compute_cap']

/** Rejects when nvidia-smi is not there, fails, hangs, or prints what can't be understood. */
export async function nvidiaCards(host: Host): Promise<{ cards: Card[]; unavailable: Record<string, string> }> {
  const question = { timeoutMs: host.askMs, env: host.env, signal: host.signal }
  const listing = ask('nvidia-smi', ['-L'], question).then(
    (text) => ({ text, why: undefined }),
    (error: Error) => ({ text: '', why: error.message }),
  )
  const query = (names: readonly string[]): Promise<string> =>
    ask('nvidia-smi', [`--query-gpu=${names.join(',')}`, '--format=csv,noheader,nounits'], question)
  const text = await query(fields).catch((error: Error) => {
    // Drivers before 2022 don't know their cards' compute capability.
    if (/compute_cap/.test(error.message)) return query(fields.slice(0, -1))
    throw error
  })
  const { text: listed, why } = await listing
  const slices = slicesOf(listed)
  const cards = parseCards(text).map((card) => ({ ...card, slices: slices.get(card.uuid) ?? [] }))
  return { cards, unavailable: why === undefined ? {} : { 'gpu.mig': why } }
}

function parseCards(text: string): Omit<Card, 'slices'>[] {
  const lines = text.split('\n').filter((line) => line.trim() !== '')
  if (lines.length === 0) throw new Error('nvidia-smi printed nothing where cards were expected')
  return lines.map((line) => {
    const parts = line.split(',').map((part) => part.trim())
    const [index = '', uuid = '', name = '', memory = '', driver = '', capability] = parts
    if (!/^\d+$/.test(index) || !uuid.startsWith('GPU-') || name === '') {
      throw new Error(`nvidia-smi printed '${line.slice(0, 80)}' where a card was expected: index, uuid, name, …`)
    }
    return {
      index: Number(index),
      uuid,
      name,
      // [N/A] where card and processor share one memory.
      memoryBytes: /^\d+$/.test(memory) ? Number(memory) * mebibyte : 0,
      driver,
      computeCapability: capability !== undefined && /^\d+\.\d+$/.test(capability) ? capability : undefined,
    }
  })
}

/**
 * From `nvidia-smi -L`, by the card's UUID. A slice's memory is the one in its profile's name (`3g.20gb`), which the
 * driver undercuts by up to 5 %.
 */
export function slicesOf(listing: string): Map<string, Slice[]> {
  const slices = new Map<string, Slice[]>()
  let current: Slice[] | undefined
  for (const line of listing.split('\n')) {
    const card = /^GPU \d+: .*\(UUID: (GPU-[\w-]+)\)/.exec(line)
    if (card) slices.set(card[1]!, (current = []))
    const slice = /^\s+MIG (\S+)\s+Device\s+\d+: \(UUID: (MIG-[\w/-]+)\)/.exec(line)
    if (slice === null || current === undefined) continue
    const [, profile = '', uuid = ''] = slice
    const memory = /(\d+)gb/i.exec(profile)?.[1]
    current.push({ uuid, profile, memoryBytes: memory === undefined ? 0 : Number(memory) * gibibyte })
  }
  return slices
}
