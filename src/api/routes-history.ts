/** Questions to history. */
import type { FastifyInstance } from 'fastify'
import { TestsQuery } from '../protocol/api.ts'
import type { ApiOptions } from './server.ts'

export async function historyRoutes(app: FastifyInstance, { coordinator }: ApiOptions): Promise<void> {
  app.get<{ Querystring: { order?: 'slowest' | 'flaky' | 'failed'; project?: string; limit?: number } }>(
    '/tests',
    { schema: { querystring: TestsQuery } },
    async (request) => {
      const { order = 'slowest', project, limit = 20 } = request.query
      const history = await coordinator.history()
      return { tests: await history.tests({ order, limit, ...(project === undefined ? {} : { project }) }) }
    },
  )

  app.get<{ Querystring: { project?: string; limit?: number } }>('/history/runs', { schema: { querystring: TestsQuery } }, async (request) => {
    const { project, limit = 20 } = request.query
    const history = await coordinator.history()
    return { runs: await history.runs({ limit, ...(project === undefined ? {} : { project }) }) }
  })

  app.get<{ Params: { run: string } }>('/runs/:run/events', async (request) => {
    const history = await coordinator.history()
    return { events: await history.audit(request.params.run) }
  })

  app.get<{ Querystring: { project: string; suite: string } }>('/history/last-failed', async (request) => {
    const { project, suite } = request.query
    const history = await coordinator.history()
    return { files: await history.lastFailed(project, suite) }
  })
}
