/** What the API takes of needs, order and deadlines, what it answers to mistakes, and how a run of them is run again. */
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import type { Problem } from '../../protocol/api.ts'
import type { RunView, TaskView } from '../../protocol/run-view.ts'
import { Fleet } from './fixtures/fleet.ts'
import { Stage } from './fixtures/stage.ts'

let stage: Stage
let fleet: Fleet
before(async () => {
  stage = await Stage.open()
  fleet = await Fleet.open(stage)
})
after(() => stage[Symbol.asyncDispose]())

const files = ['a', 'b', 'c']
const submit = (more: object) => fleet.post('/runs', { framework: 'command', files, ...more })

async function taken(more: object): Promise<RunView> {
  const response = await submit(more)
  const body = (await response.json()) as RunView
  assert.equal(response.status, 201, JSON.stringify(body))
  return body
}

async function refused(more: object, status: number, pattern: RegExp): Promise<void> {
  const response = await submit(more)
  const { detail, status: said } = (await response.json()) as Problem
  assert.deepEqual([response.status, said], [status, status], detail)
  assert.match(detail, pattern)
}

const tasksOf = async ({ run }: RunView) =>
  ((await (await fleet.request(`/runs/${run}/tasks`)).json()) as { tasks: TaskView[] }).tasks

const specOf = async ({ run }: RunView) =>
  (await (await fleet.request(`/runs/${run}/spec`)).json()) as Record<string, unknown>

test('needs, kinds, order, deadline, priority and user are taken as they are described', async () => {
  const needs = [{ cpus: 2 }, { where: 'os == linux', locks: [{ name: 'db', mode: 'counted', max: 2 }] }]
  const dependencies = [{ task: 'c', after: ['a', 1] }]
  const run = await taken({ needs, kinds: [0, 1, 1], dependencies, deadline: '1h', priority: 'high', user: 'client' })
  assert.equal(run.priority, 100)
  const lowered = await fleet.post(`/runs/${run.run}/prioritise`, { priority: 'background' })
  assert.equal(((await lowered.json()) as RunView).priority, -500)
  const spec = await specOf(run)
  assert.deepEqual([spec['needs'], spec['user']], [needs, 'client'])
  assert.ok(run.deadlineAtMs! > Date.now() + 3_500_000 && run.deadlineAtMs! <= Date.now() + 3_600_000)
  const tasks = await tasksOf(run)
  assert.deepEqual(
    tasks.map((task) => [task.kind ?? 0, task.state]),
    [
      [0, 'queued'],
      [1, 'queued'],
      [1, 'blocked'],
    ],
  )
  const absolute = await taken({ deadline: '2100-01-01T00:00:00+01:00', after: [{ run: run.run }] })
  assert.equal(absolute.deadlineAtMs, Date.parse('2099-12-31T23:00:00Z'))
  assert.deepEqual((await specOf(absolute))['after'], [{ run: run.run, when: 'passed' }])
})

test('mistakes are problems that name their place', async () => {
  await refused(
    { needs: [{}, { where: 'cpus >=' }] },
    400,
    /^needs\[1\]\.where: Cannot read the expression.*\n +cpus >=\n +\^/s,
  )
  await refused({ needs: [{ cpu: 1 }] }, 400, /\/needs\/0/)
  await refused({ needs: [{}], kinds: [0, 1, 0] }, 400, /expected kinds from 0 to 0, received 1/)
  await refused({ kinds: [0] }, 400, /one kind per file/)
  await refused(
    { dependencies: [{ task: 'd', after: ['a'] }] },
    400,
    /dependencies\[0\]\.task: expected one of the submitted files, received 'd'/,
  )
  await refused(
    {
      dependencies: [
        { task: 'a', after: ['b'] },
        { task: 'b', after: ['a'] },
      ],
    },
    400,
    /circle: a -> b -> a/,
  )
  await refused(
    { deadline: 'soon' },
    400,
    /deadline: expected a time with its zone .* or a duration .*, received 'soon'/,
  )
  await refused({ priority: 'urgent' }, 400, /priority: expected critical, high/)
  await refused({ after: [{ run: 'r0' }] }, 404, /no run r0 to come after/)
  await refused(
    { deadline: '2000-01-01T00:00:00Z', admission: 'refuse' },
    409,
    /is past its deadline, 2000-01-01 00:00 UTC, by/,
  )
  assert.equal((await taken({ deadline: '2000-01-01T00:00:00Z' })).warnings?.length, 1)
})

test('more tasks name a need of their run', async () => {
  const run = await taken({ needs: [{}, { cpus: 2 }], open: true })
  const added = await fleet.post(`/runs/${run.run}/tasks`, { files: ['d', 'e'], kinds: [1, 0] })
  assert.equal(added.status, 201)
  assert.equal((await fleet.post('/tasks', { run: run.run, file: 'f', kind: 1 })).status, 201)
  assert.deepEqual(
    (await tasksOf(run)).map((task) => task.kind ?? 0),
    [0, 0, 0, 1, 0, 1],
  )
  assert.equal((await fleet.post(`/runs/${run.run}/tasks`, { files: ['g'], kinds: [2] })).status, 400)
})

test('run again, files keep their needs and their order', async () => {
  const needs = [{ cpus: 1 }, { cpus: 2 }]
  const dependencies = [
    { task: 'b', after: ['a'] },
    { task: 'c', after: ['a', 'b'] },
  ]
  const run = await taken({ needs, kinds: [1, 0, 1], dependencies, deadline: '1h' })
  await fleet.post(`/runs/${run.run}/cancel`, {})
  const again = (await (await fleet.post(`/runs/${run.run}/rerun`, {})).json()) as RunView
  assert.equal(again.deadlineAtMs, undefined)
  assert.deepEqual((await specOf(again))['needs'], needs)
  const tasks = await tasksOf(again)
  assert.deepEqual(
    tasks.map((task) => [task.kind ?? 0, task.state]),
    [
      [1, 'queued'],
      [0, 'blocked'],
      [1, 'blocked'],
    ],
  )
})
