/**
 * The worker's WebSocket to one of its coordinators: dials, and when it is lost dials the next
 * address, with full-jitter back-off after every round. It knows nothing of batches: what a new
 * connection means, and when one is to be given up, is the protocol's business. It does tell when
 * every address has *refused* a connection: the hosts answer and no coordinator is there.
 */
import WebSocket from 'ws'
import { MusterError } from '../protocol/errors.ts'
import type { CoordinatorMessage } from '../protocol/worker-messages.ts'
import type { Clock } from '../stdx/clock.ts'
import { authorization, type Endpoint, webSocketAddress } from './endpoint.ts'
import type { WorkerLog } from './thread-messages.ts'

/** A restarted coordinator is back in under a second, so the first rounds are quick. */
const quickRounds = 4
const firstDelayMs = 50
const delayMaxMs = 5000
/** A host that doesn't answer must not use up the time in which another could be tried. */
const firstDialTimeoutMs = 2000
const dialTimeoutMaxMs = 10_000

export type ConnectionHandlers = {
  /** To the address of this index. */
  readonly opened: (index: number) => void
  readonly message: (message: CoordinatorMessage) => void
  readonly closed: () => void
  /** Every address refused a connection when it was tried last, all of them at `sinceMs` or later. */
  readonly away: (sinceMs: number) => void
  /** It will not be tried again. */
  readonly failed: (error: MusterError) => void
}

/** How the last try at an address went. */
type Address = {
  readonly endpoint: Endpoint
  /** When it was dialled, if nobody listened there. */
  refusedAtMs: number | undefined
  /** It answered that this worker may not come in. */
  forbidden: MusterError | undefined
}

export class Connection {
  readonly #addresses: readonly Address[]
  readonly #clock: Clock
  readonly #handlers: ConnectionHandlers
  readonly #log: WorkerLog
  readonly #joinDeadlineMs: number
  readonly #joinTimeoutMs: number
  #index: number
  #socket: WebSocket | undefined
  #timer: NodeJS.Timeout | undefined
  /** Since the last welcome. */
  #tries = 0
  #delayMaxMs = delayMaxMs
  #joined = false
  #closed = false

  constructor(
    endpoints: readonly Endpoint[],
    clock: Clock,
    joinTimeoutMs: number,
    handlers: ConnectionHandlers,
    log: WorkerLog,
  ) {
    this.#addresses = endpoints.map((endpoint) => ({ endpoint, refusedAtMs: undefined, forbidden: undefined }))
    this.#clock = clock
    this.#handlers = handlers
    this.#log = log
    this.#joinTimeoutMs = joinTimeoutMs
    // Workers spread over the coordinators, so that the end of one is noticed by its part of them only.
    this.#index = Math.floor(Math.random() * endpoints.length)
    this.#joinDeadlineMs = clock.monotonicMs() + joinTimeoutMs
  }

  get isOpen(): boolean {
    return this.#socket?.readyState === WebSocket.OPEN
  }

  /** Bytes handed over and not yet taken by the kernel. */
  get bufferedBytes(): number {
    return this.#socket?.bufferedAmount ?? 0
  }

  dial(): void {
    const address = this.#addresses[this.#index]!
    const dialledAtMs = this.#clock.monotonicMs()
    const socket = new WebSocket(webSocketAddress(address.endpoint, '/api/v1/worker'), {
      headers: authorization(address.endpoint),
      perMessageDeflate: false,
      handshakeTimeout: Math.min(dialTimeoutMaxMs, firstDialTimeoutMs * 2 ** this.#rounds),
      maxPayload: 256 * 1024 * 1024,
    })
    this.#socket = socket
    address.refusedAtMs = undefined
    address.forbidden = undefined
    let why = 'the connection was closed'
    socket.on('open', () => {
      if (this.#socket === socket) this.#handlers.opened(this.#index)
    })
    socket.on('message', (data: Buffer) => this.#received(socket, data))
    socket.on('unexpected-response', (request, response) => {
      request.destroy()
      address.forbidden = forbidden(address.endpoint, response.statusCode ?? 0)
      this.#lost(socket, `it answered HTTP ${response.statusCode}`)
    })
    socket.on('error', (error: NodeJS.ErrnoException) => {
      why = error.message === '' ? String(error.code) : error.message
      if (isRefusal(error)) address.refusedAtMs = dialledAtMs
    })
    socket.on('close', () => this.#lost(socket, why))
  }

  /**
   * The coordinator has welcomed the worker: from now on a lost connection is dialled again for ever.
   * Every address is tried again within `roundMaxMs` or soon after, unless one is slow to answer.
   */
  joined(roundMaxMs: number): void {
    this.#joined = true
    this.#tries = 0
    this.#delayMaxMs = Math.min(delayMaxMs, roundMaxMs)
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
    this.#tellAway()
    const error = this.#end(why)
    if (error !== undefined) {
      this.#closed = true
      return this.#handlers.failed(error)
    }
    const { url } = this.#addresses[this.#index]!.endpoint
    this.#log(this.#tries === 0 ? 'info' : 'debug', `Connection to ${url}: ${why}; dialling again`)
    this.#index = (this.#index + 1) % this.#addresses.length
    this.#tries += 1
    this.#timer = setTimeout(() => this.dial(), this.#delayMs())
  }

  #tellAway(): void {
    let sinceMs = Infinity
    for (const { refusedAtMs } of this.#addresses) {
      if (refusedAtMs === undefined) return
      sinceMs = Math.min(sinceMs, refusedAtMs)
    }
    this.#handlers.away(sinceMs)
  }

  /** Why no more tries are made. */
  #end(why: string): MusterError | undefined {
    if (this.#addresses.every((address) => address.forbidden !== undefined)) return this.#addresses[0]!.forbidden
    if (this.#joined || this.#clock.monotonicMs() < this.#joinDeadlineMs) return undefined
    return unreachable(this.#addresses, this.#joinTimeoutMs, why)
  }

  get #rounds(): number {
    return Math.floor(this.#tries / this.#addresses.length)
  }

  #delayMs(): number {
    // Within a round there is no reason to wait for another host.
    const quick = this.#rounds < quickRounds || this.#tries % this.#addresses.length > 0
    const ceilingMs = quick
      ? firstDelayMs
      : Math.min(this.#delayMaxMs, firstDelayMs * 2 ** (this.#rounds - quickRounds + 1))
    const delayMs = Math.random() * ceilingMs
    return this.#joined ? delayMs : Math.min(delayMs, Math.max(0, this.#joinDeadlineMs - this.#clock.monotonicMs()))
  }
}

/** Nobody listens there: said by the host itself, which is up and reachable. */
function isRefusal(error: NodeJS.ErrnoException): boolean {
  // A name with several addresses: each was tried.
  if (error instanceof AggregateError) return error.errors.every((one) => isRefusal(one as NodeJS.ErrnoException))
  return error.code === 'ECONNREFUSED' || error.code === 'ENOENT'
}

function forbidden({ url, token }: Endpoint, status: number): MusterError | undefined {
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

function unreachable(addresses: readonly Address[], joinTimeoutMs: number, why: string): MusterError {
  const urls = addresses.map(({ endpoint }) => endpoint.url).join(' or ')
  return new MusterError(
    'coordinator_unreachable',
    `Cannot join ${urls}: no coordinator answered within ${Math.round(joinTimeoutMs / 1000)} s (${why})`,
    {
      hint: "Check the address, that 'muster serve' runs there, and that nothing between the hosts blocks the port.",
    },
  )
}
