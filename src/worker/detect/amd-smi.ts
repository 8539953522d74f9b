/**
 * AMD cards as `amd-smi` tells, the successor of rocm-smi: a list of cards, since ROCm 6.4 within an object. Whatever it does not
 * know is 'N/A', be it a number or an object.
 */
import { jsonIn, uuidOf, type UnorderedCard } from './amd-card.ts'
import { ask, type Question } from './ask.ts'

const mebibyte = 2 ** 20

export async function askAmdSmi(question: Question): Promise<UnorderedCard[]> {
  const [details, list] = await Promise.all([
    ask('amd-smi', ['static', '--asic', '--vram', '--driver', '--json'], question).catch((error: Error) => {
      // Releases differ in which parts can be asked for.
      if (/argument|usage|invalid/i.test(error.message)) return ask('amd-smi', ['static', '--json'], question)
      throw error
    }),
    // Only says in which order HIP counts.
    ask('amd-smi', ['list', '--json'], question).catch(() => '[]'),
  ])
  return amdSmiCards(details, list)
}

export function amdSmiCards(details: string, list: string): UnorderedCard[] {
  const nodes = new Map(entriesOf(list).map((entry) => [entry['gpu'], entry['node_id']]))
  const cards = entriesOf(details).flatMap((entry): UnorderedCard[] => {
    const index = entry['gpu']
    if (typeof index !== 'number') return []
    const asic = part(entry, 'asic')
    const node = nodes.get(index)
    return [
      {
        index,
        node: typeof node === 'number' ? node : undefined,
        uuid: uuidOf(words(asic, 'asic_serial')),
        name: words(asic, 'market_name') ?? 'AMD GPU',
        memoryBytes: bytesOf(part(entry, 'vram')['size']),
        driver: words(part(entry, 'driver'), 'version'),
      },
    ]
  })
  if (cards.length === 0) throw new Error('amd-smi finds no card')
  return cards
}

type Entry = Readonly<Record<string, unknown>>

function isEntry(value: unknown): value is Entry {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function entriesOf(text: string): Entry[] {
  const value = jsonIn(text, 'amd-smi')
  const entries = isEntry(value) ? value['gpu_data'] : value
  return Array.isArray(entries) ? entries.filter(isEntry) : []
}

function part(entry: Entry, name: string): Entry {
  const value = entry[name]
  return isEntry(value) ? value : {}
}

function words(entry: Entry, name: string): string | undefined {
  const value = entry[name]
  return typeof value === 'string' && value !== '' && value !== 'N/A' ? value : undefined
}

/** `{ value: 196592, unit: 'MB' }`, in older releases '16368 MB'; mebibytes are meant. */
function bytesOf(size: unknown): number {
  const text = isEntry(size) ? `${String(size['value'])} ${String(size['unit'])}` : String(size)
  const [, amount, unit] = /^(\d+) ?([MG])B$/.exec(text) ?? []
  return amount === undefined ? 0 : Number(amount) * mebibyte * (unit === 'G' ? 1024 : 1)
}
