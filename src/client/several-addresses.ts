/**
 * One cluster behind several addresses: asks the coordinator that answered last, and goes on to the next
 * one when it can't be reached, stays silent, or says that it can't serve. Any coordinator answers for
 * the whole cluster, so which one it is matters to nobody.
 *
 * What may be asked twice is asked again elsewhere whatever happened; anything else only when the
 * connection was never made, because then it can't have been heard. Leaves out waiting: when every
 * address has failed once, that is the answer, and whoever has patience asks again.
 */
import type { Problem } from '../protocol/api.ts'
import { isMusterError } from '../protocol/errors.ts'
import { Unreachable, type FeedSocket, type Request, type Response, type Transport } from './transport.ts'

/** A coordinator that takes a connection and says nothing for so long may be stopped; another one may not be. */
const silenceMaxMs = 15_000
const unavailable = 503

export class SeveralAddresses implements Transport {
  readonly #transports: readonly Transport[]
  /** Index of the one that answered last. */
  #current = 0

  /** At least one. */
  constructor(transports: readonly Transport[]) {
    this.#transports = transports
  }

  get address(): string {
    return this.#transports[this.#current]!.address
  }

  async request(request: Request): Promise<Response> {
    const failures: string[] = []
    const first = this.#current
    const { length } = this.#transports
    for (let tried = 1; ; tried += 1) {
      const at = (first + tried - 1) % length
      const transport = this.#transports[at]!
      // The next request begins elsewhere than where this one failed.
      this.#current = (at + 1) % length
      try {
        const response = await transport.request(tried < length ? withoutPatience(request) : request)
        if (response.status !== unavailable || tried === length || request.repeatable !== true) {
          if (response.status !== unavailable) this.#current = at
          return { ...response, alsoTried: failures }
        }
        failures.push(`${transport.address} (${await detailOf(response)})`)
      } catch (error) {
        if (!isMusterError(error)) throw error
        const why = error instanceof Unreachable ? error.why : error.message.replace(/^The coordinator at \S+ /, '')
        failures.push(`${transport.address} (${why})`)
        const connected = !(error instanceof Unreachable) || error.connected
        if (tried < length && (request.repeatable === true || !connected)) continue
        throw failures.length === 1 ? error : noneReached(failures, error, connected)
      }
    }
  }

  openSocket(path: string, headers?: Readonly<Record<string, string>>): FeedSocket {
    const at = this.#current
    const inner = this.#transports[at]!.openSocket(path, headers)
    let closedHere = false
    const outer: FeedSocket = {
      onMessage: () => undefined,
      onClose: () => undefined,
      close() {
        closedHere = true
        inner.close()
      },
    }
    inner.onMessage = (text) => outer.onMessage(text)
    inner.onClose = (code, reason) => {
      // Whoever opens it again tries the next one, unless a request has found a better one meanwhile.
      if (this.#current === at && !closedHere) this.#current = (at + 1) % this.#transports.length
      outer.onClose(code, reason)
    }
    return outer
  }
}

function withoutPatience(request: Request): Request {
  if (request.repeatable !== true) return request
  return { ...request, timeoutMs: Math.min(request.timeoutMs ?? Infinity, silenceMaxMs) }
}

function noneReached(failures: readonly string[], cause: unknown, connected: boolean): Unreachable {
  const why = failures.join(', ')
  return new Unreachable(`Cannot reach any of ${failures.length} coordinators: ${why}`, {
    why,
    connected,
    cause,
    hint: "Is at least one of them running ('muster serve')? Leave --server out to run on this host alone.",
  })
}

/** Why it can't serve, in its own words. Reading them also frees the connection. */
async function detailOf(response: Response): Promise<string> {
  const decoder = new TextDecoder()
  let text = ''
  for await (const bytes of response.body) text += decoder.decode(bytes, { stream: true })
  try {
    return (JSON.parse(text) as Partial<Problem>).detail ?? `HTTP ${response.status}`
  } catch {
    // Not a coordinator's: something in between has answered.
    return `HTTP ${response.status}`
  }
}
