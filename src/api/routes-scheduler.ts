/** Which schedulers there are, which place for whom, and choosing another. Who leads knows; any coordinator can be asked. */
import type { FastifyInstance } from 'fastify'
import { ChooseSchedulerBody, type SchedulersView } from '../protocol/scheduler.ts'
import type { ApiOptions } from './options.ts'
import { whoOf } from './request-parts.ts'

export async function schedulerRoutes(app: FastifyInstance, { coordinator }: ApiOptions): Promise<void> {
  app.get('/scheduler', async (): Promise<SchedulersView> => {
    await coordinator.settled()
    return coordinator.schedulers()
  })

  /** As this very coordinator knows them; the others ask the one that leads. */
  app.get('/cluster/scheduler', { config: { allow: ['client', 'peer'] } }, async (): Promise<SchedulersView> => {
    await coordinator.settled()
    return coordinator.ownSchedulers()
  })

  app.post<{ Body: ChooseSchedulerBody }>(
    '/scheduler',
    { schema: { body: ChooseSchedulerBody } },
    async (request): Promise<SchedulersView> => {
      const { strategy, project, config } = request.body
      await coordinator.submit({
        type: 'choose-scheduler',
        who: whoOf(request),
        ...(project === undefined ? {} : { project }),
        ...(strategy === null ? {} : { strategy }),
        ...(strategy === null || config === undefined ? {} : { config }),
      })
      return coordinator.schedulers()
    },
  )
}
