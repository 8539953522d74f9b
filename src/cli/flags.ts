/** Flags that several commands read alike; each error names the flag, what was expected and what came. */
import { InvalidArgumentError } from 'commander'
import { MusterError } from '../protocol/errors.ts'
import { plainText } from '../stdx/plain-text.ts'
import { parseDuration } from '../stdx/duration.ts'

export function durationFlag(name: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined
  const durationMs = parseDuration(text)
  if (durationMs === undefined || durationMs === 0) {
    throw new MusterError('usage', `${name}: expected a duration such as 90s, 5m or 1h30m, received '${text}'`)
  }
  return durationMs
}

const letterKinds = ['lost', 'crashed', 'timed-out'] as const

export function letterKindsOf(text: string): (typeof letterKinds)[number][] {
  if (text === 'none') return []
  return text.split(',').map((part) => {
    const kind = letterKinds.find((one) => one === part.trim())
    if (kind !== undefined) return kind
    throw new MusterError('usage', `--dead-letters: expected ${letterKinds.join(', ')} or none, received '${part}'`)
  })
}

export function labelsOf(given: readonly string[]): Record<string, string> {
  const labels: Record<string, string> = {}
  for (const text of given) {
    const equals = text.indexOf('=')
    const key = text.slice(0, Math.max(0, equals))
    if (key === '') throw new MusterError('usage', `--label: expected KEY=VALUE, received '${text}'`)
    // An object would take it for something else.
    if (key === '__proto__') throw new MusterError('usage', "--label: expected another key than '__proto__'")
    labels[key] = text.slice(equals + 1)
  }
  return labels
}

const nameMax = 200

/** Of a worker: what people see in tables and sentences. */
export function workerNameOf(text: string | undefined): string | undefined {
  if (text === undefined || (text.trim() !== '' && text.length <= nameMax && !/\p{Cc}/u.test(text))) return text
  const received = text.length > nameMax ? `${text.length} characters` : `'${plainText(text)}'`
  throw new MusterError('usage', `--name: expected one line of 1 to ${nameMax} characters, received ${received}`)
}

/** `NAME=COUNT`; names as in an expression, so that `resource.NAME` can be asked for. */
export function resourcesOf(given: readonly string[]): Record<string, number> {
  const resources: Record<string, number> = {}
  for (const text of given) {
    const [, name, count] = /^([A-Za-z][\w-]{0,63})=(\d{1,9})$/.exec(text) ?? []
    if (name === undefined || count === undefined) {
      throw new MusterError('usage', `--resource: expected NAME=COUNT, e.g. licences=2, received '${text}'`, {
        hint: 'A name is a letter, then letters, digits, _ and -; a count is a whole number.',
      })
    }
    if (Object.hasOwn(resources, name)) throw new MusterError('usage', `--resource: ${name} is given twice`)
    resources[name] = Number(count)
  }
  return resources
}

/** How much a worker finds out about its machine, from the environment. */
export function detectLevelOf(text: string | undefined): 'none' | 'quick' | 'all' | undefined {
  if (text === undefined || text === '') return undefined
  if (text === 'none' || text === 'quick' || text === 'all') return text
  throw new MusterError('usage', `MUSTER_DETECT: expected none, quick or all, received '${text}'`)
}

/** How often a worker looks at cards and disks again, from the environment; in milliseconds. */
export function detectEveryOf(text: string | undefined): number | undefined {
  if (text === undefined || text === '') return undefined
  const everyMs = parseDuration(text)
  if (everyMs === undefined || everyMs < 100)
    throw new MusterError(
      'usage',
      `MUSTER_DETECT_EVERY: expected a duration of at least 100ms, e.g. 2m, received '${text}'`,
    )
  return everyMs
}

/** For commander: a whole number of at least `min`. */
export function wholeNumber(min: number): (text: string) => number {
  return (text) => {
    const value = Number(text)
    if (!/^-?\d+$/.test(text) || value < min)
      throw new InvalidArgumentError(`expected a whole number of at least ${min}`)
    return value
  }
}

/** For commander: an option that may be given several times. */
export function several(text: string, before: readonly string[] | undefined): readonly string[] {
  return [...(before ?? []), text]
}
