/**
 * The shape of `muster.config.*`, for checking what came out of a file. Loaded only when there is one. Each
 * `description` says what was expected there, in the words of the error message.
 */
import Type from 'typebox'
import { Value } from 'typebox/value'
import { MusterError } from '../protocol/errors.ts'
import { retryCauses, retryPlaces } from '../protocol/retry-causes.ts'
import { parseDuration } from '../stdx/duration.ts'
import type { MusterConfig } from './config-types.ts'
import { quoted } from './quoted.ts'
import { orderSchemas } from './requires-schema.ts'
import { parseRetryRule, retryRuleKeys } from './retry-rule.ts'
import { firstMistake } from './suite-order.ts'

const text = (description: string) => Type.String({ minLength: 1, description })
const texts = (description: string) => Type.Array(Type.String({ minLength: 1, description: 'a text' }), { description })
const argv = (description: string) => Type.Array(Type.String({ description: 'a text' }), { minItems: 1, description })
const map = (description: string) => Type.Record(Type.String(), Type.String({ description: 'a text' }), { description })
const choice = (...names: readonly string[]) =>
  Type.Union(
    names.map((name) => Type.Literal(name)),
    { description: `one of ${names.join(', ')}` },
  )

const ruleSchema = Type.Object(
  {
    max: Type.Optional(Type.Number({ description: 'a whole number from 0 to 100' })),
    backoff: Type.Optional(text('a duration such as "2s", or the first and the longest: "2s..1m"')),
    factor: Type.Optional(Type.Number({ description: 'a number from 1 to 100' })),
    jitter: Type.Optional(Type.Number({ description: 'a number from 0 to 1' })),
    where: Type.Optional(choice(...retryPlaces)),
  },
  { additionalProperties: false, description: `an object: { ${retryRuleKeys.join(', ')} }` },
)
const retrySchema = Type.Object(Object.fromEntries(retryCauses.map((cause) => [cause, Type.Optional(ruleSchema)])), {
  additionalProperties: false,
  description: `an object: { ${retryCauses.join(', ')} }`,
})

const suiteSchema = Type.Object(
  {
    name: text('a name, e.g. "unit"'),
    framework: Type.Optional(choice('vitest', 'jest', 'mocha', 'node', 'playwright', 'pytest', 'go', 'command')),
    cwd: Type.Optional(text('a directory, relative to the configuration file')),
    paths: Type.Optional(texts('a list of paths')),
    args: Type.Optional(texts('a list of arguments')),
    env: Type.Optional(map('variables and their values')),
    labels: Type.Optional(map('labels and their values')),
    ...orderSchemas,
    retries: Type.Optional(Type.Integer({ minimum: 0, description: 'a whole number, 0 or more' })),
    retry: Type.Optional(retrySchema),
    timeout: Type.Optional(text('a duration such as "90s" or "5m"')),
    setup: Type.Optional(text('a command line, e.g. "npm ci"')),
    discover: Type.Optional(
      Type.Union(
        [
          texts('a list of file patterns'),
          Type.Object({ command: argv('a command and its arguments') }, { additionalProperties: false }),
        ],
        { description: 'a list of file patterns, or { command: [program, ...arguments] }' },
      ),
    ),
    run: Type.Optional(argv('a command and its arguments, e.g. ["bats", "{files}"]')),
    results: Type.Optional(choice('junit', 'exit-code')),
  },
  { additionalProperties: false, description: 'a suite: { name, … }' },
)

const configSchema = Type.Object(
  {
    suites: Type.Optional(Type.Array(suiteSchema, { description: 'a list of suites' })),
    env: Type.Optional(texts('a list of names of environment variables')),
    fallback: Type.Optional(choice('none', 'local', 'local-when-busy')),
  },
  { additionalProperties: false, description: 'an object: { suites, env, fallback }' },
)

/** Returns `value` as a configuration, or throws config_invalid naming the file and the place in it. */
export function checkConfig(file: string, value: unknown): MusterConfig {
  if (!Value.Check(configSchema, value)) throw describe(file, value)
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

type SchemaNode = {
  readonly description?: string
  readonly properties?: Readonly<Record<string, SchemaNode>>
  readonly patternProperties?: Readonly<Record<string, SchemaNode>>
  readonly items?: SchemaNode
  readonly anyOf?: readonly SchemaNode[]
}

/** The first thing that is wrong, as deep as the schema can say it. */
function describe(file: string, value: unknown): MusterError {
  let schema = configSchema as unknown as SchemaNode
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
    const next = children(schema, current).find(([, part, child]) => !Value.Check(part as Type.TSchema, child))
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

function children(schema: SchemaNode, value: unknown): readonly (readonly [string | number, SchemaNode, unknown])[] {
  if (Array.isArray(value) && schema.items !== undefined) {
    const items = schema.items
    return value.map((one: unknown, index) => [index, items, one] as const)
  }
  if (!isObject(value)) return []
  const any = Object.values(schema.patternProperties ?? {})[0]
  return Object.entries(value).flatMap(([key, one]) => {
    const part = schema.properties?.[key] ?? any
    return part === undefined ? [] : [[key, part, one] as const]
  })
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
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
