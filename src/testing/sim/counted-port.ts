/** A coordinator's log as it sees it, with the rare answers counted. */
import type { LogPort } from '../../coordinator/ports.ts'
import type { Counters } from './counters.ts'

/** `position`: of the last entry that the coordinator has applied. */
export function countedPort(port: LogPort, count: Counters, position: () => number): LogPort {
  const unknown = new Set<number>()
  return {
    append: (epoch, at, bytes, done) =>
      port.append(epoch, at, bytes, (outcome) => {
        if (outcome.type === 'unknown') unknown.add(at)
        else if (unknown.delete(at) && outcome.type === 'ok') count.reached('append ok after unknown')
        done(outcome)
      }),
    claim: (from, owner, done) => port.claim(from, owner, done),
    leadership: (done) => port.leadership(done),
    head: (done) => port.head(done),
    read: (from, maxBytes, done) => port.read(from, maxBytes, done),
    snapshot: (done) => port.snapshot(done),
    tail: (from, handlers) =>
      port.tail(from, {
        entries: (entries) => {
          if ((entries[0]?.position ?? 0) > position() + 1) count.reached('hole in the tail')
          handlers.entries(entries)
        },
        claimed: (leadership) => handlers.claimed(leadership),
        resumed: () => handlers.resumed(),
      }),
  }
}
