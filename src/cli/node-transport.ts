/** The client's transport in Node: HTTP over TCP or a Unix socket, connections kept. */
import type { Agent, IncomingMessage } from 'node:http'
import https from 'node:https'
import { pipeline } from 'node:stream/promises'
import { WebSocket } from 'ws'
import { SeveralAddresses } from '../client/several-addresses.ts'
import { Unreachable, type FeedSocket, type Request, type Response, type Transport } from '../client/transport.ts'
import { MusterError } from '../protocol/errors.ts'
import { authorization, parseEndpoint, webSocketAddress, type Endpoint } from '../worker/endpoint.ts'

// Not imported: see worker/endpoint.ts.
const http = process.getBuiltinModule('node:http')

/** A host that doesn't even refuse is away; one that is busy still takes connections. */
const connectTimeoutMs = 5000
const handshakeTimeoutMs = 15_000
/** A stopped process keeps its connections open: whoever watches a run through one must ask whether it still answers. */
const feedAskEveryMs = 1000
/** How long it may stay silent: shorter where there is another coordinator to go to. */
const feedSilenceMaxMs = { alone: 15_000, amongOthers: 5000 } as const

export type ClosableTransport = Transport & { close(): void }

/** To one coordinator, or to whichever of several answers. `tokenFor` is asked for each address. */
export function transportTo(
  addresses: readonly string[],
  tokenFor: (address: string) => string | undefined,
): ClosableTransport {
  const silenceMaxMs = addresses.length > 1 ? feedSilenceMaxMs.amongOthers : feedSilenceMaxMs.alone
  const each = addresses.map((address) => new NodeTransport(address, tokenFor(address), silenceMaxMs))
  if (each.length === 1) return each[0]!
  return Object.assign(new SeveralAddresses(each), {
    close() {
      for (const one of each) one.close()
    },
  })
}

export class NodeTransport implements Transport {
  readonly #endpoint: Endpoint
  readonly #agent: Agent
  readonly #silenceMaxMs: number

  /** `silenceMaxMs`: a feed whose coordinator says nothing for so long is closed. */
  constructor(url: string, token?: string, silenceMaxMs: number = feedSilenceMaxMs.alone) {
    this.#silenceMaxMs = silenceMaxMs
    this.#endpoint = parseEndpoint(url, token)
    const options = { keepAlive: true, maxSockets: 16 }
    this.#agent = this.#endpoint.base.protocol === 'https:' ? new https.Agent(options) : new http.Agent(options)
  }

  get address(): string {
    return this.#endpoint.url
  }

  async request({ method, path, headers, body, timeoutMs }: Request): Promise<Response> {
    const { base, socketPath } = this.#endpoint
    const length = body === undefined ? 0 : typeof body === 'string' ? Buffer.byteLength(body) : body.length
    const send = (base.protocol === 'https:' ? https : http).request
    return new Promise((resolve, reject) => {
      let connected = false
      const outgoing = send(
        new URL(path, base),
        {
          method,
          agent: this.#agent,
          headers: {
            ...authorization(this.#endpoint),
            ...headers,
            ...(body === undefined ? {} : { 'content-length': length }),
          },
          ...(socketPath === undefined ? {} : { socketPath }),
        },
        (incoming) =>
          resolve({
            status: incoming.statusCode ?? 0,
            headers: incoming.headers as Record<string, string>,
            body: this.#content(incoming),
          }),
      )
      const fail = (error: Error) => reject(unreachable(this.address, error, connected))
      outgoing.once('error', fail)
      outgoing.once('socket', (socket) => {
        connected = !socket.connecting
        if (connected) return
        const late = setTimeout(() => {
          outgoing.destroy(new Error(`no connection within ${connectTimeoutMs / 1000} s`))
        }, connectTimeoutMs)
        socket.once('connect', () => {
          connected = true
          clearTimeout(late)
        })
        socket.once('close', () => clearTimeout(late))
      })
      if (timeoutMs !== undefined)
        outgoing.setTimeout(timeoutMs, () => outgoing.destroy(silent(this.address, timeoutMs)))
      if (body === undefined || typeof body === 'string') outgoing.end(body)
      else pipeline(body.open(), outgoing).catch(fail)
    })
  }

  /** A connection that breaks in the middle of an answer is as unreachable as one that never was. */
  async *#content(incoming: IncomingMessage): AsyncGenerator<Uint8Array> {
    try {
      for await (const bytes of incoming) yield bytes as Uint8Array
    } catch (error) {
      throw unreachable(this.address, error as Error, true)
    }
  }

  openSocket(path: string, headers: Readonly<Record<string, string>> = {}): FeedSocket {
    const socket = new WebSocket(webSocketAddress(this.#endpoint, `/api/v1${path}`), {
      headers: { ...authorization(this.#endpoint), ...headers },
      handshakeTimeout: Math.min(handshakeTimeoutMs, this.#silenceMaxMs),
    })
    const feed: FeedSocket = { onMessage: () => undefined, onClose: () => undefined, close: () => socket.terminate() }
    let failure = ''
    socket.on('message', (data: Buffer) => feed.onMessage(data.toString('utf8')))
    socket.on('error', (error) => {
      failure = error.message
    })
    endWhenSilent(socket, this.#silenceMaxMs, (why) => {
      failure = why
    })
    socket.on('close', (code, reason) => feed.onClose(code, reason.toString('utf8') || failure))
    return feed
  }

  close(): void {
    this.#agent.destroy()
  }
}

/** Asks every second whether the other side is there; any sign of it counts. */
function endWhenSilent(socket: WebSocket, silenceMaxMs: number, tell: (why: string) => void): void {
  let heardAtMs = performance.now()
  let askedAtMs = heardAtMs
  const heard = () => {
    heardAtMs = performance.now()
  }
  socket.on('open', () => {
    heard()
    askedAtMs = heardAtMs
    const timer = setInterval(() => {
      const nowMs = performance.now()
      // This process was itself suspended or held up: what came meanwhile has not been read yet.
      if (nowMs - askedAtMs > 2 * feedAskEveryMs) heardAtMs = nowMs
      askedAtMs = nowMs
      if (nowMs - heardAtMs <= silenceMaxMs) return socket.ping()
      tell(`nothing came for ${silenceMaxMs / 1000} s`)
      socket.terminate()
    }, feedAskEveryMs)
    timer.unref()
    socket.on('close', () => clearInterval(timer))
  })
  socket.on('message', heard)
  socket.on('ping', heard)
  socket.on('pong', heard)
}

/** It takes connections and says nothing: stopped, or busy beyond reason. Waiting or starting another won't help. */
function silent(address: string, timeoutMs: number): MusterError {
  return new MusterError('unavailable', `The coordinator at ${address} did not answer within ${timeoutMs / 1000} s`, {
    hint: "Is its process stopped or overloaded? The host's own: its log in MUSTER_DATA/host/daemon.log names its pid.",
  })
}

function unreachable(address: string, error: Error, connected: boolean): MusterError {
  if (error instanceof MusterError) return error
  return new Unreachable(`Cannot reach the coordinator at ${address}: ${error.message}`, {
    why: error.message,
    connected,
    cause: error,
    hint: "Is it running there ('muster serve')? Leave --server out to run on this host alone.",
  })
}
