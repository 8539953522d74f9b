/**
 * Shapes of what stands in `muster.config.*`, and whether a value has one. They are JSON schemas, of the few words that
 * a configuration needs, and a test holds the check against TypeBox, with which the protocol's are made. That library
 * would be most of what `muster run` loads in a project with a configuration.
 */
export type Shape = {
  readonly type?: 'object' | 'array' | 'string' | 'number' | 'integer' | 'boolean'
  /** What is expected there, in the words of an error message. */
  readonly description?: string
  readonly const?: string
  readonly minLength?: number
  readonly maxLength?: number
  readonly pattern?: string
  readonly minimum?: number
  readonly maximum?: number
  readonly minItems?: number
  readonly items?: Shape
  readonly anyOf?: readonly Shape[]
  readonly required?: readonly string[]
  readonly properties?: Readonly<Record<string, Shape>>
  readonly additionalProperties?: false | Shape
}

type More = Omit<Shape, 'type'>
const optionals = new WeakSet<Shape>()

export const string = (more: More = {}): Shape => ({ type: 'string', ...more })
export const number = (more: More = {}): Shape => ({ type: 'number', ...more })
export const integer = (more: More = {}): Shape => ({ type: 'integer', ...more })
export const boolean = (more: More = {}): Shape => ({ type: 'boolean', ...more })
export const array = (items: Shape, more: More = {}): Shape => ({ type: 'array', items, ...more })
export const record = (each: Shape, more: More = {}): Shape => ({ type: 'object', additionalProperties: each, ...more })
export const union = (anyOf: readonly Shape[], more: More = {}): Shape => ({ anyOf, ...more })

/** One of these words. */
export function choice(...words: readonly string[]): Shape {
  return union(
    words.map((word) => string({ const: word })),
    { description: `one of ${words.join(', ')}` },
  )
}

/** These properties and no others. */
export function object(properties: Readonly<Record<string, Shape>>, more: More = {}): Shape {
  const required = Object.keys(properties).filter((key) => !optionals.has(properties[key]!))
  return { type: 'object', required, properties, additionalProperties: false, ...more }
}

/** The property may be absent. */
export function optional(shape: Shape): Shape {
  const own = { ...shape }
  optionals.add(own)
  return own
}

export function fits(shape: Shape, value: unknown): boolean {
  if (shape.anyOf !== undefined) return shape.anyOf.some((one) => fits(one, value))
  switch (shape.type) {
    case 'string':
      return typeof value === 'string' && fitsText(shape, value)
    case 'number':
    case 'integer':
      return typeof value === 'number' && fitsNumber(shape, value)
    case 'boolean':
      return typeof value === 'boolean'
    case 'array':
      return (
        Array.isArray(value) &&
        value.length >= (shape.minItems ?? 0) &&
        // A comma too many leaves a hole, which `every` passes over.
        Array.from(value as unknown[]).every((one) => shape.items === undefined || fits(shape.items, one))
      )
    case 'object':
      return isObject(value) && fitsObject(shape, value)
    case undefined:
      return true
  }
}

function fitsText({ const: only, minLength = 0, maxLength = Infinity, pattern }: Shape, text: string): boolean {
  if (only !== undefined && text !== only) return false
  if (pattern !== undefined && !new RegExp(pattern, 'u').test(text)) return false
  return text.length >= minLength && text.length <= maxLength
}

function fitsNumber({ type, minimum = -Infinity, maximum = Infinity }: Shape, value: number): boolean {
  if (!(type === 'integer' ? Number.isInteger(value) : Number.isFinite(value))) return false
  return value >= minimum && value <= maximum
}

function fitsObject({ required = [], properties = {}, additionalProperties }: Shape, value: object): boolean {
  if (required.some((key) => !Object.hasOwn(value, key))) return false
  return Object.entries(value).every(([key, one]) => {
    if (Object.hasOwn(properties, key)) {
      const isAbsent = one === undefined && !required.includes(key)
      return isAbsent || fits(properties[key]!, one)
    }
    if (additionalProperties === undefined) return true
    return additionalProperties !== false && fits(additionalProperties, one)
  })
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
