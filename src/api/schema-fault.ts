/** What is wrong with a request, from what the schema's validator says of it, in words for whoever sent it. */

type SchemaError = {
  readonly keyword: string
  readonly schemaPath: string
  readonly instancePath: string
  readonly params: object
  readonly message: string
}

/** `whole`: what the value is called, e.g. `body`. */
export function faultWords(errors: readonly SchemaError[], whole: string): string {
  const fault = likeliest(errors)
  if (fault === undefined) return `${whole}: is not valid`
  const at = fault.instancePath === '' ? whole : fault.instancePath
  if (fault.keyword === 'boolean' && at.endsWith('/')) return `${at.slice(0, -1)}: a name in it is empty`
  if (fault.keyword === 'boolean' || fault.keyword === 'additionalProperties') return `${at}: there is no such field`
  if (fault.keyword === 'required') return `${at}: expected also ${listIn(fault, 'requiredProperties').join(', ')}`
  if (fault.keyword !== 'const') return `${at}: ${fault.message}`
  const alike = errors.filter((one) => one.keyword === 'const' && one.instancePath === fault.instancePath)
  const allowed = new Set(alike.map((one) => JSON.stringify((one.params as { allowedValue?: unknown }).allowedValue)))
  return `${at}: expected ${[...allowed].join(' or ')}`
}

/** Of a union the form that is meant: one whose fixed values all fit. */
function likeliest(errors: readonly SchemaError[]): SchemaError | undefined {
  const [first] = errors
  if (first === undefined || formOf(first) === undefined) return first
  const others = new Set(errors.filter((one) => one.keyword === 'const').map(formOf))
  return errors.find((one) => one.keyword !== 'anyOf' && !others.has(formOf(one))) ?? first
}

function formOf({ schemaPath }: SchemaError): string | undefined {
  return /^.*?\/anyOf\/\d+/.exec(schemaPath)?.[0]
}

function listIn({ params }: SchemaError, key: string): readonly string[] {
  const list: unknown = (params as Readonly<Record<string, unknown>>)[key]
  return Array.isArray(list) ? list.map(String) : []
}
