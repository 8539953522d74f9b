/**
 * Where the coordinator is: `http(s)://host:port` or `unix:/path/to.sock`, and how to ask it
 * something over HTTP. Deliberately not `fetch`: it can't dial a Unix socket.
 */
import type { Agent, IncomingMessage } from 'node:http'
import https from 'node:https'
import { isMusterError, MusterError } from '../protocol/errors.ts'

// An import of 'node:http' would load Node's fetch as well, whose names are among the module's: 50 ms of each process.
const http = process.getBuiltinModule('node:http')

export type Endpoint = {
  /** As the user gave it; for messages. */
  readonly url: string
  readonly base: URL
  readonly socketPath: string | undefined
  readonly token: string | undefined
}

export function parseEndpoint(url: string, token?: string): Endpoint {
  if (url.startsWith('unix:')) {
    const socketPath = url.slice('unix:'.length)
    if (socketPath.startsWith('/')) return { url, base: new URL('http://localhost/'), socketPath, token }
  } else if (URL.canParse(url)) {
    const base = new URL(url)
    if (base.protocol === 'http:' || base.protocol === 'https:') return { url, base, socketPath: undefined, token }
  }
  throw new MusterError(
    'usage',
    `Cannot use '${url}' as a coordinator's address: expected http://HOST:PORT or unix:/PATH`,
    {
      hint: "'muster serve' prints the address to join.",
    },
  )
}

export function webSocketAddress(endpoint: Endpoint, path: string): string {
  if (endpoint.socketPath !== undefined) return `ws+unix:${endpoint.socketPath}:${path}`
  const url = new URL(path, endpoint.base)
  url.protocol = endpoint.base.protocol === 'https:' ? 'wss:' : 'ws:'
  return url.href
}

export function authorization(endpoint: Endpoint): Record<string, string> {
  return endpoint.token === undefined ? {} : { authorization: `Bearer ${endpoint.token}` }
}

/**
 * Asks the coordinator that the worker is connected to, and the others when that one can't answer;
 * connections are kept and reused.
 */
export class CoordinatorHttp {
  readonly #endpoints: readonly Endpoint[]
  readonly #agents: readonly Agent[]
  /** Asked first. */
  #preferred = 0

  constructor(endpoints: readonly Endpoint[], connectionsMax = 8) {
    this.#endpoints = endpoints
    const options = { keepAlive: true, maxSockets: connectionsMax, timeout: 60_000 }
    this.#agents = endpoints.map(({ base }) =>
      base.protocol === 'https:' ? new https.Agent(options) : new http.Agent(options),
    )
  }

  get addresses(): number {
    return this.#endpoints.length
  }

  /** The worker is connected to the address of this index. What hangs at the one before is asked again here. */
  prefer(index: number): void {
    const before = this.#preferred
    this.#preferred = index
    if (before !== index) this.#agents[before]?.destroy()
  }

  /**
   * The body as it streams in. Throws MusterError: not_found (said by all that answered), unauthorized,
   * or coordinator_unreachable for all that may pass.
   */
  async open(path: string, signal?: AbortSignal): Promise<IncomingMessage> {
    const first = this.#preferred
    let failure: unknown
    for (let tried = 0; tried < this.#endpoints.length; tried += 1) {
      try {
        return await this.#open((first + tried) % this.#endpoints.length, path, signal)
      } catch (error) {
        signal?.throwIfAborted()
        // What one of them lacks, one that is away may have.
        if (failure === undefined || isPassing(error)) failure = error
      }
    }
    throw failure
  }

  async #open(index: number, path: string, signal?: AbortSignal): Promise<IncomingMessage> {
    const endpoint = this.#endpoints[index]!
    const { base, socketPath, url } = endpoint
    const response = await new Promise<IncomingMessage>((resolve, reject) => {
      const request = (base.protocol === 'https:' ? https : http).request(
        new URL(path, base),
        {
          agent: this.#agents[index],
          headers: authorization(endpoint),
          ...(socketPath && { socketPath }),
          ...(signal && { signal }),
        },
        resolve,
      )
      request.once('timeout', () => request.destroy(new Error('no answer for 60 s')))
      request.once('error', (error) =>
        reject(
          new MusterError('coordinator_unreachable', `Cannot get ${path} from ${url}: ${error.message}`, {
            cause: error,
          }),
        ),
      )
      request.end()
    })
    if (response.statusCode === 200) return response
    const status = response.statusCode ?? 0
    const detail = (await readAll(response, 64 * 1024).catch((error: Error) => Buffer.from(error.message)))
      .toString('utf8')
      .slice(0, 500)
    const code =
      status === 404 ? 'not_found' : status === 401 || status === 403 ? 'unauthorized' : 'coordinator_unreachable'
    throw new MusterError(code, `Cannot get ${path} from ${url}: HTTP ${status} ${problemWords(detail)}`)
  }

  async json(path: string, bytesMax: number, signal?: AbortSignal): Promise<unknown> {
    const response = await this.open(path, signal)
    const bytes = await readAll(response, bytesMax).catch((error: Error) => {
      throw new MusterError('coordinator_unreachable', `Cannot read ${path}: ${error.message}`, { cause: error })
    })
    return JSON.parse(bytes.toString('utf8')) as unknown
  }

  close(): void {
    for (const agent of this.#agents) agent.destroy()
  }
}

/** What a problem document says; anything else as it came. */
function problemWords(body: string): string {
  const said = /^\{.*?"detail":("(?:[^"\\]|\\.)*")/s.exec(body)?.[1]
  return said === undefined ? body : (JSON.parse(said) as string)
}

/** A coordinator that restarts, or the next one, can answer in a moment. */
export function isPassing(error: unknown): boolean {
  return isMusterError(error) && error.code === 'coordinator_unreachable'
}

export async function readAll(stream: AsyncIterable<Uint8Array>, bytesMax: number): Promise<Buffer> {
  const chunks: Uint8Array[] = []
  let bytes = 0
  for await (const chunk of stream) {
    bytes += chunk.length
    if (bytes > bytesMax)
      throw new MusterError('payload_too_large', `The answer is larger than the ${bytesMax} bytes expected`)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}
