/**
 * `coordinator.json` in a coordinator's data directory: its limits, times and shares, for whoever runs it.
 * Absent is the usual case. Every key is described in docs/reference/limits.md and docs/reference/shares.md.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { defaultOverloadLimits, type OverloadLimits } from '../coordinator/overload.ts'
import { defaultSessionTimes, type SessionTimes } from '../coordinator/worker-sessions.ts'
import { defaultLimits, type Limits } from '../core/limits.ts'
import { noShares, type Shares } from '../core/shares.ts'
import type { Wanted } from '../plugins/load.ts'
import { MusterError } from '../protocol/errors.ts'
import { parseShares } from './share-settings.ts'

export type Settings = {
  readonly limits: Limits
  readonly times: SessionTimes
  readonly overload: OverloadLimits
  /** Weights and quotas of projects and users. */
  readonly shares: Shares
  /** Files and packages, as they were written, and the file that names them. */
  readonly plugins: readonly Wanted[]
}

const numbers = { limits: defaultLimits, times: defaultSessionTimes, overload: defaultOverloadLimits }

/** Throws MusterError config_invalid that names file, key, what was expected and what came. */
export function readSettings(directory: string): Settings {
  const file = join(directory, 'coordinator.json')
  let text: string
  try {
    text = readFileSync(file, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return { ...numbers, shares: noShares, plugins: [] }
    throw new MusterError('config_invalid', `Cannot read ${file}: ${(error as Error).message}`, { cause: error })
  }
  const given = parse(file, text)
  checkKeys(file, '', given, { ...numbers, shares: noShares, plugins: [] })
  for (const [name, known] of Object.entries(numbers)) {
    const section = given[name] ?? {}
    if (!isObject(section)) throw invalid(file, name, 'an object', section)
    checkKeys(file, `${name}.`, section, known)
    for (const [key, value] of Object.entries(section)) {
      if (!Number.isInteger(value) || (value as number) < 1) {
        throw invalid(file, `${name}.${key}`, 'a whole number of at least 1', value)
      }
    }
  }
  const parsed = parseShares(given['shares'] ?? {})
  if (!('shares' in parsed)) throw invalid(file, parsed.place, parsed.expected, parsed.received, 'shares.md')
  const plugins = given['plugins'] ?? []
  if (!Array.isArray(plugins) || !plugins.every((plugin) => typeof plugin === 'string' && plugin !== ''))
    throw invalid(file, 'plugins', "a list of files and packages, as in ['./mine.ts']", plugins, 'schedulers.md')
  return {
    shares: parsed.shares,
    plugins: (plugins as readonly string[]).map((plugin) => ({ plugin, from: file })),
    limits: { ...defaultLimits, ...(given['limits'] as Partial<Limits>) },
    times: { ...defaultSessionTimes, ...(given['times'] as Partial<SessionTimes>) },
    overload: { ...defaultOverloadLimits, ...(given['overload'] as Partial<OverloadLimits>) },
  }
}

function parse(file: string, text: string): Record<string, unknown> {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (error) {
    throw new MusterError('config_invalid', `Cannot read ${file}: expected JSON, ${(error as Error).message}`)
  }
  if (!isObject(value)) throw invalid(file, 'the file', 'an object', value)
  return value
}

function checkKeys(file: string, at: string, given: object, known: object): void {
  const unknown = Object.keys(given).find((key) => !Object.hasOwn(known, key))
  if (unknown !== undefined) {
    throw invalid(file, `${at}${unknown}`, `one of ${Object.keys(known).join(', ')}`, unknown)
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function invalid(file: string, place: string, expected: string, received: unknown, page = 'limits.md'): MusterError {
  return new MusterError(
    'config_invalid',
    `Cannot use ${place} in ${file}: expected ${expected}, received ${JSON.stringify(received)}`,
    { hint: `Every key is described in docs/reference/${page}.` },
  )
}
