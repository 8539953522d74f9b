/** One HTTP question with its answer, whatever the status: a new connection each, so that no fault lingers in a kept one. */
import http from 'node:http'

export type Asked = {
  readonly method?: 'GET' | 'POST'
  readonly body?: unknown
  readonly headers?: Readonly<Record<string, string>>
  readonly withinMs?: number
}

export type Answer<T> = { readonly status: number; readonly body: T; readonly position: number }

const withinMs = 3000

/** Rejects when no whole answer came in time. */
export function ask<T>(url: string, token: string, asked: Asked): Promise<Answer<T>> {
  const { method = 'GET', body, headers } = asked
  const text = body === undefined ? undefined : JSON.stringify(body)
  return new Promise((resolve, reject) => {
    const outgoing = http.request(url, {
      method,
      agent: false,
      signal: AbortSignal.timeout(asked.withinMs ?? withinMs),
      headers: {
        ...(token === '' ? {} : { authorization: `Bearer ${token}` }),
        ...(text === undefined
          ? {}
          : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) }),
        ...headers,
      },
    })
    outgoing.once('error', reject)
    outgoing.once('response', (incoming) => {
      const chunks: Buffer[] = []
      incoming.on('data', (chunk: Buffer) => chunks.push(chunk))
      incoming.once('error', reject)
      incoming.once('end', () => {
        try {
          const parsed = JSON.parse(Buffer.concat(chunks).toString() || 'null') as T
          const position = Number(incoming.headers['muster-position'] ?? 0)
          resolve({ status: incoming.statusCode ?? 0, body: parsed, position })
        } catch (error) {
          reject(error as Error)
        }
      })
    })
    outgoing.end(text)
  })
}
