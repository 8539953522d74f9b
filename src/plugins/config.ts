/**
 * Configuration of a strategy against its schema. Ajv, because it knows when a schema is none, and fills in defaults; it is
 * loaded when it is needed first, which for most coordinators is never.
 */
import type { Ajv, ValidateFunction } from 'ajv'
import { createRequire } from 'node:module'
import { MusterError } from '../protocol/errors.ts'
import type { JsonSchema } from './contract.ts'

export type ConfigCheck = (config: unknown) => { readonly config: unknown } | { readonly fault: string }

let loaded: Ajv | undefined

function ajv(): Ajv {
  const load = createRequire(import.meta.url) as (name: 'ajv') => typeof import('ajv')
  loaded ??= new (load('ajv').Ajv)({ useDefaults: true, allErrors: false, strict: false })
  return loaded
}

/** The check throws MusterError config_invalid when the schema is none. `about` names whose it is. */
export function configCheck(schema: JsonSchema | undefined, about: string): ConfigCheck {
  if (schema === undefined) {
    return (config) =>
      config === undefined || Object.keys(config as object).length === 0
        ? { config: {} }
        : { fault: `expected no configuration, received ${JSON.stringify(config)}` }
  }
  let validate: ValidateFunction | undefined
  return (config) => {
    validate ??= compile(schema, about)
    const filled: unknown = structuredClone(config ?? {})
    if (validate(filled)) return { config: deepFreeze(filled) }
    const [first] = validate.errors ?? []
    const at = first?.instancePath.replaceAll('/', '.') || '.'
    const which = first?.params['additionalProperty'] as string | undefined
    const found = JSON.stringify(valueAt(filled, first?.instancePath ?? ''))
    return {
      fault: `config${at === '.' ? '' : at}: ${first?.message ?? 'is not valid'}${which === undefined ? '' : ` ('${which}')`}, received ${found}`,
    }
  }
}

/** Throws MusterError config_invalid when the schema is none. */
export function assertSchema(schema: JsonSchema | undefined, about: string): void {
  if (schema !== undefined) compile(schema, about)
}

function compile(schema: JsonSchema, about: string): ValidateFunction {
  try {
    return ajv().compile({ ...schema })
  } catch (cause) {
    const { message } = cause as Error
    throw new MusterError(
      'config_invalid',
      `Cannot use ${about}: expected configSchema to be a JSON Schema, ${message}`,
      {
        cause,
        hint: "For example { type: 'object', properties: { factor: { type: 'number', default: 2 } } }",
      },
    )
  }
}

function valueAt(value: unknown, path: string): unknown {
  let found = value
  for (const key of path.split('/').slice(1)) found = (found as { [key: string]: unknown } | undefined)?.[key]
  return found
}

function deepFreeze(value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value
  for (const part of Object.values(value)) deepFreeze(part)
  return Object.freeze(value)
}
