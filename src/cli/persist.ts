/**
 * Goes on with what was asked for when the coordinator goes away in between: brings it back when that is in
 * our power, waits for it when it isn't, and asks again. Only for what may be asked twice.
 */
import type { Connection } from './connect.ts'
import { isMusterError } from '../protocol/errors.ts'

const againMs = 200

export type Patience = {
  /** How long it may be away before that is an error. */
  readonly awayMaxMs: number
  readonly onAway?: (error: Error) => void
}

export async function persist<T>(connection: Connection, patience: Patience, ask: () => Promise<T>): Promise<T> {
  let awaySinceMs: number | undefined
  for (;;) {
    try {
      return await ask()
    } catch (error) {
      if (!isMusterError(error) || error.code !== 'coordinator_unreachable') throw error
      if (awaySinceMs === undefined) patience.onAway?.(error)
      awaySinceMs ??= Date.now()
      if (Date.now() - awaySinceMs >= patience.awayMaxMs) throw error
      await new Promise((resolve) => setTimeout(resolve, againMs))
      await connection.revive()
    }
  }
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
