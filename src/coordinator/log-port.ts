/** A log of promises as the calls with callbacks that the synchronous part of a coordinator uses. */
import type { Log, SharedLog } from '../log/log.ts'
import { isMusterError, type MusterError } from '../protocol/errors.ts'
import type { LogPort } from './ports.ts'

/**
 * `onFailure`: what is not the log's passing trouble: a bug, or a log that this program can't use.
 * Without `shared` there is one coordinator, and nobody else ever claims.
 */
export function logPort(log: Log, shared: SharedLog | undefined, onFailure: (error: unknown) => void): LogPort {
  /** Trouble of the medium is an answer; anything else is a bug, and is told as one. */
  const settle = async <T>(
    work: Promise<T>,
    done: (result: T) => void,
    failed: (error: MusterError) => void,
  ): Promise<void> => {
    let result: T
    try {
      result = await work
    } catch (error) {
      return isMusterError(error) ? failed(error) : onFailure(error)
    }
    done(result)
  }
  return {
    append(epoch, position, bytes, done) {
      void settle(log.append(epoch, position, bytes), done, ({ code, message }) =>
        done({ type: 'unknown', why: message, code: code === 'disk_full' ? code : 'log_failed' }),
      )
    },
    claim(fromEpoch, owner, done) {
      const claimed = shared ? shared.claimFrom(fromEpoch, owner) : log.claim(owner)
      void settle(
        claimed,
        (head) => done(head ?? 'lost'),
        () => done(undefined),
      )
    },
    leadership(done) {
      if (shared) void settle(shared.leadership(), done, () => done(undefined))
      else
        void settle(
          log.head(),
          ({ epoch }) => done({ epoch, owner: '' }),
          () => done(undefined),
        )
    },
    head: (done) => void settle(log.head(), done, () => done(undefined)),
    read: (from, maxBytes, done) => void settle(log.read(from, maxBytes), done, () => done(undefined)),
    snapshot: (done) =>
      void settle(
        log.getSnapshot(),
        (snapshot) => done(snapshot ?? 'none'),
        () => done(undefined),
      ),
    tail: (from, handlers) => shared?.tail(from, handlers) ?? (() => undefined),
  }
}
