/** Who leads, who follows, and handing over. A single coordinator answers as a cluster of one. */
import type { FastifyInstance } from 'fastify'
import { TransferBody, type ClusterView, type MemberView } from '../protocol/api.ts'
import type { ApiOptions } from './options.ts'

export async function clusterRoutes(app: FastifyInstance, { coordinator }: ApiOptions): Promise<void> {
  app.get('/cluster', async (): Promise<ClusterView> => coordinator.cluster())

  app.get('/cluster/member', { config: { allow: ['client', 'peer'] } }, async (): Promise<MemberView> =>
    coordinator.member(),
  )

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
