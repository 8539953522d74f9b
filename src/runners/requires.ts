/**
 * What a suite, a pattern of files or a file itself says that tests need, in the words of `muster.config.*` and of
 * comments in test files, and how it becomes the need that is submitted.
 *
 * What several places say about one file adds up: expressions are joined with `and`, locks and counted resources are
 * united by name. Of everything else the later word counts: the suite's, then that of each rule in their order, the
 * comment in the file, the command line.
 */
import { hash } from 'node:crypto'
import { expressionFault } from '../protocol/expression-fault.ts'
import type { GpuVendor, NeedBody } from '../protocol/needs.ts'
import { parseBytes } from '../stdx/bytes.ts'

export type GpusText = {
  readonly count?: number
  /** Of each card, e.g. `16GiB`. */
  readonly memory?: string
  readonly vendor?: GpuVendor
  /** Default true: nobody else uses the cards meanwhile. */
  readonly exclusive?: boolean
}

/** Without `max` it is held by one at a time, or with `mode: 'shared'` by any number; with `max` by so many. */
export type LockText = { readonly name: string; readonly mode?: 'exclusive' | 'shared'; readonly max?: number }

export type Requires = {
  /** CPUs of one process of the framework; hosts then take several at once. */
  readonly cpus?: number
  /** e.g. `8GiB` */
  readonly memory?: string
  readonly gpus?: number | GpusText
  /** Counted things that workers have, by name. */
  readonly resources?: Readonly<Record<string, number>>
  /** Expression over a worker's attributes, e.g. `os == linux and gpu.memory >= 24GiB`. */
  readonly where?: string
  /** Held across all hosts; a name alone means exclusive. */
  readonly locks?: readonly (string | LockText)[]
  /** Nothing else runs on the host meanwhile. */
  readonly exclusive?: boolean
  /** Goes, when it can, to workers that ran files of the same affinity. */
  readonly affinity?: string
  /** Never on a host where another of this name runs. */
  readonly antiAffinity?: string
  /** Spread over hosts as evenly as can be. */
  readonly spread?: string
  /** Files of one name run in one place, never two at once. */
  readonly together?: string
  /** Most files of one process. */
  readonly batch?: number | { readonly max: number }
}

/** What was wrong, and where in the requirement. */
export type RequiresFault = {
  readonly key: string
  readonly expected: string
  /** Undefined: nothing. */
  readonly received: unknown
  /** More lines for people. */
  readonly detail?: string
}

type Lock = NonNullable<NeedBody['locks']>[number]
type Gpus = NonNullable<NeedBody['gpus']>

/** As a coordinator takes them. */
export const lockNameMax = 256
/** Leaves room for what it is unique within. */
const togetherMax = 200

/** What a worker can be given by `--resource`. */
const resourceName = /^[A-Za-z][\w-]{0,63}$/
const resourceNameWords = 'a letter, then letters, digits, _ and -'

/** `scope`: what the names in `together` are unique within, e.g. the project. */
export function needOf(requires: Requires, scope: string): NeedBody | RequiresFault {
  const { cpus, memory, gpus, resources, where, locks = [], exclusive, affinity, antiAffinity, spread } = requires
  const { together, batch } = requires
  const memoryBytes = memory === undefined ? undefined : parseBytes(memory)
  if (memory !== undefined && !memoryBytes) return fault('memory', 'an amount such as "8GiB"', memory)
  const cards = gpus === undefined ? undefined : gpusOf(gpus)
  if (cards !== undefined && 'expected' in cards) return cards
  const odd = Object.keys(resources ?? {}).find((name) => !resourceName.test(name))
  if (odd !== undefined) return fault('resources', `names that are ${resourceNameWords}`, odd)
  const wrong = where === undefined ? undefined : expressionFault(where)
  if (wrong !== undefined) return { ...fault('where', 'an expression', where), detail: wrong }
  const all: Lock[] = []
  for (const [at, given] of locks.entries()) {
    const lock = lockOf(given)
    if (typeof lock === 'string') return fault(`locks[${at}]`, lock, given)
    if (lock.name.trim() === '') return fault(`locks[${at}]`, 'a name that can be seen', given)
    if (lock.name.length > lockNameMax)
      return fault(`locks[${at}]`, `a name of at most ${lockNameMax} characters`, given)
    if (all.some((one) => one.name === lock.name)) return fault(`locks[${at}]`, 'each lock once', lock.name)
    all.push(lock)
  }
  if (together !== undefined && together.length > togetherMax)
    return fault('together', `a name of at most ${togetherMax} characters`, together)
  if (together !== undefined) all.push({ name: togetherLock(scope, together), mode: 'exclusive' })
  return {
    ...defined({ cpus, memoryBytes, gpus: cards, resources, where, exclusive: exclusive || undefined }),
    ...(all.length === 0 ? {} : { locks: all }),
    ...defined({
      affinity: affinity ?? together,
      antiAffinity,
      spread,
      batchMax: typeof batch === 'number' ? batch : batch?.max,
    }),
  }
}

function togetherLock(scope: string, together: string): string {
  const name = `${scope} together ${together}`
  if (name.length <= lockNameMax) return name
  return `${hash('sha256', scope).slice(0, 32)} together ${together}`
}

function gpusOf(given: number | GpusText): Gpus | RequiresFault {
  if (typeof given === 'number') return { count: given }
  const { count = 1, memory, vendor, exclusive } = given
  const memoryBytes = memory === undefined ? undefined : parseBytes(memory)
  if (memory !== undefined && !memoryBytes) return fault('gpus.memory', 'an amount such as "16GiB"', memory)
  // Without it nobody knew how many may share a card.
  if (exclusive === false && memoryBytes === undefined)
    return fault('gpus.memory', 'the memory of a card that is shared, e.g. "4GiB"', undefined)
  return { count, ...defined({ memoryBytes, vendor, exclusive }) }
}

/** The lock, or what was expected. */
function lockOf(given: string | LockText): Lock | string {
  if (typeof given === 'string') return { name: given, mode: 'exclusive' }
  const { name, mode, max } = given
  if (max === undefined) return { name, mode: mode ?? 'exclusive' }
  return mode === undefined ? { name, mode: 'counted', max } : 'either a mode or max'
}

/** What both say, the later one's word before the earlier one's. */
export function mergeNeeds(earlier: NeedBody, later: NeedBody): NeedBody {
  const { where: one, locks: before = [], resources: had } = earlier
  const { where: other, locks: after = [], resources: has } = later
  const where = one !== undefined && other !== undefined && one !== other ? `(${one}) and (${other})` : (other ?? one)
  const names = new Set(after.map((lock) => lock.name))
  const locks = [...before.filter((lock) => !names.has(lock.name)), ...after]
  const resources = had === undefined && has === undefined ? undefined : { ...had, ...has }
  return { ...earlier, ...later, ...defined({ where, resources }), ...(locks.length === 0 ? {} : { locks }) }
}

/** Equal text = equal need. */
export function needKey(need: NeedBody): string {
  const sorted = (record: object) => Object.entries(record).toSorted(([a], [b]) => (a < b ? -1 : 1))
  const { locks = [], resources = {}, gpus = {}, ...rest } = need
  const byName = locks.toSorted((a, b) => (a.name < b.name ? -1 : 1)).map(sorted)
  return JSON.stringify([sorted(rest), sorted(resources), sorted(gpus), byName])
}

function fault(key: string, expected: string, received: unknown): RequiresFault {
  return { key, expected, received }
}

function defined<T extends object>(value: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  const kept: Record<string, unknown> = {}
  for (const key in value) if (value[key] !== undefined) kept[key] = value[key]
  return kept as { [K in keyof T]?: Exclude<T[K], undefined> }
}
