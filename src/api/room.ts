/**
 * Room for requests: how many may be under way, and how many bytes of parsed bodies. Beyond, they are
 * turned away before anything is read, and whoever asked asks again. Streams (blobs, WebSockets) and probes
 * don't count: the former hold no more than a chunk, the latter must be answered when it is full.
 */
import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { OverloadLimits } from '../coordinator/overload.ts'
import { MusterError } from '../protocol/errors.ts'

/** What a body of unknown length is taken for. */
const unknownBytes = 16 * 1024 * 1024
const retryAfterMs = 1000

export function limitRequests(
  app: FastifyInstance,
  limits: Pick<OverloadLimits, 'requestsMax' | 'bodyBytesMax'>,
): void {
  let requests = 0
  let bodyBytes = 0
  const leave = (): void => {
    requests -= 1
  }
  app.addHook('onRequest', (request, reply, done) => {
    if (!counts(request)) return done()
    const bytes = bytesOf(request)
    if (requests >= limits.requestsMax) return done(full(`${requests} requests are under way`))
    // The only one always has room, up to what a body may have.
    if (bodyBytes > 0 && bodyBytes + bytes > limits.bodyBytesMax) {
      return done(full(`bodies of ${Math.round(bodyBytes / 1024 / 1024)} MiB are being read`))
    }
    requests += 1
    bodyBytes += bytes
    // Comes once, and also when the connection breaks before there is an answer.
    if (bytes === 0) reply.raw.on('close', leave)
    else {
      reply.raw.on('close', () => {
        leave()
        bodyBytes -= bytes
      })
    }
    done()
  })
}

function counts(request: FastifyRequest): boolean {
  const { headers } = request.raw
  if (headers.upgrade !== undefined || headers['content-type'] === 'application/octet-stream') return false
  return !/\/(health|metrics)(\/|\?|$)/.test(request.url)
}

function bytesOf(request: FastifyRequest): number {
  if (request.method === 'GET') return 0
  const length = Number(request.headers['content-length'])
  return Number.isSafeInteger(length) && length >= 0 ? length : unknownBytes
}

function full(words: string): MusterError {
  return new MusterError('overloaded', words, { retryAfterMs })
}
