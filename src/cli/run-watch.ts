/**
 * Follows a run to its end, through lost connections and Ctrl-C. An interrupt stops the run, and what
 * is done is reported. A coordinator that is gone is brought back
 * when it is ours, and waited for when it isn't.
 */
import type { Connection } from './connect.ts'
import { isMusterError } from '../protocol/errors.ts'
import type { FeedMessage, RunView } from '../protocol/run-view.ts'

/** How long a coordinator may be away before we give up on it. */
export const awayMaxMs = 5 * 60_000
const againMs = 200

export type WatchOptions = {
  readonly connection: Connection
  readonly run: string
  readonly interrupt: AbortSignal
  /** Default: `awayMaxMs`. */
  readonly patienceMs?: number
  readonly onMessage: (message: FeedMessage) => void
  readonly say: (text: string) => void
}

export type Watched = { readonly run: RunView; readonly interrupted: boolean }

export async function watchRun(options: WatchOptions): Promise<Watched> {
  const { connection, run, interrupt, onMessage, say } = options
  const cancel = () => {
    connection.client.act(run, 'cancel', { why: 'interrupted', drain: true }).catch((error: unknown) => {
      // Over already, or the coordinator is away: then it is told when it is back.
      if (!isMusterError(error)) throw error
    })
  }
  const onInterrupt = () => {
    say('stopping the run: files that run may finish, for 10 s; what is done is reported (again to leave at once)')
    cancel()
  }
  if (interrupt.aborted) onInterrupt()
  interrupt.addEventListener('abort', onInterrupt)
  try {
    const view = await follow({
      ...options,
      onMessage(message) {
        if (message.type === 'snapshot' && interrupt.aborted) cancel()
        onMessage(message)
      },
    })
    return { run: view, interrupted: interrupt.aborted }
  } finally {
    interrupt.removeEventListener('abort', onInterrupt)
  }
}

async function follow(options: WatchOptions): Promise<RunView> {
  const { connection, run, onMessage, say, patienceMs = awayMaxMs } = options
  let awaySinceMs: number | undefined
  let lost = ''
  const { transport } = connection.client
  for (;;) {
    const { address } = transport
    try {
      for await (const message of connection.client.watch(run)) {
        if (awaySinceMs !== undefined) {
          say(transport.address === lost ? 'the coordinator is back' : `the coordinator at ${address} goes on`)
          awaySinceMs = undefined
        }
        onMessage(message)
        if (message.type === 'end') return message.run
      }
    } catch (error) {
      if (!isMusterError(error) || error.code !== 'coordinator_unreachable') throw error
      if (awaySinceMs === undefined) {
        awaySinceMs = Date.now()
        lost = address
        say(
          transport.address === address
            ? `the coordinator is away; workers go on, waiting for it (${error.message})`
            : `${error.message}; workers go on, asking another coordinator`,
        )
      }
      if (Date.now() - awaySinceMs > patienceMs) throw error
      await new Promise((resolve) => setTimeout(resolve, againMs))
      await connection.revive()
    }
  }
}
