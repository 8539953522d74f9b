/**
 * Requests to an S3 store: signed, each with a time limit, repeated a bounded number of times when that
 * may help. Everything sent here may be repeated: a blob's name says its content, so a second put or
 * remove changes nothing. Whole bodies only, no streams, because a stream can't be sent again.
 *
 * Through `node:http`, which takes a third of the processor time of `fetch`: a workspace asks for thousands.
 *
 * Why not a library that does all of it: none of the small ones lets a call be given up or a cut body be
 * told from a damaged one (docs/decisions/0011-s3-client.md).
 */
import { createHash } from 'node:crypto'
import type { Agent } from 'node:http'
import https from 'node:https'
import { setTimeout as sleep } from 'node:timers/promises'
import { AwsV4Signer } from 'aws4fetch'
import { ConnectionTrouble, refusalOf, S3Refusal, troubleOf } from './s3-errors.ts'
import type { S3Answer, S3Store } from './s3-store.ts'

// An import of 'node:http' would load Node's fetch as well, whose names are among the module's: 50 ms of each process.
const http = process.getBuiltinModule('node:http')

export type S3Patience = {
  /** Until the answer begins, and between two pieces of it; a sent body adds to it by its size. */
  readonly timeoutMs: number
  readonly attempts: number
  /** Before the second attempt; doubles from there. Each pause is between half and all of that. */
  readonly pauseMs: number
}

export const defaultPatience: S3Patience = { timeoutMs: 10_000, attempts: 6, pauseMs: 200 }

export type S3Request = {
  readonly method: 'GET' | 'HEAD' | 'PUT' | 'POST' | 'DELETE'
  /** Within the bucket; empty for the bucket itself. */
  readonly name: string
  readonly query?: Readonly<Record<string, string>>
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: Uint8Array
  /** Of the body, where it is known already. The store checks it. */
  readonly sha256?: string
}

const pauseMaxMs = 5000
const retryAfterMaxMs = 20_000
/** The slowest connection that is waited for. */
const sentBytesPerMs = 64
const requestsMax = 64
const nothing = new Uint8Array()
const sha256OfNothing = sha256(nothing)

export class S3Requests {
  readonly store: S3Store
  readonly #start: typeof http.request
  readonly #agent: Agent
  readonly #signingKeys = new Map<string, ArrayBuffer>()
  readonly #patience: S3Patience
  #running = 0
  readonly #waiting: (() => void)[] = []

  constructor(store: S3Store, patience: S3Patience) {
    this.store = store
    this.#patience = patience
    const isPlain = store.endpoint.protocol === 'http:'
    this.#start = isPlain ? http.request : https.request
    this.#agent = new (isPlain ? http : https).Agent({ keepAlive: true, maxSockets: requestsMax })
  }

  /** A 2xx answer, or undefined for an absent object. Throws a MusterError that says what to do. */
  async send(request: S3Request, patience = this.#patience): Promise<S3Answer | undefined> {
    for (let attempt = 1; ; attempt += 1) {
      let refusal: S3Refusal | ConnectionTrouble
      try {
        const answer = await this.#inTurn(() => this.#sendOnce(request, patience))
        if (!(answer instanceof S3Refusal)) return answer
        if (answer.isAbsence(request.method)) return undefined
        refusal = answer
      } catch (error) {
        if (!(error instanceof ConnectionTrouble)) throw error
        refusal = error
      }
      if (!refusal.isPassing || attempt >= patience.attempts) throw refusal.explain(this.store, attempt)
      const pauseMs = Math.min(patience.pauseMs * 2 ** (attempt - 1), pauseMaxMs) * (0.5 + Math.random() / 2)
      await sleep(Math.max(pauseMs, Math.min(refusal.retryAfterMs, retryAfterMaxMs)))
    }
  }

  async #sendOnce(request: S3Request, patience: S3Patience): Promise<S3Answer | S3Refusal> {
    const answer = await this.#exchange(request, patience)
    // A copy and the end of a multipart upload may fail after the status was sent.
    const isFine = answer.status >= 200 && answer.status < 300
    if (isFine && (request.method === 'GET' || !looksLikeError(answer.body))) return answer
    // An answer to HEAD has no body, so it can't say why.
    if (request.method === 'HEAD' && answer.status !== 404) {
      const why = await this.#exchange({ ...request, method: 'GET', headers: { range: 'bytes=0-0' } }, patience)
      return refusalOf(why.status < 300 ? answer : why)
    }
    return refusalOf(answer)
  }

  async #exchange(request: S3Request, patience: S3Patience): Promise<S3Answer> {
    const { body = nothing, sha256: known } = request
    const { region, accessKeyId, secretAccessKey, sessionToken } = this.store
    const signer = new AwsV4Signer({
      method: request.method,
      url: this.#url(request),
      headers: {
        ...request.headers,
        'x-amz-content-sha256': known ?? (body === nothing ? sha256OfNothing : sha256(body)),
      },
      service: 's3',
      region,
      accessKeyId,
      secretAccessKey,
      ...(sessionToken === undefined ? {} : { sessionToken }),
      cache: this.#signingKeys,
    })
    const { url, method, headers } = await signer.sign()
    const timeoutMs = patience.timeoutMs + body.length / sentBytesPerMs
    return await new Promise((resolve, reject) => {
      const outgoing = this.#start(url, {
        method,
        agent: this.#agent,
        headers: { ...Object.fromEntries(headers), 'content-length': body.length },
      })
      const late = () => outgoing.destroy(new Error(`no answer within ${patience.timeoutMs} ms`))
      const timer = setTimeout(late, timeoutMs)
      const fail = (error: unknown) => {
        clearTimeout(timer)
        reject(troubleOf(error))
      }
      // One that comes after the answer was complete changes nothing.
      outgoing.on('error', fail)
      outgoing.on('response', (incoming) => {
        const chunks: Buffer[] = []
        const complete = () => {
          clearTimeout(timer)
          resolve({ status: incoming.statusCode ?? 0, headers: incoming.headers, body: Buffer.concat(chunks) })
        }
        incoming.on('error', fail)
        incoming.on('end', complete)
        incoming.on('data', (chunk: Buffer) => {
          chunks.push(chunk)
          timer.refresh()
        })
        // Swift sends the end of a body even so, which breaks the connection.
        if (request.method === 'HEAD') complete()
      })
      outgoing.end(body)
    })
  }

  #url({ name, query }: S3Request): string {
    const { bucket, endpoint, pathStyle } = this.store
    const url = new URL(endpoint)
    if (!pathStyle) url.host = `${bucket}.${url.host}`
    const base = url.pathname.replace(/\/$/, '')
    url.pathname = pathStyle ? `${base}/${bucket}${name === '' ? '' : `/${name}`}` : `${base}/${name}`
    for (const [parameter, value] of Object.entries(query ?? {})) url.searchParams.set(parameter, value)
    return url.href
  }

  /** So that thousands of questions at once don't open thousands of connections. */
  async #inTurn<T>(work: () => Promise<T>): Promise<T> {
    if (this.#running >= requestsMax) await new Promise<void>((resolve) => this.#waiting.push(resolve))
    else this.#running += 1
    try {
      return await work()
    } finally {
      // The turn passes on, so the count stays.
      const next = this.#waiting.shift()
      if (next) next()
      else this.#running -= 1
    }
  }
}

export function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}

function looksLikeError(body: Uint8Array): boolean {
  return body.length > 0 && /<Error[\s>]/.test(Buffer.from(body.subarray(0, 300)).toString())
}
