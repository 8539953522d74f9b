/** A value of the configuration as messages show it; what a terminal would obey as an escape. It may be anything that a module can export. */
import { inspect } from 'node:util'

export function quoted(value: unknown): string {
  if (typeof value === 'string' && !/\p{C}/u.test(value)) return `'${value}'`
  // Numbers such as NaN, and what JSON does not know.
  if (typeof value !== 'object' && typeof value !== 'string') return inspect(value)
  try {
    return JSON.stringify(value).replace(/\p{C}/gu, escaped)
  } catch {
    // It goes round in a circle, or has a bigint in it.
    return inspect(value, { depth: 1, breakLength: Infinity })
  }
}

function escaped(character: string): string {
  return `\\u${character.codePointAt(0)!.toString(16).padStart(4, '0')}`
}
