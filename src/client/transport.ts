/** How bytes reach a coordinator. Given by whoever uses the client, so that it runs in Node and in a browser. */
import { MusterError } from '../protocol/errors.ts'

export type Request = {
  readonly method: 'GET' | 'POST' | 'PUT'
  /** Below `/api/v1`, with its query. */
  readonly path: string
  readonly headers?: Readonly<Record<string, string>>
  /** Longest silence before the answer; then MusterError unavailable. Default: any. */
  readonly timeoutMs?: number
  /** JSON text, or bytes with their length; `open` is called again when they are sent again. */
  readonly body?: string | { readonly open: () => AsyncIterable<Uint8Array>; readonly length: number }
  /** Asking twice is as good as asking once: it only reads, or carries an idempotency key. */
  readonly repeatable?: boolean
}

export type Response = {
  readonly status: number
  readonly headers: Readonly<Record<string, string | undefined>>
  readonly body: AsyncIterable<Uint8Array>
  /** Addresses that were asked before this one, each with why it did not do. */
  readonly alsoTried?: readonly string[]
}

export interface FeedSocket {
  onMessage: (text: string) => void
  /** Called once; nothing follows. `reason` for people. */
  onClose: (code: number, reason: string) => void
  close(): void
}

export interface Transport {
  /** For messages: where this leads. */
  readonly address: string
  /** Throws Unreachable; MusterError unavailable when nothing came within `timeoutMs`. */
  request(request: Request): Promise<Response>
  openSocket(path: string, headers?: Readonly<Record<string, string>>): FeedSocket
}

/** No answer came. */
export class Unreachable extends MusterError {
  /** In a few words, without the address. */
  readonly why: string
  /** False: there was no connection, so nothing can have happened over there. */
  readonly connected: boolean

  constructor(
    message: string,
    { why, connected, ...options }: { why: string; connected: boolean; hint?: string; cause?: unknown },
  ) {
    super('coordinator_unreachable', message, options)
    this.why = why
    this.connected = connected
  }
}
