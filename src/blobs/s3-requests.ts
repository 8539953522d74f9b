/**
 * Requests to an S3 store: signed, each with a time limit, repeated a bounded number of times when that
 * may help. Everything sent here may be repeated: a blob's name says its content, so a second put or
 * remove changes nothing. Whole bodies only, no streams, because a stream can't be sent again.
 *
 * Why not a library that does all of it: none of the small ones lets a call be given up or a cut body be
 * told from a damaged one (docs/decisions/0011-s3-client.md).
 */
import { createHash } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { AwsClient } from 'aws4fetch'
import { ConnectionTrouble, refusalOf, S3Refusal, troubleOf } from './s3-errors.ts'
import type { S3Answer, S3Store } from './s3-store.ts'

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

export class S3Requests {
  readonly store: S3Store
  readonly #client: AwsClient
  readonly #patience: S3Patience
  #running = 0
  readonly #waiting: (() => void)[] = []

  constructor(store: S3Store, patience: S3Patience) {
    this.store = store
    this.#patience = patience
    this.#client = new AwsClient({
      accessKeyId: store.accessKeyId,
      secretAccessKey: store.secretAccessKey,
      ...(store.sessionToken === undefined ? {} : { sessionToken: store.sessionToken }),
      region: store.region,
      service: 's3',
    })
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
    const limit = new AbortController()
    const late = () => limit.abort(new Error(`no answer within ${patience.timeoutMs} ms`))
    const bodyMs = (request.body?.length ?? 0) / sentBytesPerMs
    const timer = setTimeout(late, patience.timeoutMs + bodyMs)
    try {
      const signed = await this.#client.sign(this.#url(request), {
        method: request.method,
        headers: {
          ...request.headers,
          'x-amz-content-sha256': request.sha256 ?? sha256(request.body ?? new Uint8Array()),
        },
        ...(request.body === undefined ? {} : { body: request.body as Uint8Array<ArrayBuffer> }),
      })
      // A redirect leads to another host, for which this signature is wrong.
      const response = await fetch(signed, { redirect: 'manual', signal: limit.signal })
      const chunks: Uint8Array[] = []
      for await (const chunk of response.body ?? []) {
        chunks.push(chunk)
        timer.refresh()
      }
      return { status: response.status, headers: response.headers, body: Buffer.concat(chunks) }
    } catch (error) {
      throw troubleOf(limit.signal.aborted ? (limit.signal.reason as Error) : error)
    } finally {
      clearTimeout(timer)
    }
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
