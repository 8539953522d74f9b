/**
 * The workers that are connected to this coordinator, whoever leads. Their frames go to the leader's
 * sessions: here, or through the link to another coordinator. When the leader changes the workers'
 * sockets stay; each worker is asked to say hello again, and repeats what isn't acknowledged. What a
 * worker says while nobody leads is dropped: it will be repeated.
 */
import type { CoordinatorMessage } from '../protocol/worker-messages.ts'
import type { WorkerSocket } from './ports.ts'
import type { WorkerConnection } from './worker-sessions.ts'

/** Where a worker's frames go: opens its conversation there. */
export type Upstream = (socket: WorkerSocket) => WorkerConnection

type Connected = {
  readonly socket: WorkerSocket
  upstream: WorkerConnection | undefined
  /** Frames before its next hello are meant for somebody else. */
  awaitsHello: boolean
}

const greet = JSON.stringify({ type: 'greet' } satisfies CoordinatorMessage)
const helloStart = /^\s*\{\s*"type"\s*:\s*"hello"/

export class Gateway {
  readonly #connected = new Set<Connected>()
  #upstream: Upstream | undefined
  /** Counts changes of the upstream: what an earlier one still says is not passed on. */
  #generation = 0

  get size(): number {
    return this.#connected.size
  }

  get attached(): boolean {
    return this.#upstream !== undefined
  }

  connect(socket: WorkerSocket): WorkerConnection {
    const one: Connected = { socket, upstream: undefined, awaitsHello: true }
    this.#connected.add(one)
    if (this.#upstream) this.#open(one, this.#upstream)
    return {
      message: (text) => {
        if (one.awaitsHello && !helloStart.test(text.slice(0, 64))) return
        if (!one.upstream) return
        one.awaitsHello = false
        one.upstream.message(text)
      },
      closed: () => {
        this.#connected.delete(one)
        one.upstream?.closed()
        one.upstream = undefined
      },
    }
  }

  #open(one: Connected, upstream: Upstream): void {
    const generation = this.#generation
    one.awaitsHello = true
    one.upstream = upstream({
      send: (text) => {
        if (generation === this.#generation) one.socket.send(text)
      },
      close: (code, reason) => {
        if (generation !== this.#generation) return
        one.upstream = undefined
        one.socket.close(code, reason)
      },
    })
  }

  /** Somebody leads: every worker is handed over and greeted. */
  attach(upstream: Upstream): void {
    this.#generation += 1
    this.#upstream = upstream
    for (const one of this.#connected) {
      this.#open(one, upstream)
      one.socket.send(greet)
    }
  }

  /** Nobody leads, as far as we know. */
  detach(): void {
    this.#generation += 1
    this.#upstream = undefined
    for (const one of this.#connected) one.upstream = undefined
  }

  close(code: number, reason: string): void {
    for (const one of this.#connected) one.socket.close(code, reason)
  }
}
