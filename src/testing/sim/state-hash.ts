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

export function stateHash(state: State): number {
  return hashText(stateText(state))
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
