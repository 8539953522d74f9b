/** A log entry on one line, for traces. */
import { decodeEntry, type Event } from '../../core/events.ts'
import type { Entry } from '../../log/log.ts'

export function showEntry(entry: Entry): string {
  return decodeEntry(entry.bytes).events.map(showEvent).join('; ')
}

function showEvent(event: Event): string {
  const fields = event as unknown as Record<string, unknown>
  const words: string[] = [event.type]
  for (const key of [
    'epoch',
    'owner',
    'run',
    'batch',
    'worker',
    'reason',
    'state',
    'cause',
    'verdict',
    'format',
    'why',
  ]) {
    const value = fields[key]
    if (typeof value === 'string' || typeof value === 'number') words.push(key === 'why' ? `(${value})` : String(value))
  }
  if (event.type === 'task.reported') words.push(event.reports.map((one) => `${one.task}:${one.outcome}`).join(' '))
  else if (Array.isArray(fields['tasks'])) words.push((fields['tasks'] as number[]).join(','))
  return words.join(' ')
}
