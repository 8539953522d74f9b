/**
 * NVIDIA cards, as `nvidia-smi` tells: whole cards, and the slices (MIG) of those that are cut. A cut card can't be
 * given to anybody as a whole any more; its slices can.
 */
import { ask, EndedBadly, type Question } from './ask.ts'
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

const fields = [
  'index',
  'uuid',
  'name',
  'memory.total',
  'driver_version',
  'compute_cap',
  'mig.mode.current',
  // Only here does a card say that it is listed and can't be used any more.
  'pstate',
  'temperature.gpu',
] as const
type Field = (typeof fields)[number]

type NvidiaCards = {
  readonly cards: Card[]
  /** How many there are, with those that can't be used. */
  readonly listed: number
  readonly unavailable: Record<string, string>
}

/** Rejects when nvidia-smi is not there, fails, hangs, or prints what can't be understood. */
export async function nvidiaCards(host: Host): Promise<NvidiaCards> {
  const question = { timeoutMs: host.askMs, env: host.env, signal: host.signal }
  const [{ text, known }, listing] = await Promise.all([
    query(question, fields),
    ask('nvidia-smi', ['-L'], question).then(
      (listed) => ({ listed, why: undefined }),
      (error: Error) => ({ listed: '', why: error.message }),
    ),
  ])
  const { rows, broken, others } = parseCards(text, known)
  const slices = slicesOf(listing.listed)
  const cards: Card[] = []
  const unusable: string[] = []
  const complaints = [...broken, ...others]
  for (const { isCut, ...card } of rows) {
    const its = slices.get(card.uuid) ?? []
    // CUDA does not take it as a whole any more.
    if (isCut && its.length === 0)
      unusable.push(
        `card ${card.index} is cut (MIG), and ${listing.why ?? 'has no instance: nvidia-smi mig -cgi … -C'}`,
      )
    else cards.push({ ...card, slices: its })
  }
  if (listing.why !== undefined && unusable.length === 0) unusable.push(listing.why)
  return {
    cards,
    listed: rows.length + broken.length,
    unavailable: {
      ...(complaints.length === 0 ? {} : { gpu: complaints.join('; ') }),
      ...(unusable.length === 0 ? {} : { 'gpu.mig': unusable.join('; ') }),
    },
  }
}

/** Older drivers refuse fields that they don't know, one at a time. */
async function query(question: Question, known: readonly Field[]): Promise<{ text: string; known: readonly Field[] }> {
  try {
    const args = [`--query-gpu=${known.join(',')}`, '--format=csv,noheader,nounits']
    return { text: await ask('nvidia-smi', args, question), known }
  } catch (error) {
    // One card that is lost may make it end so, after it has told of the others.
    if (error instanceof EndedBadly && isCard.test(error.stdout)) return { text: error.stdout, known }
    const refused = /Field "([\w.]+)" is not a valid/.exec((error as Error).message)?.[1]
    const fewer = known.filter((field) => field !== refused)
    if (fewer.length === known.length) throw error
    return query(question, fewer)
  }
}

type Row = Omit<Card, 'slices'> & { readonly isCut: boolean }

/** What stands in place of values when a card fell off the bus or is to be reset; `[N/A]` stands where there is nothing to tell. */
const isGone = /^\[.*(lost|reset).*\]$/i
/** Of a sensor that says nothing about the card. */
const isUnknown = /^\[unknown error\]$/i

/** Index and UUID, at the beginning of a line. */
const isCard = /^\s*\d{1,4},\s*GPU-/m

/** Lists each card once. `others`: lines about no card, such as a warning that a card's description is damaged. */
function parseCards(text: string, known: readonly Field[]): { rows: Row[]; broken: string[]; others: string[] } {
  const lines = text.split('\n').filter((line) => line.trim() !== '')
  if (lines.length === 0) throw new Error('nvidia-smi printed nothing where cards were expected')
  if (/^no devices were found/i.test(lines[0]!)) throw new Error('nvidia-smi finds no card')
  const rows = new Map<string, Row>()
  const broken: string[] = []
  const others: string[] = []
  for (const line of lines) {
    const parts = fieldsIn(line, known)
    const of = (field: Field): string => parts[known.indexOf(field)] ?? ''
    const essential = [of('uuid'), of('name'), of('memory.total')]
    const why = parts.find((part) => isGone.test(part)) ?? essential.find((part) => isUnknown.test(part))
    if (why !== undefined) broken.push(`card ${of('index')}: ${why}`)
    else if (/^unable to determine/i.test(line)) broken.push(line.trim())
    else if (!isCard.test(line) || of('name') === '') others.push(line.trim())
    // It may be one that is cut into slices.
    else if (parts.length < known.length) broken.push(`card ${of('index')}: nvidia-smi ended in the middle of its line`)
    else rows.set(of('uuid'), rowOf(of))
  }
  if (rows.size === 0 && broken.length === 0)
    throw new Error(`nvidia-smi printed '${others[0]!.slice(0, 80)}' where a card was expected: index, uuid, name, …`)
  return { rows: [...rows.values()], broken, others }
}

/** Nothing is put in quotes, so a comma too many is one of the name's. */
function fieldsIn(line: string, known: readonly Field[]): string[] {
  const parts = line.split(',').map((part) => part.trim())
  const more = Math.max(0, parts.length - known.length)
  const at = known.indexOf('name')
  return more === 0 || at < 0 ? parts : parts.toSpliced(at, more + 1, parts.slice(at, at + more + 1).join(', '))
}

function rowOf(of: (field: Field) => string): Row {
  const memory = of('memory.total')
  const capability = of('compute_cap')
  return {
    index: Number(of('index')),
    uuid: of('uuid'),
    name: of('name'),
    // [N/A] where card and processor share one memory.
    memoryBytes: /^\d{1,9}$/.test(memory) ? Number(memory) * mebibyte : 0,
    driver: of('driver_version').startsWith('[') ? '' : of('driver_version'),
    computeCapability: /^\d+\.\d+$/.test(capability) ? capability : undefined,
    isCut: of('mig.mode.current') === 'Enabled',
  }
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
