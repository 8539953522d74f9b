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
/** All have been asked several times by then, and a new leader would have been found. */
const noneAfterMs = 3000

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
  const { transport } = connection.client
  const absence = new Absence(say)
  for (;;) {
    const { address } = transport
    try {
      for await (const message of connection.client.watch(run)) {
        absence.ends(address)
        onMessage(message)
        if (message.type === 'end') return message.run
      }
    } catch (error) {
      if (!isMusterError(error) || error.code !== 'coordinator_unreachable') throw error
      const awayMs = absence.goesOn(address, transport.address, error.message)
      if (awayMs > patienceMs) throw error
      await new Promise((resolve) => setTimeout(resolve, againMs))
      await connection.revive()
    }
  }
}

/** What is said while no coordinator answers: when one is lost, when there is no other either, and when one is there. */
class Absence {
  readonly #say: (text: string) => void
  #sinceMs: number | undefined
  #lost = ''
  #saidNone = false

  constructor(say: (text: string) => void) {
    this.#say = say
  }

  /** `lost` did not answer, and `next` will be asked; the same one when there is no other. Returns how long it has been. */
  goesOn(lost: string, next: string, why: string): number {
    const alone = lost === next
    if (this.#sinceMs === undefined) {
      this.#sinceMs = performance.now()
      this.#lost = lost
      this.#saidNone = alone
      this.#say(
        alone
          ? `the coordinator is away; workers go on, waiting for it (${why})`
          : `${why}; workers go on, asking another coordinator`,
      )
    }
    const awayMs = performance.now() - this.#sinceMs
    if (!this.#saidNone && awayMs > noneAfterMs) {
      this.#saidNone = true
      this.#say(`no coordinator answers; workers go on, waiting for one (${why})`)
    }
    return awayMs
  }

  ends(address: string): void {
    if (this.#sinceMs === undefined) return
    this.#sinceMs = undefined
    this.#say(address === this.#lost ? 'the coordinator is back' : `the coordinator at ${address} goes on`)
  }
}
