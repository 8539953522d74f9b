/** Tasks of runs: add, list, look at one; what they reported and printed. */
import { Readable } from 'node:stream'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { runOutput, taskRecords } from '../coordinator/results.ts'
import { taskView } from '../coordinator/views.ts'
import { Refused } from '../core/input.ts'
import type { Run } from '../core/state.ts'
import { ExtendBody, OutputQuery, PageQuery, TaskBody, TasksQuery } from '../protocol/api.ts'
import { MusterError } from '../protocol/errors.ts'
import { keptRead } from './kept-reads.ts'
import type { ApiOptions } from './options.ts'
import { checkFileBytes, checkFiles, userOf, whoOf, type RunParams } from './request-parts.ts'

type AllTasks = { Querystring: { run?: string; cursor?: string; limit?: number; state?: string } }
type TasksOfRun = { Params: RunParams; Querystring: { cursor?: number; limit?: number; state?: string } }

export async function taskRoutes(app: FastifyInstance, { coordinator }: ApiOptions): Promise<void> {
  async function mayExtend(request: FastifyRequest, run: string): Promise<void> {
    // One that is still reading the log may come to know it.
    if (!coordinator.state.runs.has(run)) await coordinator.settled()
    userOf(request, coordinator.run(run).spec.user, `add tasks to run ${run}`)
  }

  app.post<{ Params: RunParams; Body: ExtendBody }>(
    '/runs/:run/tasks',
    { schema: { body: ExtendBody } },
    async (request, reply) => {
      const { run } = request.params
      const { files } = request.body
      checkFiles(files)
      checkFileBytes(request.body)
      await mayExtend(request, run)
      await coordinator.extendRun({ run, who: whoOf(request), ...request.body })
      reply.status(201)
      // Applied in one go, so what was asked for last is last; others may have extended it since.
      const first = coordinator.run(run).tasks.findLastIndex((task) => task.file === files.at(-1)) - files.length + 1
      return { run, first, added: files.length }
    },
  )

  app.post<{ Body: TaskBody }>('/tasks', { schema: { body: TaskBody } }, async (request, reply) => {
    const { run, file, kind } = request.body
    checkFiles([file])
    await mayExtend(request, run)
    const kinds = kind === undefined ? {} : { kinds: [kind] }
    const { changed } = await coordinator.extendRun({ run, who: whoOf(request), files: [file], ...kinds })
    reply.status(201)
    return { run, file, added: changed ? 1 : 0 }
  })

  app.get<AllTasks>('/tasks', {
    schema: { querystring: TasksQuery },
    ...keptRead<AllTasks>(coordinator, (request) => {
      const { run: only, cursor, limit = 1000, state } = request.query
      const runs = only === undefined ? coordinator.runs() : [coordinator.run(only)]
      return { ...page(runs, cursor, limit, state), lists: only === undefined }
    }),
  })

  app.get<TasksOfRun>('/runs/:run/tasks', {
    schema: { querystring: PageQuery },
    ...keptRead<TasksOfRun>(coordinator, (request) => {
      const run = coordinator.run(request.params.run)
      const { cursor = 0, limit = 1000, state } = request.query
      const wanted = state === undefined ? undefined : new Set(state.split(','))
      const tasks = []
      let index = cursor
      for (; index < run.tasks.length && tasks.length < limit; index += 1) {
        if (!wanted || wanted.has(run.tasks[index]!.state)) tasks.push(taskView(coordinator.state, run, index))
      }
      return { value: { tasks, ...(index < run.tasks.length ? { next: index } : {}) }, runs: [run] }
    }),
  })

  app.get<{ Params: RunParams & { index: string } }>('/runs/:run/tasks/:index', async (request, reply) => {
    await coordinator.settled()
    const run = coordinator.run(request.params.run)
    const index = Number(request.params.index)
    if (!run.tasks[index])
      throw new Refused('not_found', `run ${run.id} has no task ${request.params.index}; it has ${run.tasks.length}`)
    const view = taskView(coordinator.state, run, index)
    reply.header('ETag', `"${view.version}"`)
    return view
  })

  app.get<{ Params: RunParams }>('/runs/:run/results', async (request, reply) => {
    await coordinator.settled()
    const run = coordinator.run(request.params.run)
    return reply.type('application/x-ndjson').send(Readable.from(jsonLines(taskRecords(run, coordinator.blobs))))
  })

  app.get<{ Params: RunParams; Querystring: { task?: number } }>(
    '/runs/:run/output',
    { schema: { querystring: OutputQuery } },
    async (request, reply) => {
      await coordinator.settled()
      const run = coordinator.run(request.params.run)
      const { task } = request.query
      if (task !== undefined && !run.tasks[task])
        throw new Refused('not_found', `run ${run.id} has no task ${task}; it has ${run.tasks.length}`)
      return reply.type('text/plain; charset=utf-8').send(Readable.from(runOutput(run, coordinator.blobs, task)))
    },
  )

  /** Tasks of the runs one after the other; the cursor is the id of the first task not yet listed. */
  function page(runs: readonly Run[], cursor: string | undefined, limit: number, state: string | undefined) {
    const wanted = state === undefined ? undefined : new Set(state.split(','))
    const [firstRun, firstIndex] = cursor === undefined ? [runs[0]?.id, 0] : splitTask(cursor)
    const from = runs.findIndex((run) => run.id === firstRun)
    const tasks = []
    const shown: Run[] = []
    for (const run of from < 0 ? [] : runs.slice(from)) {
      shown.push(run)
      for (let index = run.id === firstRun ? firstIndex : 0; index < run.tasks.length; index += 1) {
        if (tasks.length >= limit) return { value: { tasks, next: `${run.id}/${index}` }, runs: shown }
        if (!wanted || wanted.has(run.tasks[index]!.state)) tasks.push(taskView(coordinator.state, run, index))
      }
    }
    return { value: { tasks }, runs: shown }
  }
}

function splitTask(cursor: string): [run: string, index: number] {
  const match = /^([^/]+)\/(\d+)$/.exec(cursor)
  if (!match) throw new MusterError('request_invalid', `cursor: expected RUN/INDEX, received '${cursor}'`)
  return [match[1]!, Number(match[2])]
}

async function* jsonLines(values: AsyncIterable<unknown>): AsyncGenerator<string> {
  let chunk = ''
  for await (const value of values) {
    chunk += `${JSON.stringify(value)}\n`
    if (chunk.length > 64 * 1024) {
      yield chunk
      chunk = ''
    }
  }
  if (chunk !== '') yield chunk
}
