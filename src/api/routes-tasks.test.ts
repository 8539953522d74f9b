/** Adding tasks to a run that this coordinator has not read of yet. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fastify from 'fastify'
import type { Coordinator } from '../coordinator/coordinator.ts'
import { guard } from './access.ts'
import type { ApiOptions } from './options.ts'
import { taskRoutes } from './routes-tasks.ts'

test('a coordinator that is still reading the log waits for it before it says that there is no such run', async () => {
  const runs = new Map<string, { spec: object; tasks: { file: string }[] }>()
  const coordinator = {
    state: { runs },
    settled: async () => void runs.set('r', { spec: {}, tasks: [{ file: 'a' }] }),
    run: (id: string) => runs.get(id),
    extendRun: async () => ({ changed: true }),
  } as unknown as Coordinator
  const app = fastify()
  guard(app, { type: 'socket' })
  await app.register((scope) => taskRoutes(scope, { coordinator } as ApiOptions))
  for (const url of ['/tasks', '/runs/r/tasks']) {
    runs.clear()
    const payload = url === '/tasks' ? { run: 'r', file: 'a' } : { files: ['a'] }
    const { statusCode, body } = await app.inject({ method: 'POST', url, payload })
    assert.equal(statusCode, 201, body)
  }
  await app.close()
})
