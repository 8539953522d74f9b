/** Workers, and the owner's switch. */
import type { FastifyInstance } from 'fastify'
import { Refused } from '../core/input.ts'
import type { ApiOptions } from './options.ts'

export async function systemRoutes(app: FastifyInstance, options: ApiOptions): Promise<void> {
  const { coordinator } = options

  app.get('/workers', async () => {
    await coordinator.settled()
    return { workers: coordinator.workers() }
  })

  app.get<{ Params: { worker: string } }>('/workers/:worker', async (request) => {
    await coordinator.settled()
    const view = coordinator.worker(request.params.worker)
    if (!view) throw new Refused('not_found', `no worker ${request.params.worker}`)
    return view
  })

  app.post<{ Params: { worker: string } }>('/workers/:worker/drain', async (request) => {
    const { worker } = request.params
    await coordinator.submit({ type: 'drain', worker, who: `client:${request.role}`, why: 'asked to drain' })
    const view = coordinator.workers().find((one) => one.worker === worker)
    if (!view) throw new Refused('not_found', `no worker ${worker}`)
    return view
  })

  app.post('/shutdown', { config: { socketOnly: true } }, async (_request, reply) => {
    setImmediate(options.onShutdown)
    return reply.status(202).send({ stopping: true })
  })
}
