/** How bytes reach a coordinator. Given by whoever uses the client, so that it runs in Node and in a browser. */
export type Request = {
  readonly method: 'GET' | 'POST' | 'PUT'
  /** Below `/api/v1`, with its query. */
  readonly path: string
  readonly headers?: Readonly<Record<string, string>>
  /** Longest silence before the answer; then MusterError unavailable. Default: any. */
  readonly timeoutMs?: number
  /** JSON text, or bytes with their length. */
  readonly body?: string | { readonly bytes: AsyncIterable<Uint8Array>; readonly length: number }
}

export type Response = {
  readonly status: number
  readonly headers: Readonly<Record<string, string | undefined>>
  readonly body: AsyncIterable<Uint8Array>
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
  /** Throws MusterError coordinator_unreachable. */
  request(request: Request): Promise<Response>
  openSocket(path: string): FeedSocket
}
