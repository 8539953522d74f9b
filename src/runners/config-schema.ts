/**
 * The shape of `muster.config.*`, for checking what came out of a file. Loaded only when there is one. Each
 * `description` says what was expected there, in the words of the error message.
 */
import { MusterError } from '../protocol/errors.ts'
import { retryCauses, retryPlaces } from '../protocol/retry-causes.ts'
import { parseDuration } from '../stdx/duration.ts'
import {
  array,
  choice,
  fits,
  integer,
  isObject,
  number,
  object,
  optional,
  record,
  string,
  union,
  type Shape,
} from './config-shapes.ts'
import type { MusterConfig } from './config-types.ts'
import { quoted } from './quoted.ts'
import { orderSchemas } from './requires-schema.ts'
import { parseRetryRule, retryRuleKeys } from './retry-rule.ts'
import { firstMistake } from './suite-order.ts'

const text = (description: string) => string({ minLength: 1, description })
const texts = (description: string) => array(string({ minLength: 1, description: 'a text' }), { description })
const argv = (description: string) => array(string({ description: 'a text' }), { minItems: 1, description })
const map = (description: string) => record(string({ description: 'a text' }), { description })

const ruleSchema = object(
  {
    max: optional(number({ description: 'a whole number from 0 to 100' })),
    backoff: optional(text('a duration such as "2s", or the first and the longest: "2s..1m"')),
    factor: optional(number({ description: 'a number from 1 to 100' })),
    jitter: optional(number({ description: 'a number from 0 to 1' })),
    where: optional(choice(...retryPlaces)),
  },
  { description: `an object: { ${retryRuleKeys.join(', ')} }` },
)
const retrySchema = object(Object.fromEntries(retryCauses.map((cause) => [cause, optional(ruleSchema)])), {
  description: `an object: { ${retryCauses.join(', ')} }`,
})

const suiteSchema = object(
  {
    name: text('a name, e.g. "unit"'),
    framework: optional(choice('vitest', 'jest', 'mocha', 'node', 'playwright', 'pytest', 'go', 'command')),
    cwd: optional(text('a directory, relative to the configuration file')),
    paths: optional(texts('a list of paths')),
    args: optional(texts('a list of arguments')),
    env: optional(map('variables and their values')),
    labels: optional(map('labels and their values')),
    ...orderSchemas,
    retries: optional(integer({ minimum: 0, description: 'a whole number, 0 or more' })),
    retry: optional(retrySchema),
    timeout: optional(text('a duration such as "90s" or "5m"')),
    setup: optional(text('a command line, e.g. "npm ci"')),
    discover: optional(
      union([texts('a list of file patterns'), object({ command: argv('a command and its arguments') })], {
        description: 'a list of file patterns, or { command: [program, ...arguments] }',
      }),
    ),
    run: optional(argv('a command and its arguments, e.g. ["bats", "{files}"]')),
    results: optional(choice('junit', 'exit-code')),
  },
  { description: 'a suite: { name, … }' },
)

export const configSchema = object(
  {
    suites: optional(array(suiteSchema, { description: 'a list of suites' })),
    env: optional(texts('a list of names of environment variables')),
    fallback: optional(choice('none', 'local', 'local-when-busy')),
  },
  { description: 'an object: { suites, env, fallback }' },
)

/** Returns `value` as a configuration, or throws config_invalid naming the file and the place in it. */
export function checkConfig(file: string, value: unknown): MusterConfig {
  if (!fits(configSchema, value)) throw describe(file, value)
  const config = value as MusterConfig
  const names = new Set<string>()
  for (const [index, suite] of (config.suites ?? []).entries()) {
    const at = `suites[${index}]`
    if (names.has(suite.name)) throw invalid(file, `${at}.name`, 'a name of its own', `'${suite.name}' a second time`)
    names.add(suite.name)
    if (suite.timeout !== undefined && !((parseDuration(suite.timeout) ?? 0) > 0)) {
      throw invalid(file, `${at}.timeout`, 'a duration such as "90s" or "5m"', `'${suite.timeout}'`)
    }
    for (const [cause, rule] of Object.entries(suite.retry ?? {})) {
      const parsed = parseRetryRule(rule)
      if ('rule' in parsed) continue
      throw invalid(file, `${at}.retry.${cause}.${parsed.key}`, parsed.expected, shorten(parsed.received))
    }
    const own = (['discover', 'run', 'results'] as const).filter((key) => suite[key] !== undefined)
    if (suite.framework === 'command' || (suite.framework === undefined && own.length > 0)) {
      const missing = (['discover', 'run', 'results'] as const).find((key) => suite[key] === undefined)
      if (missing !== undefined)
        throw invalid(file, `${at}.${missing}`, 'discover, run and results together', 'nothing')
      const run = suite.run!.join(' ')
      if (suite.results === 'junit' && !run.includes('{junit}')) {
        throw invalid(file, `${at}.run`, "the placeholder {junit}, because results is 'junit'", `'${run}'`)
      }
    } else if (own.length > 0) {
      throw invalid(file, `${at}.${own[0]!}`, `nothing: ${suite.framework} knows this itself`, 'a value')
    }
  }
  const mistake = firstMistake(config.suites ?? [])
  if (mistake !== undefined) throw invalid(file, mistake.place, mistake.expected, mistake.received)
  return config
}

/** The first thing that is wrong, as deep as the schema can say it. */
function describe(file: string, value: unknown): MusterError {
  let schema: Shape = configSchema
  let current = value
  let place = ''
  // Descends while exactly the part below is to blame, so that the message names the smallest part.
  for (;;) {
    // Where it may be an object among others, and is one, that one is meant.
    const meant = isObject(current) ? schema.anyOf?.find((one) => one.properties !== undefined) : undefined
    if (meant !== undefined) schema = { ...meant, ...(schema.description && { description: schema.description }) }
    if (isObject(current) && schema.properties !== undefined) {
      const known = Object.keys(schema.properties)
      const unknown = Object.keys(current).find((key) => !known.includes(key))
      if (unknown !== undefined)
        return invalid(file, join(place, unknown), `one of ${known.join(', ')}`, `the unknown key '${unknown}'`)
    }
    const next = children(schema, current).find(([, part, child]) => !fits(part, child))
    if (next === undefined) break
    place = join(place, next[0])
    schema = next[1]
    current = next[2]
  }
  const name = schema.properties?.['name']
  if (isObject(current) && name !== undefined && !('name' in current))
    return invalid(file, join(place, 'name'), name.description ?? 'a value', 'nothing')
  return invalid(file, place, schema.description ?? 'another value', shorten(current))
}

function children(schema: Shape, value: unknown): readonly (readonly [string | number, Shape, unknown])[] {
  if (Array.isArray(value) && schema.items !== undefined) {
    const items = schema.items
    return Array.from(value as unknown[], (one, index) => [index, items, one] as const)
  }
  if (!isObject(value)) return []
  const any = schema.additionalProperties === false ? undefined : schema.additionalProperties
  return Object.entries(value).flatMap(([key, one]) => {
    const part = schema.properties?.[key] ?? any
    return part === undefined ? [] : [[key, part, one] as const]
  })
}

function join(place: string, key: string | number): string {
  if (typeof key === 'number') return `${place}[${key}]`
  return place === '' ? key : `${place}.${key}`
}

function shorten(value: unknown): string {
  const shown = quoted(value)
  return shown.length > 100 ? `${shown.slice(0, 100)}…` : shown
}

function invalid(file: string, place: string, expected: string, received: string): MusterError {
  const where = place === '' ? file : `${place} in ${file}`
  return new MusterError('config_invalid', `Cannot use ${where}: expected ${expected}, received ${received}`, {
    hint: 'Every key is described in docs/reference/configuration.md.',
  })
}
