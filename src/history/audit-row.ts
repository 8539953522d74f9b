/** One line of the audit for an event: who did what to which run, why, and the event as JSON, shortened when it is long. */
import type { Event } from '../core/events.ts'
import type { Row } from './schema.ts'

const jsonLengthMax = 2000
const itemsKept = 10
const textKept = 300

export function auditRow(position: number, part: number, atMs: number, event: Event): Row<'audit'> {
  return {
    position,
    part,
    at_ms: atMs,
    run: 'run' in event ? event.run : null,
    type: event.type,
    who: whoOf(event),
    why: 'why' in event ? event.why : 'message' in event ? (event.message ?? '') : '',
    event: shortJson(event),
  }
}

function whoOf(event: Event): string {
  if ('who' in event) return event.who
  if (
    event.type === 'worker.joined' ||
    event.type === 'worker.left' ||
    event.type === 'task.reported' ||
    event.type === 'task.started'
  )
    return `worker:${event.worker}`
  return 'coordinator'
}

/** Whole when it is short; else long lists and texts end in a word on what was left out. */
function shortJson(event: Event): string {
  const whole = JSON.stringify(event)
  if (whole.length <= jsonLengthMax) return whole
  return JSON.stringify(event, (_key, value: unknown) => {
    if (Array.isArray(value) && value.length > itemsKept)
      return [...(value as unknown[]).slice(0, itemsKept), `… ${value.length - itemsKept} more`]
    if (typeof value === 'string' && value.length > textKept)
      return `${value.slice(0, textKept)}… ${value.length - textKept} more characters`
    return value
  })
}
