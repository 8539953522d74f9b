/**
 * What can go wrong with an S3 store, in words: whether it passes by itself, and what a person can do.
 * To the clients of a coordinator all of it is `unavailable` (or `disk_full`): the store's refusal of
 * the coordinator says nothing about the client's own rights.
 */
import { MusterError } from '../protocol/errors.ts'
import type { ErrorCode } from '../protocol/errors.ts'
import { nameOf, type S3Answer, type S3Store } from './s3-store.ts'
import { parseXml, textOf } from './s3-xml.ts'

type Advice = { readonly problem: string; readonly hint: string; readonly code?: ErrorCode }

/** Besides every status of 500 and more but those that are a matter of set-up. */
const passingCodes = new Set([
  'RequestTimeout',
  'SlowDown',
  'Throttling',
  'ThrottlingException',
  'TooManyRequests',
  'OperationAborted',
  'InternalError',
  'ServiceUnavailable',
  // Damaged on the way.
  'BadDigest',
  'XAmzContentSHA256Mismatch',
  'IncompleteBody',
])
const lastingStatuses = new Set([501, 505, 507])
const fullCodes = new Set(['XMinioStorageFull', 'QuotaExceeded', 'InsufficientCapacity', 'EntityTooLarge'])

/** The store answered, and refused. */
export class S3Refusal {
  readonly status: number
  readonly code: string
  readonly message: string
  readonly retryAfterMs: number
  readonly #bucketRegion: string | undefined

  constructor(answer: S3Answer, code: string, message: string) {
    this.status = answer.status
    this.code = code
    this.message = message
    this.retryAfterMs = Number(answer.headers['retry-after'] ?? 0) * 1000 || 0
    const region = answer.headers['x-amz-bucket-region']
    this.#bucketRegion = typeof region === 'string' ? region : undefined
  }

  /** Of the object. An absent bucket, or an endpoint that is no S3 store at all, is a matter of set-up. */
  isAbsence(method: string): boolean {
    return this.status === 404 && (method === 'HEAD' || this.code === 'NoSuchKey')
  }

  get isPassing(): boolean {
    if (passingCodes.has(this.code)) return true
    return (this.status >= 500 && !lastingStatuses.has(this.status)) || this.status === 429 || this.status === 408
  }

  explain(store: S3Store, attempts: number): MusterError {
    const { problem, hint, code = 'unavailable' } = this.#advice(store, attempts)
    return new MusterError(code, `Cannot use the blob store ${nameOf(store)}: ${problem}`, { hint })
  }

  #advice(store: S3Store, attempts: number): Advice {
    const said = `${this.code || `status ${this.status}`}${this.message === '' ? '' : `, ${this.message}`}`
    if (
      this.status === 301 ||
      this.status === 307 ||
      /AuthorizationHeaderMalformed|PermanentRedirect/.test(this.code)
    ) {
      const region = this.#bucketRegion
      const where = region === undefined ? 'in another region or at another endpoint' : `in the region ${region}`
      return { problem: `the bucket is ${where}, not ${store.region} (${said})`, hint: 'Set region= in the location.' }
    }
    switch (this.code) {
      case 'NoSuchBucket':
        return { problem: `there is no bucket '${store.bucket}'`, hint: 'Create it, or correct the location.' }
      case 'InvalidAccessKeyId':
      case 'SignatureDoesNotMatch':
      case 'InvalidToken':
      case 'ExpiredToken':
        return {
          problem: `it refuses the credentials (${said})`,
          hint: 'Check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN where Muster was started.',
        }
      case 'RequestTimeTooSkewed':
        return { problem: `its clock and this host's differ too much (${said})`, hint: 'Set the clock of this host.' }
    }
    if (this.status === 507 || fullCodes.has(this.code)) {
      return { problem: `it is full (${said})`, hint: 'Free some space or raise its quota.', code: 'disk_full' }
    }
    if (this.status === 401 || this.status === 403) {
      return {
        problem: `it does not allow this to ${store.accessKeyId} (${said})`,
        hint: 'The key needs to list the bucket and to get, put and delete objects below the prefix.',
      }
    }
    if (this.status === 429 || /SlowDown|Throttling|TooManyRequests/.test(this.code)) {
      return {
        problem: `it asks to be called less often, still after ${attempts} attempts (${said})`,
        hint: 'It passes when the load does; if it does not, raise its limits.',
      }
    }
    if (this.isPassing) {
      return { problem: `it fails, still after ${attempts} attempts (${said})`, hint: "See the store's own logs." }
    }
    return { problem: `it refuses (${said})`, hint: "Check the location, and see the store's own logs." }
  }
}

/** No whole answer came. */
export class ConnectionTrouble extends Error {
  readonly isPassing = true
  readonly retryAfterMs = 0

  explain(store: S3Store, attempts: number): MusterError {
    const isTrust = /certificate|self.signed|CERT_/i.test(this.message)
    return new MusterError(
      'unavailable',
      `Cannot reach the blob store ${nameOf(store)} at ${store.endpoint.host}, tried ${attempts} times: ${this.message}`,
      {
        hint: isTrust
          ? 'Name the file of its certificate authority in NODE_EXTRA_CA_CERTS.'
          : 'Check that the endpoint is right, that the store runs, and the network between.',
        cause: this.cause,
      },
    )
  }
}

export function refusalOf(answer: S3Answer): S3Refusal {
  const root = parseXml(Buffer.from(answer.body).toString())
  const error = root?.name === 'Error' ? root : undefined
  return new S3Refusal(answer, textOf(error, 'Code') ?? '', textOf(error, 'Message') ?? '')
}

/** `fetch failed` says nothing: the reason is in the causes. */
export function troubleOf(error: unknown): ConnectionTrouble {
  let reason = error
  while (reason instanceof Error && reason.cause instanceof Error) reason = reason.cause
  if (reason instanceof AggregateError && reason.errors[0] instanceof Error) reason = reason.errors[0]
  const text = reason instanceof Error ? reason.message || reason.name : String(reason)
  return new ConnectionTrouble(text, { cause: error })
}
