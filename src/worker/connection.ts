/**
 * The worker's WebSocket to its coordinator: dials, dials again with full-jitter back-off when it is
 * lost. It knows nothing of batches: what a new connection means, and when one is to be given up, is
 * the protocol's business.
 */
import WebSocket from 'ws'
import { MusterError } from '../protocol/errors.ts'
import type { CoordinatorMessage } from '../protocol/worker-messages.ts'
import { authorization, type Endpoint, webSocketAddress } from './endpoint.ts'
import type { WorkerLog } from './thread-messages.ts'

/** A restarted coordinator is back in under a second, so the first tries are quick. */
const quickTries = 4
const firstDelayMs = 50
const delayMaxMs = 5000
const dialTimeoutMs = 10_000

export type ConnectionHandlers = {
  readonly opened: () => void
  readonly message: (message: CoordinatorMessage) => void
  readonly closed: () => void
  /** It will not be tried again. */
  readonly failed: (error: MusterError) => void
}

export class Connection {
  readonly #endpoint: Endpoint
  readonly #handlers: ConnectionHandlers
  readonly #log: WorkerLog
  readonly #joinDeadlineMs: number
  readonly #joinTimeoutMs: number
  #socket: WebSocket | undefined
  #timer: NodeJS.Timeout | undefined
  #tries = 0
  #joined = false
  #closed = false

  constructor(endpoint: Endpoint, joinTimeoutMs: number, handlers: ConnectionHandlers, log: WorkerLog) {
    this.#endpoint = endpoint
    this.#handlers = handlers
    this.#log = log
    this.#joinTimeoutMs = joinTimeoutMs
    this.#joinDeadlineMs = performance.now() + joinTimeoutMs
  }

  get isOpen(): boolean {
    return this.#socket?.readyState === WebSocket.OPEN
  }

  /** Bytes handed over and not yet taken by the kernel. */
  get bufferedBytes(): number {
    return this.#socket?.bufferedAmount ?? 0
  }

  dial(): void {
    const socket = new WebSocket(webSocketAddress(this.#endpoint, '/api/v1/worker'), {
      headers: authorization(this.#endpoint),
      perMessageDeflate: false,
      handshakeTimeout: dialTimeoutMs,
      maxPayload: 256 * 1024 * 1024,
    })
    this.#socket = socket
    let why = 'the connection was closed'
    socket.on('open', () => {
      if (this.#socket === socket) this.#handlers.opened()
    })
    socket.on('message', (data: Buffer) => this.#received(socket, data))
    socket.on('unexpected-response', (request, response) => {
      request.destroy()
      const refusal = this.#refusal(response.statusCode ?? 0)
      if (refusal) return this.#fail(refusal)
      why = `it answered HTTP ${response.statusCode}`
      this.#lost(socket, why)
    })
    socket.on(
      'error',
      (error) => (why = error.message === '' ? String((error as NodeJS.ErrnoException).code) : error.message),
    )
    socket.on('close', () => this.#lost(socket, why))
  }

  /** The coordinator has welcomed the worker: from now on a lost connection is dialled again for ever. */
  joined(): void {
    this.#joined = true
    this.#tries = 0
  }

  send(text: string): void {
    if (this.isOpen) this.#socket?.send(text)
  }

  /** Gives up the connection that is open; another is dialled. */
  drop(why: string): void {
    const socket = this.#socket
    if (socket === undefined) return
    socket.terminate()
    this.#lost(socket, why)
  }

  /** Says goodbye; what was sent before still arrives. */
  async close(): Promise<void> {
    this.#closed = true
    clearTimeout(this.#timer)
    const socket = this.#socket
    if (socket === undefined || socket.readyState === WebSocket.CLOSED) return
    const { promise, resolve } = Promise.withResolvers<void>()
    socket.once('close', () => resolve())
    const impatience = setTimeout(() => socket.terminate(), 1000)
    if (socket.readyState === WebSocket.OPEN) socket.close(1000)
    else socket.terminate()
    await promise
    clearTimeout(impatience)
  }

  #received(socket: WebSocket, data: Buffer): void {
    if (this.#closed || this.#socket !== socket) return
    let message: CoordinatorMessage
    try {
      message = JSON.parse(data.toString('utf8')) as CoordinatorMessage
    } catch (error) {
      this.#log('error', `The coordinator sent something that is not JSON: ${(error as Error).message}`)
      return
    }
    this.#handlers.message(message)
  }

  #lost(socket: WebSocket, why: string): void {
    if (this.#socket !== socket) return
    this.#socket = undefined
    if (this.#closed) return
    this.#handlers.closed()
    if (!this.#joined && performance.now() >= this.#joinDeadlineMs) return this.#fail(this.#unreachable(why))
    this.#log(this.#tries === 0 ? 'info' : 'debug', `Connection to ${this.#endpoint.url}: ${why}; dialling again`)
    this.#timer = setTimeout(() => this.dial(), this.#nextDelayMs())
  }

  #nextDelayMs(): number {
    this.#tries += 1
    const ceiling =
      this.#tries <= quickTries ? firstDelayMs : Math.min(delayMaxMs, firstDelayMs * 2 ** (this.#tries - quickTries))
    const delayMs = Math.random() * ceiling
    return this.#joined ? delayMs : Math.min(delayMs, Math.max(0, this.#joinDeadlineMs - performance.now()))
  }

  #fail(error: MusterError): void {
    this.#closed = true
    this.#socket = undefined
    this.#handlers.failed(error)
  }

  #refusal(status: number): MusterError | undefined {
    const { url, token } = this.#endpoint
    if (status === 401) {
      return new MusterError(
        'unauthorized',
        `${url} refused ${token === undefined ? 'a worker without a token' : "the worker's token"} (HTTP 401)`,
        {
          hint: "'muster token worker' on the coordinator's host prints the token; pass it with --token or MUSTER_TOKEN.",
        },
      )
    }
    if (status === 403) {
      return new MusterError('forbidden', `${url} does not let this worker in (HTTP 403)`, {
        hint: "A worker's token is needed, not a client's, and the address must be one that the coordinator knows as its own.",
      })
    }
    return undefined
  }

  #unreachable(why: string): MusterError {
    return new MusterError(
      'coordinator_unreachable',
      `Cannot join ${this.#endpoint.url}: no coordinator answered within ${Math.round(this.#joinTimeoutMs / 1000)} s (${why})`,
      {
        hint: "Check the address, that 'muster serve' runs there, and that nothing between the hosts blocks the port.",
      },
    )
  }
}
