/**
 * Which version of the log's language an event needs. Coordinators of different versions share one
 * log during an upgrade, so a new kind of event, or a new field that another member must understand,
 * is written only after `format.raised`, which the leader asks for when every member can read it.
 * Until then the features that need it act as they did before it existed.
 *
 * 1: what 0.1.0 wrote. 2: raised formats, retry policies, recovery levels, usage of batches, fencing by the worker itself.
 * 3: needs of tasks and what batches are granted for them, dependencies, deadlines, chosen schedulers and their faults, tokens of users.
 */
import type { Event } from './events.ts'
import { Refused, type RaiseFormat } from './input.ts'
import type { State } from './state.ts'

/** The newest format that this version reads and writes. */
export const readableFormat = 3

/** The format that each kind of event came with. */
const typeFormats: Readonly<Record<Event['type'], number>> = {
  'format.raised': 2,
  'leader.started': 1,
  'scheduler.chosen': 3,
  'scheduler.faulted': 3,
  'user-token.made': 3,
  'user-tokens.revoked': 3,
  'run.submitted': 1,
  'run.extended': 1,
  'run.sealed': 1,
  'run.paused': 1,
  'run.resumed': 1,
  'run.prioritised': 1,
  'run.cancelled': 1,
  'run.errored': 1,
  'run.finished': 1,
  'run.forgotten': 1,
  'batch.assigned': 1,
  'batch.ended': 1,
  'task.started': 1,
  'task.reported': 1,
  'task.requeued': 1,
  'task.unblocked': 3,
  'task.ended': 1,
  'worker.joined': 1,
  'worker.drained': 1,
  'worker.left': 1,
  'worker.recycling': 2,
  'worker.recycled': 2,
  'dead-letter.added': 2,
  'dead-letter.replayed': 2,
  'dead-letter.settled': 2,
  'dead-letter.discarded': 2,
  'dead-letter.dropped': 2,
  'breaker.moved': 2,
  'breaker.counted': 2,
}

type Since = {
  /** Where it lies in the event. */
  readonly path: readonly string[]
  /** Only this value is new; absent = the field itself is. */
  readonly value?: string
  readonly format: number
}

/** Fields and values that came later than the event they are in. */
const fieldFormats: { readonly [T in Event['type']]?: readonly Since[] } = {
  'run.submitted': [
    { path: ['spec', 'retry'], format: 2 },
    { path: ['spec', 'deadLetters'], format: 2 },
    { path: ['spec', 'traceparent'], format: 2 },
    { path: ['spec', 'needs'], format: 3 },
    { path: ['spec', 'deadlineAtMs'], format: 3 },
    { path: ['spec', 'after'], format: 3 },
    { path: ['spec', 'onDependencyFailure'], format: 3 },
    { path: ['spec', 'user'], format: 3 },
    { path: ['kinds'], format: 3 },
    { path: ['dependencies'], format: 3 },
    { path: ['guessed'], format: 3 },
  ],
  'run.extended': [
    { path: ['kinds'], format: 3 },
    { path: ['guessed'], format: 3 },
  ],
  'batch.assigned': [{ path: ['grant'], format: 3 }],
  'task.requeued': [
    { path: ['level'], format: 2 },
    { path: ['notBeforeMs'], format: 2 },
    { path: ['avoid'], format: 2 },
    { path: ['on'], format: 2 },
    { path: ['cause'], value: 'infrastructure', format: 2 },
  ],
  'task.ended': [{ path: ['cause'], format: 2 }],
  'batch.ended': [
    { path: ['usage'], format: 2 },
    { path: ['recoveries'], format: 2 },
    { path: ['reason'], value: 'fenced', format: 2 },
  ],
}

/** The lowest format of a log that may hold this event. */
export function formatOf(event: Event): number {
  let format = typeFormats[event.type]
  for (const since of fieldFormats[event.type] ?? []) {
    let found: unknown = event
    for (const key of since.path) found = (found as Record<string, unknown> | undefined)?.[key]
    if (found === undefined || (since.value !== undefined && found !== since.value)) continue
    if (since.format > format) format = since.format
  }
  return format
}

/** The log or the snapshot was written by a newer version; nothing of it was taken. */
export class UnreadableFormat extends Error {
  override readonly name = 'UnreadableFormat'

  constructor(what: string, format: number) {
    super(
      `Cannot read ${what}: expected format ${readableFormat} or older, received format ${format}; start a newer version of Muster`,
    )
  }
}

export function assertReadable(what: string, format: number): void {
  if (format > readableFormat) throw new UnreadableFormat(what, format)
}

export function stepRaiseFormat(state: State, input: RaiseFormat): readonly Event[] {
  if (input.format > readableFormat) {
    throw new Refused('request_invalid', `expected a format up to ${readableFormat}, received ${input.format}`)
  }
  return input.format <= state.format ? [] : [{ type: 'format.raised', format: input.format }]
}
