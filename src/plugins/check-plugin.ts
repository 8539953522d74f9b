/** Whether what a file exports is a plugin that this version can use. Says what was expected, what came, and in which file. */
import { MusterError } from '../protocol/errors.ts'
import { plainText } from '../stdx/plain-text.ts'
import { contractVersion, type Plugin } from './contract.ts'

const namePattern = /^[a-z][a-z0-9-]{0,63}$/
const nameWords = 'lower-case letters, digits and hyphens, beginning with a letter, 64 at most'
const keys = ['name', 'version', 'contract', 'schedulers'] as const
const schedulerKeys = ['name', 'description', 'configSchema', 'turn', 'order', 'rank', 'place', 'metrics'] as const

/** `from`: where it came from, as people know it. Throws MusterError config_invalid. */
export function checkPlugin(from: string, value: unknown): Plugin {
  const fail = (place: string, expected: string, received: unknown): never => {
    throw invalid(from, place, expected, received)
  }
  if (!isObject(value)) return fail('its default export', 'an object made by definePlugin({ name, schedulers })', value)
  const { contract, name, version, schedulers } = value
  if (contract === undefined) fail('its default export', "an object made by definePlugin from 'muster/plugin'", value)
  if (contract !== contractVersion) {
    const words = `${contractVersion}, the version of the plugin contract that this Muster speaks`
    const hint =
      typeof contract === 'number' && contract > contractVersion
        ? 'The plugin is made for a newer Muster: upgrade the coordinators.'
        : "Load the plugin with the 'muster/plugin' of this version, or get a newer version of the plugin."
    throw invalid(from, 'contract', words, contract, hint)
  }
  if (typeof name !== 'string' || !namePattern.test(name)) fail('name', nameWords, name)
  if (version !== undefined && (typeof version !== 'string' || version !== plainText(version)))
    fail('version', 'one line of text', version)
  checkKeys(fail, '', value, keys)
  if (!Array.isArray(schedulers)) return fail('schedulers', 'a list of schedulers', schedulers)
  for (const [at, scheduler] of (schedulers as readonly unknown[]).entries())
    checkScheduler((place, expected, received) => fail(`schedulers[${at}]${place}`, expected, received), scheduler)
  return value as unknown as Plugin
}

type Fail = (place: string, expected: string, received: unknown) => never

function checkScheduler(fail: Fail, value: unknown): void {
  if (!isObject(value))
    return fail('', 'a scheduler: { name, description, order } or { name, description, place }', value)
  const { name, description, configSchema, turn, order, rank, place, metrics } = value
  if (typeof name !== 'string' || !namePattern.test(name)) fail('.name', nameWords, name)
  if (typeof description !== 'string' || description === '' || description !== plainText(description))
    fail('.description', 'one line of text', description)
  if (configSchema !== undefined && !isObject(configSchema)) fail('.configSchema', 'a JSON Schema', configSchema)
  if (typeof order !== 'function' && typeof place !== 'function')
    fail('', 'a function order(runs, view, config) or a function place(view, config)', value)
  for (const [key, code] of Object.entries({ order, rank, place, metrics }))
    if (isAsync(code)) fail(`.${key}`, 'a function that is not async: decisions are made at once', code)
  if (order !== undefined && place !== undefined) fail('', 'one of order and place', value)
  if (turn !== undefined && turn !== 'run' && turn !== 'batch') fail('.turn', "'run' or 'batch'", turn)
  if (rank !== undefined && typeof rank !== 'function') fail('.rank', 'a function', rank)
  if (metrics !== undefined && typeof metrics !== 'function') fail('.metrics', 'a function', metrics)
  if (place !== undefined && (turn !== undefined || rank !== undefined))
    fail('', 'turn and rank only beside order', value)
  checkKeys((at, expected, received) => fail(`.${at}`, expected, received), '', value, schedulerKeys)
}

function isAsync(code: unknown): boolean {
  return Object.prototype.toString.call(code).startsWith('[object Async')
}

function checkKeys(fail: Fail, at: string, value: object, known: readonly string[]): void {
  const unknown = Object.keys(value).find((key) => !known.includes(key))
  if (unknown !== undefined) fail(`${at}${unknown}`, `one of ${known.join(', ')}`, unknown)
}

function isObject(value: unknown): value is { readonly [key: string]: unknown } {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

export function invalid(from: string, place: string, expected: string, received: unknown, hint?: string): MusterError {
  return new MusterError(
    'config_invalid',
    `Cannot use ${place} of plugin ${from}: expected ${expected}, received ${words(received)}`,
    {
      hint: hint ?? 'docs/guides/writing-a-scheduler.md describes plugins.',
    },
  )
}

const wordsMax = 200

function words(value: unknown): string {
  if (value === undefined) return 'nothing'
  if (typeof value === 'function') return isAsync(value) ? 'an async function' : 'a function'
  if (isObject(value)) return `an object with ${Object.keys(value).join(', ') || 'nothing in it'}`.slice(0, wordsMax)
  if (typeof value === 'bigint' || typeof value === 'symbol') return String(value).slice(0, wordsMax)
  return String(JSON.stringify(value)).slice(0, wordsMax)
}
