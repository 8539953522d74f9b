/**
 * The rules that every backend applies to an append and a read, in one place, so that memory and
 * SQLite can't drift apart. The order matters: an entry that is already there in the same words is
 * `ok` even for a writer deposed since, because its write did happen and may be answered for.
 */
import { MusterError } from '../protocol/errors.ts'
import { assert } from '../stdx/assert.ts'
import type { AppendResult, Entry } from './log.ts'

export type AppendFacts = {
  readonly epoch: number
  readonly position: number
  readonly currentEpoch: number
  /** 0 when nothing was ever appended. */
  readonly lastPosition: number
  /** What the position holds now; undefined when it is free or trimmed. */
  readonly held: { readonly epoch: number; readonly same: boolean } | undefined
}

export function judgeAppend(facts: AppendFacts): AppendResult | 'write' {
  const { epoch, position, currentEpoch, lastPosition, held } = facts
  if (held?.same && (held.epoch === epoch || epoch === currentEpoch)) return { type: 'ok' }
  if (epoch !== currentEpoch) return { type: 'fenced', epoch: currentEpoch }
  // A trimmed position can't be compared any more; whoever retries that late has lost its place.
  if (position <= lastPosition) return { type: 'taken' }
  assert(position === lastPosition + 1, `append at ${position} would leave a hole: the head is ${lastPosition}`)
  return 'write'
}

export function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false
  for (let i = 0; i < a.length; i += 1) if (a[i] !== b[i]) return false
  return true
}

/** The first entries that fit into maxBytes together; at least one if there is one. */
export function takeWithin(entries: Iterable<Entry>, maxBytes: number): Entry[] {
  const taken: Entry[] = []
  let bytes = 0
  for (const entry of entries) {
    bytes += entry.bytes.length
    if (taken.length > 0 && bytes > maxBytes) break
    taken.push(entry)
  }
  return taken
}

export function deposed(action: string, epoch: number, current: number): MusterError {
  return new MusterError('conflict', `Cannot ${action}: epoch ${epoch} was deposed by epoch ${current}`)
}
