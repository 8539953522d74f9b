/**
 * A load generator that costs as little as possible, because it shares two cores with what it
 * measures: keep-alive connections, prebuilt requests, one in flight on each, responses read only as
 * far as their status and length.
 */
import net from 'node:net'

export type Load = {
  /** Where to connect. */
  readonly to: net.NetConnectOpts
  readonly connections: number
  /** The next request's bytes, milliseconds to ask again after, or undefined when there are no more. */
  readonly next: () => Buffer | number | undefined
  /** Called with each request's milliseconds. */
  readonly onAnswer?: (latencyMs: number) => void
  /** Called with each 429 and 503, after which it goes on; without it they are failures. */
  readonly onTurnedAway?: (status: number) => void
}

/** `token`: for TCP. */
export function post(path: string, body: unknown, token?: string): Buffer {
  const text = JSON.stringify(body)
  const type = `Content-Type: application/json\r\nContent-Length: ${Buffer.byteLength(text)}\r\n`
  return Buffer.from(`POST ${path} HTTP/1.1\r\nHost: localhost\r\n${authorization(token)}${type}\r\n${text}`)
}

export function get(path: string, token?: string): Buffer {
  return Buffer.from(`GET ${path} HTTP/1.1\r\nHost: localhost\r\n${authorization(token)}\r\n`)
}

function authorization(token: string | undefined): string {
  return token === undefined ? '' : `Authorization: Bearer ${token}\r\n`
}

/** Where an address like `http://127.0.0.1:7357` is. */
export function tcp(url: string): net.NetConnectOpts {
  const { hostname, port } = new URL(url)
  return { host: hostname, port: Number(port), noDelay: true }
}

/** Resolves when every request is answered; rejects on any status but 2xx that nobody wants to know of. */
export async function drive(load: Load): Promise<void> {
  await Promise.all(Array.from({ length: load.connections }, () => connection(load)))
}

function connection({ to, next, onAnswer, onTurnedAway }: Load): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = net.connect(to)
    let pending = Buffer.alloc(0)
    let sentMs = 0
    const send = () => {
      const request = next()
      if (typeof request === 'number') return void setTimeout(send, request)
      if (!request) {
        socket.end()
        return resolve()
      }
      sentMs = performance.now()
      socket.write(request)
    }
    socket.on('connect', send)
    socket.on('error', reject)
    socket.on('data', (chunk: Buffer<ArrayBuffer>) => {
      pending = pending.length === 0 ? chunk : Buffer.concat([pending, chunk])
      const headEnd = pending.indexOf('\r\n\r\n')
      if (headEnd < 0) return
      const head = pending.toString('latin1', 0, headEnd)
      const length = Number(/content-length: (\d+)/i.exec(head)?.[1] ?? 0)
      if (pending.length < headEnd + 4 + length) return
      const status = Number(head.slice(9, 12))
      if (onTurnedAway && (status === 429 || status === 503)) {
        pending = Buffer.alloc(0)
        onTurnedAway(status)
        return send()
      }
      if (status < 200 || status > 299) {
        socket.destroy()
        reject(new Error(`${head.split('\r\n')[0]} ${pending.toString('utf8', headEnd + 4)}`))
        return
      }
      pending = Buffer.alloc(0)
      onAnswer?.(performance.now() - sentMs)
      send()
    })
  })
}
