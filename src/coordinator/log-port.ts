/** A log of promises as the calls with callbacks that the synchronous part of a coordinator uses. */
import type { Log, SharedLog } from '../log/log.ts'
import { isMusterError } from '../protocol/errors.ts'
import type { LogPort } from './ports.ts'

/**
 * `onFailure`: what is not the log's passing trouble: a bug, or a log that this program can't use.
 * Without `shared` there is one coordinator, and nobody else ever claims.
 */
export function logPort(log: Log, shared: SharedLog | undefined, onFailure: (error: unknown) => void): LogPort {
  /** Trouble of the medium is an answer; anything else is a bug, and is told as one. */
  const failed = (done: (nothing: undefined) => void) => (error: unknown) => {
    if (isMusterError(error)) done(undefined)
    else onFailure(error)
  }
  return {
    append(epoch, position, bytes, done) {
      log.append(epoch, position, bytes).then(done, (error: unknown) => {
        if (!isMusterError(error)) return onFailure(error)
        const code = error.code === 'disk_full' ? 'disk_full' : 'log_failed'
        done({ type: 'unknown', why: error.message, code })
      })
    },
    claim(fromEpoch, owner, done) {
      const claimed = shared ? shared.claimFrom(fromEpoch, owner) : log.claim(owner)
      claimed.then((head) => done(head ?? 'lost'), failed(done))
    },
    leadership(done) {
      if (shared) shared.leadership().then(done, failed(done))
      else log.head().then(({ epoch }) => done({ epoch, owner: '' }), failed(done))
    },
    head: (done) => void log.head().then(done, failed(done)),
    read: (from, maxBytes, done) => void log.read(from, maxBytes).then(done, failed(done)),
    snapshot: (done) => void log.getSnapshot().then((snapshot) => done(snapshot ?? 'none'), failed(done)),
    tail: (from, handlers) => shared?.tail(from, handlers) ?? (() => undefined),
  }
}
