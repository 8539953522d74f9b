/** The client's transport in Node: HTTP over TCP or a Unix socket, connections kept. */
import http from 'node:http'
import https from 'node:https'
import { pipeline } from 'node:stream/promises'
import { WebSocket } from 'ws'
import type { FeedSocket, Request, Response, Transport } from '../client/transport.ts'
import { MusterError } from '../protocol/errors.ts'
import { authorization, parseEndpoint, webSocketAddress, type Endpoint } from '../worker/endpoint.ts'

export class NodeTransport implements Transport {
  readonly #endpoint: Endpoint
  readonly #agent: http.Agent

  constructor(url: string, token?: string) {
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
      const fail = (error: Error) => reject(unreachable(this.address, error))
      outgoing.once('error', fail)
      if (timeoutMs !== undefined)
        outgoing.setTimeout(timeoutMs, () => outgoing.destroy(silent(this.address, timeoutMs)))
      if (body === undefined || typeof body === 'string') outgoing.end(body)
      else pipeline(body.bytes, outgoing).catch(fail)
    })
  }

  /** A connection that breaks in the middle of an answer is as unreachable as one that never was. */
  async *#content(incoming: http.IncomingMessage): AsyncGenerator<Uint8Array> {
    try {
      for await (const bytes of incoming) yield bytes as Uint8Array
    } catch (error) {
      throw unreachable(this.address, error as Error)
    }
  }

  openSocket(path: string): FeedSocket {
    const socket = new WebSocket(webSocketAddress(this.#endpoint, `/api/v1${path}`), {
      headers: authorization(this.#endpoint),
    })
    const feed: FeedSocket = { onMessage: () => undefined, onClose: () => undefined, close: () => socket.terminate() }
    let failure = ''
    socket.on('message', (data: Buffer) => feed.onMessage(data.toString('utf8')))
    socket.on('error', (error) => {
      failure = error.message
    })
    socket.on('close', (code, reason) => feed.onClose(code, reason.toString('utf8') || failure))
    return feed
  }

  close(): void {
    this.#agent.destroy()
  }
}

/** It takes connections and says nothing: stopped, or busy beyond reason. Waiting or starting another won't help. */
function silent(address: string, timeoutMs: number): MusterError {
  return new MusterError('unavailable', `The coordinator at ${address} did not answer within ${timeoutMs / 1000} s`, {
    hint: "Is its process stopped or overloaded? The host's own: its log in MUSTER_DATA/host/daemon.log names its pid.",
  })
}

function unreachable(address: string, error: Error): MusterError {
  if (error instanceof MusterError) return error
  return new MusterError('coordinator_unreachable', `Cannot reach the coordinator at ${address}: ${error.message}`, {
    cause: error,
    hint: "Is it running there ('muster serve')? Leave --server out to run on this host alone.",
  })
}
