/** Questions to history. */
import type { FastifyInstance } from 'fastify'
import { PlanBody, PredictQuery, TestsQuery } from '../protocol/api.ts'
import type { ApiOptions } from './options.ts'
import { checkFileBytes } from './request-parts.ts'

export async function historyRoutes(app: FastifyInstance, { coordinator }: ApiOptions): Promise<void> {
  /** What history knows of these files, and who could run them: for predictions and `--dry-run`. */
  app.post<{ Body: PlanBody }>('/plan', { schema: { body: PlanBody } }, async (request) => {
    checkFileBytes(request.body)
    const { project, suite, files, framework, fileBytes: bytes } = request.body
    const about = { ...(framework === undefined ? {} : { framework }), ...(bytes === undefined ? {} : { bytes }) }
    const { durationsMs, bases, startupMs } = await coordinator.estimates(project, suite, files, about)
    const known = bases.filter((basis) => basis === 'history').length
    return {
      durationsMs,
      bases,
      startupMs,
      knownRatio: files.length === 0 ? 0 : known / files.length,
      workers: coordinator.workers(),
    }
  })

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

  /** How well durations are predicted, and by which model. */
  app.get<{ Querystring: { project?: string; files?: boolean } }>(
    '/predict',
    { schema: { querystring: PredictQuery } },
    async (request) => {
      const history = await coordinator.history()
      return { projects: await history.predict(request.query) }
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
