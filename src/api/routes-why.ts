/** Why a run or a task waits, until when, and what would make it sooner; and what was recorded, to play it again. Any coordinator answers, from its own state. */
import type { FastifyInstance } from 'fastify'
import { Refused } from '../core/input.ts'
import type { Run } from '../core/state.ts'
import { RecordingQuery, WhyQuery } from '../protocol/api.ts'
import type { ApiOptions } from './options.ts'
import type { RunParams } from './request-parts.ts'

export async function whyRoutes(app: FastifyInstance, { coordinator }: ApiOptions): Promise<void> {
  /** `file`: of the first task with this file instead. */
  app.get<{ Params: RunParams; Querystring: WhyQuery }>(
    '/runs/:run/why',
    { schema: { querystring: WhyQuery } },
    async (request) => {
      await coordinator.settled()
      const run = coordinator.run(request.params.run)
      const { file } = request.query
      return coordinator.why(run, file === undefined ? undefined : indexOf(run, file))
    },
  )

  app.get<{ Params: RunParams & { index: string } }>('/runs/:run/tasks/:index/why', async (request) => {
    await coordinator.settled()
    const run = coordinator.run(request.params.run)
    const index = Number(request.params.index)
    if (!run.tasks[index])
      throw new Refused('not_found', `run ${run.id} has no task ${request.params.index}; it has ${run.tasks.length}`)
    return coordinator.why(run, index)
  })

  app.get<{ Querystring: RecordingQuery }>(
    '/recording',
    { schema: { querystring: RecordingQuery } },
    async (request) => {
      await coordinator.settled()
      return coordinator.recording(request.query)
    },
  )
}

function indexOf(run: Run, file: string): number {
  const index = run.tasks.findIndex((task) => task.file === file)
  if (index < 0)
    throw new Refused('not_found', `run ${run.id} has no task '${file}'; 'muster show ${run.id}' lists its tasks`)
  return index
}
