/** Content in and out, by hash. */
import { Readable } from 'node:stream'
import type { FastifyInstance } from 'fastify'
import { MissingBody } from '../protocol/api.ts'
import { MusterError } from '../protocol/errors.ts'
import type { ApiOptions } from './options.ts'

const blobBytesMax = 2 * 1024 * 1024 * 1024
const hashPattern = /^[0-9a-f]{64}$/

export async function blobRoutes(app: FastifyInstance, { coordinator }: ApiOptions): Promise<void> {
  const { blobs } = coordinator

  // Bodies of blobs are streams; nothing is parsed.
  app.addContentTypeParser('application/octet-stream', (_request, payload, done) => done(null, payload))

  app.post<{ Body: { keys: string[] } }>('/blobs/missing', { schema: { body: MissingBody } }, async (request) => ({
    missing: await blobs.missing(request.body.keys),
  }))

  app.put<{ Params: { hash: string }; Body: Readable }>(
    '/blobs/:hash',
    { bodyLimit: blobBytesMax },
    async (request, reply) => {
      const { hash } = request.params
      checkHash(hash)
      if (!(request.body instanceof Readable)) {
        throw new MusterError('request_invalid', 'expected the content as application/octet-stream')
      }
      if (await blobs.has(hash)) request.body.resume()
      else await blobs.putStream(hash, request.body, blobBytesMax)
      return reply.status(204).send()
    },
  )

  app.get<{ Params: { hash: string } }>(
    '/blobs/:hash',
    { config: { allow: ['client', 'worker'] } },
    async (request, reply) => {
      checkHash(request.params.hash)
      const bytes = await blobs.get(request.params.hash)
      if (!bytes) throw new MusterError('not_found', `no blob ${request.params.hash}`)
      return reply.type('application/octet-stream').send(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength))
    },
  )
}

function checkHash(hash: string): void {
  if (!hashPattern.test(hash))
    throw new MusterError('request_invalid', `expected a SHA-256 in lower-case hex, received '${hash.slice(0, 80)}'`)
}
