/**
 * Checks of what comes from outside, by hand. The protocol's schemas say the same, but their library
 * takes longer to load than most batches have to wait for anything else, twice per worker (two
 * threads); a test holds the two against each other.
 */
export type Shape = (value: unknown) => boolean

export const anything: Shape = () => true
export const string: Shape = (value) => typeof value === 'string'
export const number: Shape = (value) => typeof value === 'number' && Number.isFinite(value)
export const boolean: Shape = (value) => typeof value === 'boolean'

export function oneOf(...words: readonly string[]): Shape {
  return (value) => typeof value === 'string' && words.includes(value)
}

export function arrayOf(item: Shape): Shape {
  return (value) => Array.isArray(value) && value.every(item)
}

export function record(item: Shape): Shape {
  return (value) => isObject(value) && Object.values(value).every(item)
}

const optionals = new WeakSet<Shape>()

/** The property may be absent. */
export function optional(shape: Shape): Shape {
  const own: Shape = (value) => shape(value)
  optionals.add(own)
  return own
}

/** Properties that are not named may be there and are not looked at. */
export function object(properties: Readonly<Record<string, Shape>>): Shape {
  const checks = Object.entries(properties).map(([name, shape]) => ({ name, shape, isOptional: optionals.has(shape) }))
  return (value) =>
    isObject(value) &&
    checks.every(({ name, shape, isOptional }) => (Object.hasOwn(value, name) ? shape(value[name]) : isOptional))
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
