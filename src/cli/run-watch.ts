/**
 * Follows a run to its end, through lost connections and Ctrl-C. The first interrupt stops the run
 * and reports what is done; the second leaves at once. A coordinator that is gone is brought back
 * when it is ours, and waited for when it isn't.
 */
import type { Connection } from './connect.ts'
import { isMusterError } from '../protocol/errors.ts'
import type { FeedMessage, RunView } from '../protocol/run-view.ts'

/** How long a coordinator may be away before we give up on it. */
const awayMaxMs = 5 * 60_000
const againMs = 200

export type WatchOptions = {
  readonly connection: Connection
  readonly run: string
  readonly onMessage: (message: FeedMessage) => void
  readonly say: (text: string) => void
}

export type Watched = { readonly run: RunView; readonly interrupted: boolean }

export async function watchRun({ connection, run, onMessage, say }: WatchOptions): Promise<Watched> {
  let interrupts = 0
  const onSignal = () => {
    interrupts += 1
    if (interrupts > 1) process.exit(130)
    say('stopping the run; what is done will be reported (again to leave at once)')
    connection.client.act(run, 'cancel', { why: 'interrupted' }).catch((error: unknown) => {
      // Over already, or the coordinator is away: the watch below learns which.
      if (!isMusterError(error)) throw error
    })
  }
  process.on('SIGINT', onSignal).on('SIGTERM', onSignal)
  try {
    const view = await follow({ connection, run, onMessage, say })
    return { run: view, interrupted: interrupts > 0 }
  } finally {
    process.off('SIGINT', onSignal).off('SIGTERM', onSignal)
  }
}

async function follow({ connection, run, onMessage, say }: WatchOptions): Promise<RunView> {
  let awaySinceMs: number | undefined
  for (;;) {
    try {
      for await (const message of connection.client.watch(run)) {
        if (awaySinceMs !== undefined) {
          say('the coordinator is back')
          awaySinceMs = undefined
        }
        onMessage(message)
        if (message.type === 'end') return message.run
      }
    } catch (error) {
      if (!isMusterError(error) || error.code !== 'coordinator_unreachable') throw error
      if (awaySinceMs === undefined) {
        awaySinceMs = Date.now()
        say(`the coordinator is away; workers go on, waiting for it (${error.message})`)
      }
      if (Date.now() - awaySinceMs > awayMaxMs) throw error
      await new Promise((resolve) => setTimeout(resolve, againMs))
      await connection.revive()
    }
  }
}
