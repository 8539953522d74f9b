/** Questions to history. */
import type { FastifyInstance } from 'fastify'
import { PlanBody, TestsQuery } from '../protocol/api.ts'
import type { ApiOptions } from './options.ts'

export async function historyRoutes(app: FastifyInstance, { coordinator }: ApiOptions): Promise<void> {
  /** What history knows of these files, and who could run them: for predictions and `--dry-run`. */
  app.post<{ Body: { project: string; suite: string; files: string[] } }>(
    '/plan',
    { schema: { body: PlanBody } },
    async (request) => {
      const { project, suite, files } = request.body
      const { durationsMs, startupMs } = await coordinator.estimates(project, suite, files)
      const known = durationsMs.filter((one) => one !== null).length
      return {
        durationsMs,
        startupMs,
        knownRatio: files.length === 0 ? 0 : known / files.length,
        workers: coordinator.workers(),
      }
    },
  )

  app.get<{ Querystring: { order?: 'slowest' | 'flaky' | 'failed'; project?: string; limit?: number } }>(
    '/tests',
    { schema: { querystring: TestsQuery } },
    async (request) => {
      const { order = 'slowest', project, limit = 20 } = request.query
      const history = await coordinator.history()
      return { tests: await history.tests({ order, limit, ...(project === undefined ? {} : { project }) }) }
    },
  )

  app.get<{ Querystring: { project?: string; limit?: number } }>(
    '/history/runs',
    { schema: { querystring: TestsQuery } },
    async (request) => {
      const { project, limit = 20 } = request.query
      const history = await coordinator.history()
      return { runs: await history.runs({ limit, ...(project === undefined ? {} : { project }) }) }
    },
  )

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
