/** A coordinator with too much to do: whom it refuses and what it says, and that it comes back by itself. */
import assert from 'node:assert/strict'
import { mkdir, writeFile } from 'node:fs/promises'
import { test } from 'node:test'
import { WebSocket } from 'ws'
import type { Problem } from '../../protocol/api.ts'
import type { FeedMessage, RunView } from '../../protocol/run-view.ts'
import { Fleet } from './fixtures/fleet.ts'
import { shellSuite } from './fixtures/projects.ts'
import { Stage, until } from './fixtures/stage.ts'

async function open(stage: Stage, settings: object): Promise<Fleet> {
  await mkdir(stage.path('coordinator'), { mode: 0o700 })
  await writeFile(stage.path('coordinator', 'coordinator.json'), JSON.stringify(settings))
  return Fleet.open(stage)
}

const files = (count: number): string[] => Array.from({ length: count }, (_, at) => `f${at}`)

async function submit(fleet: Fleet, count: number, priority = 0): Promise<Response> {
  return fleet.post('/runs', { framework: 'command', files: files(count), priority })
}

async function idOf(answer: Response): Promise<string> {
  assert.equal(answer.status, 201)
  return ((await answer.json()) as RunView).run
}

test('low priority is refused first, with a reason and a time; the command line waits, and says so', async () => {
  await using stage = await Stage.open(shellSuite({ 'a.sh': 'exit 0\n' }))
  const fleet = await open(stage, { limits: { queuedTasksMax: 100 } })
  const first = await idOf(await submit(fleet, 75))
  const low = await submit(fleet, 1, -1)
  assert.equal(low.status, 429)
  assert.ok(Number(low.headers.get('retry-after')) >= 1)
  const problem = (await low.json()) as Problem
  assert.equal(problem.code, 'overloaded')
  assert.equal(problem.detail, '75 tasks are waiting')
  const { status, problems } = await fleet.client.health()
  assert.equal(status, 'degraded')
  assert.deepEqual(problems, ['overloaded: 75 tasks are waiting; new runs of low priority are refused'])

  const second = await idOf(await submit(fleet, 12))
  assert.equal((await submit(fleet, 1)).status, 429)
  const urgent = await idOf(await submit(fleet, 1, 1))
  // Nothing else is refused. What is paused waits too.
  for (const run of [first, second, urgent]) assert.equal((await fleet.client.act(run, 'pause')).state, 'paused')

  const impatient = await stage.muster(['run', ...fleet.flags, '--wait-for-coordinator', '1s'])
  assert.equal(impatient.code, 3)
  assert.match(impatient.stderr, /the coordinator is busy: 88 tasks are waiting; trying again in 1\.0 s/)
  assert.match(impatient.stderr, /^muster: 88 tasks are waiting$/m)
  const local = await stage.muster(['run', ...fleet.flags, '--fallback', 'local-when-busy'])
  assert.equal(local.code, 0, local.stderr)
  assert.match(local.stderr, /running on this host instead/)

  await fleet.join('one')
  const patient = stage.start(['run', ...fleet.flags])
  await patient.says(/the coordinator is busy: 88 tasks are waiting; trying again in /)
  for (const run of [first, second, urgent]) await fleet.client.act(run, 'cancel')
  assert.equal((await patient.ended).code, 0)
  await until(async () => (await fleet.client.health()).status === 'ok', 'health')
})

test('while it is overloaded the live view is coarse, and says why', async () => {
  await using stage = await Stage.open()
  const fleet = await open(stage, { limits: { queuedTasksMax: 100 } })
  const run = await idOf(await submit(fleet, 75))
  const url = `${fleet.url.replace('http', 'ws')}/api/v1/feed?run=${run}`
  const socket = new WebSocket(url, { headers: { authorization: `Bearer ${fleet.tokens.client}` } })
  const messages: FeedMessage[] = []
  socket.on('message', (data: Buffer) => {
    for (const line of data.toString('utf8').split('\n')) messages.push(JSON.parse(line) as FeedMessage)
  })
  try {
    await until(() => messages.length > 0, 'the snapshot')
    assert.equal((await submit(fleet, 1, -1)).status, 429)
    await fleet.client.act(run, 'pause')
    const notices = () => messages.flatMap((one) => (one.type === 'notice' ? [one.text] : []))
    await until(() => notices().includes('the live view is coarse: the coordinator is overloaded'), 'the word')
    await fleet.client.act(run, 'resume')
    await fleet.client.act(run, 'cancel')
    await until(() => messages.at(-1)!.type === 'end', 'the end')
    const end = messages.at(-1) as Extract<FeedMessage, { type: 'end' }>
    assert.equal(end.run.tasks.cancelled, 75)
    assert.equal(messages.filter((one) => one.type === 'task-ended').length, 75, 'no end of a file is left out')
    assert.ok(end.position! > 0)
  } finally {
    socket.terminate()
  }
})

test('requests and bodies have room up to a limit', async () => {
  await using stage = await Stage.open()
  const fleet = await open(stage, { overload: { bodyBytesMax: 1000 } })
  const body = JSON.stringify({ framework: 'command', files: files(500) })
  const answers = await Promise.all(
    Array.from({ length: 30 }, () => fleet.post('/runs', body).then((answer) => answer.status)),
  )
  assert.ok(answers.includes(201), 'one always has room')
  assert.ok(answers.every((status) => status === 201 || status === 429))
  await until(async () => (await fleet.post('/runs', body)).status === 201, 'room again')
})
