/**
 * A state as one text and one number: equal states have equal ones, whether they were built by
 * applying every event or came from a snapshot. The order of lists and maps counts, because decisions
 * follow it; the order of an object's fields doesn't, and a field that is undefined is none.
 */
import { capture } from '../../core/snapshot.ts'
import type { State } from '../../core/state.ts'
import { hashText } from './random.ts'

/** For comparing. */
export function stateText(state: State): string {
  return canonical(capture(state))
}

/** Quicker than by the text: most of what is in a state has been hashed before. */
export function stateHash(state: State): number {
  return hashOf(capture(state))
}

/** For storing. */
export function snapshotText(state: State): string {
  return JSON.stringify(capture(state))
}

function canonical(value: unknown): string {
  if (typeof value !== 'object' || value === null) return JSON.stringify(value) ?? 'null'
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`
  let text = '{'
  for (const key of Object.keys(value).sort()) {
    const field = (value as Record<string, unknown>)[key]
    if (field !== undefined) text += `${key}:${canonical(field)},`
  }
  return `${text}}`
}

const known = new Map<string, number>()
const knownMax = 100_000
const float = new Float64Array(1)
const words = new Uint32Array(float.buffer)

function hashString(text: string): number {
  let hash = known.get(text)
  if (hash === undefined) {
    hash = hashText(text)
    if (known.size >= knownMax) known.clear()
    known.set(text, hash)
  }
  return hash
}

function join(a: number, b: number): number {
  const mixed = Math.imul(a ^ (b + 0x9e3779b9 + (a << 6) + (a >>> 2)), 0x85ebca6b)
  return mixed ^ (mixed >>> 15)
}

function hashOf(value: unknown): number {
  switch (typeof value) {
    case 'string':
      return hashString(value)
    case 'number':
      float[0] = value
      return join(words[0]!, words[1]!)
    case 'object': {
      if (value === null) return 1
      if (Array.isArray(value)) return value.reduce<number>((sum, one) => join(sum, hashOf(one)), value.length)
      // A sum, so that the order of fields doesn't count.
      let sum = 2
      for (const key in value) {
        const field = (value as Record<string, unknown>)[key]
        if (field !== undefined) sum = (sum + join(hashString(key), hashOf(field))) | 0
      }
      return sum
    }
    default:
      return value === true ? 3 : 4
  }
}
