/** Who leads, who follows, and handing over. A single coordinator answers as a cluster of one. */
import { once } from 'node:events'
import { createReadStream } from 'node:fs'
import { rm } from 'node:fs/promises'
import type { FastifyInstance } from 'fastify'
import { TransferBody, type ClusterView, type MemberView } from '../protocol/api.ts'
import type { ApiOptions } from './options.ts'

export async function clusterRoutes(app: FastifyInstance, { coordinator }: ApiOptions): Promise<void> {
  app.get('/cluster', async (): Promise<ClusterView> => coordinator.cluster())

  app.get('/cluster/member', { config: { allow: ['client', 'peer'] } }, async (): Promise<MemberView> =>
    coordinator.member(),
  )

  /** For a coordinator that is new, or was away longer than the log goes back. */
  app.get('/cluster/history', { config: { allow: ['peer'] } }, async (_request, reply) => {
    const file = await coordinator.copyHistory()
    const content = createReadStream(file)
    // Open before it loses its name: it is gone once it has been read.
    await once(content, 'open')
    await rm(file)
    return reply.type('application/octet-stream').send(content)
  })

  /** Resolves when somebody else leads. Asked of any coordinator; the leader does it. */
  app.post<{ Body: { member?: string } }>(
    '/cluster/transfer',
    { schema: { body: TransferBody }, config: { allow: ['client', 'peer'] } },
    async (request): Promise<ClusterView> => {
      await coordinator.transfer(request.body.member)
      return coordinator.cluster()
    },
  )
}
