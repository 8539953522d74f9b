/** The coordinator's content as one stream, for its owner: `muster log export` while it runs. */
import type { FastifyInstance } from 'fastify'
import { archiveOf } from '../coordinator/archive.ts'
import { ArchiveQuery } from '../protocol/api.ts'
import type { ApiOptions } from './options.ts'

export async function archiveRoutes(app: FastifyInstance, { coordinator, records }: ApiOptions): Promise<void> {
  app.get<{ Querystring: { all?: boolean; whole?: boolean } }>(
    '/log/archive',
    { schema: { querystring: ArchiveQuery }, config: { socketOnly: true } },
    async (request, reply) => {
      await coordinator.settled()
      const { all = false, whole = false } = request.query
      const source = { ...coordinator.archiveSource(), records: records ?? (async () => []) }
      return reply.type('application/zstd').send(await archiveOf(source, { all, whole, nowMs: Date.now() }))
    },
  )
}
