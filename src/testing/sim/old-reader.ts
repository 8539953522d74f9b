/** The log as the version before this one reads it: entries of a newer format are more than it can take. */
import type { LogPort } from '../../coordinator/ports.ts'
import { decodeEntry } from '../../core/events.ts'
import { formatOf } from '../../core/format.ts'
import type { Entry } from '../../log/log.ts'

export const oldFormat = 1

/** `tooNew`: it stops, and says so. */
export function oldReader(port: LogPort, tooNew: (format: number) => void): LogPort {
  const readable = (entries: readonly Entry[]): boolean => {
    for (const entry of entries) {
      const format = Math.max(...decodeEntry(entry.bytes).events.map(formatOf))
      if (format <= oldFormat) continue
      tooNew(format)
      return false
    }
    return true
  }
  return {
    append: (...given) => port.append(...given),
    claim: (...given) => port.claim(...given),
    leadership: (done) => port.leadership(done),
    head: (done) => port.head(done),
    snapshot: (done) => port.snapshot(done),
    read: (from, maxBytes, done) =>
      port.read(from, maxBytes, (result) => {
        if (result?.type !== 'entries' || readable(result.entries)) done(result)
      }),
    tail: (from, handlers) =>
      port.tail(from, {
        entries: (entries) => {
          if (readable(entries)) handlers.entries(entries)
        },
        claimed: (leadership) => handlers.claimed(leadership),
        resumed: () => handlers.resumed(),
      }),
  }
}
