/**
 * Goes on with what was asked for when the coordinator goes away in between, can't serve for a moment, or
 * is too busy: brings it back when that is in our power, waits for it when it isn't, and asks again. Only for
 * what may be asked twice.
 */
import { formatDuration } from '../stdx/duration.ts'
import type { Connection } from './connect.ts'
import { isMusterError, type ErrorCode, type MusterError } from '../protocol/errors.ts'

const againMs = 200
const busyAgainMs = 1000

/** What is said while it is waited for. */
const busyWords: { readonly [code in ErrorCode]?: string } = {
  overloaded: 'the coordinator is busy',
  log_failed: 'the coordinator cannot write now',
  disk_full: 'the coordinator cannot write now',
}

export type Patience = {
  /** How long it may be away before that is an error. */
  readonly awayMaxMs: number
  /** How long it may answer that it can't serve now. Default: `awayMaxMs`. */
  readonly unreadyMaxMs?: number
  /** How long it may turn us away because it is overloaded. Default: not at all. */
  readonly busyMaxMs?: number
  /** Ends the waiting, not what was asked for. */
  readonly signal?: AbortSignal
  readonly onAway?: (error: Error) => void
  readonly onBusy?: (words: string) => void
}

export async function persist<T>(connection: Connection, patience: Patience, ask: () => Promise<T>): Promise<T> {
  const sinceMs = new Map<string, number>()
  for (;;) {
    try {
      return await ask()
    } catch (error) {
      if (!isMusterError(error)) throw error
      const maxMs = patienceFor(error, connection, patience)
      if (maxMs === undefined || patience.signal?.aborted) throw error
      if (!sinceMs.has(error.code) && error.code === 'coordinator_unreachable') patience.onAway?.(error)
      const nowMs = Date.now()
      const since = sinceMs.get(error.code) ?? nowMs
      sinceMs.set(error.code, since)
      const leftMs = since + maxMs - nowMs
      if (leftMs <= 0) throw error
      const waitMs = Math.min(leftMs, error.retryAfterMs ?? (error.code === 'overloaded' ? busyAgainMs : againMs))
      const what = busyWords[error.code]
      if (what !== undefined) {
        patience.onBusy?.(`${what}: ${error.message}; trying again in ${formatDuration(waitMs)}`)
      }
      await sleep(waitMs, patience.signal)
      if (error.code === 'coordinator_unreachable') await connection.revive()
    }
  }
}

/** How long this may last; undefined: no waiting helps. */
function patienceFor(error: MusterError, connection: Connection, patience: Patience): number | undefined {
  switch (error.code) {
    case 'coordinator_unreachable':
      return patience.awayMaxMs
    case 'unavailable':
      // A daemon that says nothing is stuck; a cluster between two leaders soon has one.
      return connection.kind === 'server' ? (patience.unreadyMaxMs ?? patience.awayMaxMs) : undefined
    case 'log_failed':
    case 'disk_full':
      return patience.unreadyMaxMs ?? patience.awayMaxMs
    case 'overloaded':
      return patience.busyMaxMs
    default:
      return undefined
  }
}

function sleep(durationMs: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve) => {
    const end = () => {
      clearTimeout(timer)
      signal?.removeEventListener('abort', end)
      resolve()
    }
    const timer = setTimeout(end, durationMs)
    signal?.addEventListener('abort', end)
  })
}

/** The same for a stream that is the same each time: what was seen is skipped when it begins again. */
export async function* persistStream<T>(
  connection: Connection,
  patience: Patience,
  open: () => AsyncIterable<T>,
): AsyncGenerator<T> {
  let seen = 0
  let stream = skip(open(), seen)
  for (;;) {
    const next = await persist(connection, patience, async () => {
      try {
        return await stream.next()
      } catch (error) {
        stream = skip(open(), seen)
        throw error
      }
    })
    if (next.done) return
    seen += 1
    yield next.value
  }
}

async function* skip<T>(stream: AsyncIterable<T>, count: number): AsyncGenerator<T> {
  let index = 0
  for await (const one of stream) {
    if (index >= count) yield one
    index += 1
  }
}
