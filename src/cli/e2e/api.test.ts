/** The HTTP API as its reference describes it, over TCP. */
import assert from 'node:assert/strict'
import http from 'node:http'
import { text } from 'node:stream/consumers'
import { after, before, test } from 'node:test'
import type { Problem } from '../../protocol/api.ts'
import type { RunView, TaskView } from '../../protocol/run-view.ts'
import { Fleet } from './fixtures/fleet.ts'
import { complaints } from './fixtures/metrics.ts'
import { Stage } from './fixtures/stage.ts'

let stage: Stage
let fleet: Fleet
before(async () => {
  stage = await Stage.open()
  fleet = await Fleet.open(stage)
})
after(() => stage[Symbol.asyncDispose]())

async function submit(
  files: readonly string[],
  headers: Readonly<Record<string, string>> = {},
): Promise<{ run: RunView; response: Response }> {
  const response = await fleet.post('/runs', { framework: 'command', files }, headers)
  assert.equal(response.status, 201)
  return { run: (await response.json()) as RunView, response }
}

async function problem(response: Response, status: number, code: string): Promise<void> {
  const body = (await response.json()) as Problem
  assert.equal(response.status, status, JSON.stringify(body))
  assert.match(response.headers.get('content-type') ?? '', /^application\/problem\+json/)
  assert.equal(body.code, code)
  assert.equal(body.status, status)
  assert.ok(body.type && body.title && body.detail)
}

test('a submission has a Location, an ETag and a position; its key makes it happen once', async () => {
  const { run, response } = await submit(['a'], { 'idempotency-key': 'one' })
  assert.equal(response.headers.get('location'), `/api/v1/runs/${run.run}`)
  assert.equal(response.headers.get('etag'), `"${run.version}"`)
  assert.ok(Number(response.headers.get('muster-position')) > 0)
  assert.equal((await submit(['a'], { 'idempotency-key': 'one' })).run.run, run.run)
  assert.notEqual((await submit(['a'], { 'idempotency-key': 'two' })).run.run, run.run)
})

test('If-Match: an action on a run that has changed meanwhile is refused with 412', async () => {
  const { run, response } = await submit(['a'])
  const etag = response.headers.get('etag')!
  const paused = await fleet.post(`/runs/${run.run}/pause`, {}, { 'if-match': etag })
  assert.equal(paused.status, 200)
  assert.notEqual(paused.headers.get('etag'), etag)
  await problem(await fleet.post(`/runs/${run.run}/cancel`, {}, { 'if-match': etag }), 412, 'version_mismatch')
  assert.equal(((await (await fleet.request(`/runs/${run.run}`)).json()) as RunView).state, 'paused')
  await problem(await fleet.post(`/runs/${run.run}/cancel`, {}, { 'if-match': 'seven' }), 400, 'request_invalid')
})

test('tasks in pages, with a state', async () => {
  const files = Array.from({ length: 25 }, (_, index) => `f${index}`)
  const { run } = await submit(files)
  const seen: string[] = []
  for (let cursor: number | undefined = 0; cursor !== undefined;) {
    const page = (await (await fleet.request(`/runs/${run.run}/tasks?limit=10&cursor=${cursor}`)).json()) as {
      tasks: TaskView[]
      next?: number
    }
    assert.ok(page.tasks.length <= 10)
    seen.push(...page.tasks.map((one) => one.file))
    cursor = page.next
  }
  assert.deepEqual(seen, files)
  const none = (await (await fleet.request(`/runs/${run.run}/tasks?state=failed`)).json()) as { tasks: TaskView[] }
  assert.deepEqual(none.tasks, [])
})

test('what is read again and again is never older than what was answered before', async () => {
  const { run } = await submit(['ä.test', 'b.test'], { 'idempotency-key': 'read again' })
  const read = async (path: string) => {
    const response = await fleet.request(path)
    assert.equal(response.status, 200)
    assert.equal(response.headers.get('content-type'), 'application/json; charset=utf-8')
    assert.ok(Number(response.headers.get('muster-position')) > 0)
    return { etag: response.headers.get('etag'), body: (await response.json()) as unknown }
  }
  const one = `/runs/${run.run}`
  const tasks = async () => ((await read(`${one}/tasks`)).body as { tasks: TaskView[] }).tasks.map((task) => task.file)
  let count = 0
  for (const [action, state] of [
    ['pause', 'paused'],
    ['resume', 'queued'],
    ['cancel', 'finished'],
  ] as const) {
    await read(one)
    await fleet.post(`${one}/${action}`, {})
    for (let again = 0; again < 3; again += 1) {
      const { etag, body } = await read(one)
      assert.equal((body as RunView).state, state)
      assert.equal(etag, `"${(body as RunView).version}"`)
      const { runs } = (await read('/runs')).body as { runs: RunView[] }
      count = runs.length
      assert.deepEqual(runs.find((other) => other.run === run.run)?.state, state)
      assert.deepEqual(await tasks(), ['ä.test', 'b.test'])
    }
  }
  await submit(['c'])
  assert.equal(((await read('/runs')).body as { runs: RunView[] }).runs.length, count + 1)
})

test('actions on many runs have one result each', async () => {
  const ids = [(await submit(['a'])).run.run, (await submit(['b'])).run.run]
  const response = await fleet.post('/runs/actions', { action: 'cancel', runs: [...ids, 'none'] })
  const { results } = (await response.json()) as {
    results: { run: string; ok: boolean; state?: string; code?: string }[]
  }
  assert.deepEqual(
    results.map((one) => [one.run, one.ok, one.state ?? one.code]),
    [
      [ids[0], true, 'finished'],
      [ids[1], true, 'finished'],
      ['none', false, 'not_found'],
    ],
  )
})

/** Announces a body of so many bytes; the answer comes before they are sent. */
function announce(bytes: number): Promise<Response> {
  const headers = {
    authorization: `Bearer ${fleet.tokens.client}`,
    'content-type': 'application/json',
    'content-length': String(bytes),
  }
  return new Promise((resolve, reject) => {
    const request = http.request(`${fleet.url}/api/v1/runs`, { method: 'POST', headers }, (incoming) => {
      void text(incoming).then((body) => {
        request.destroy()
        resolve(
          new Response(body, { status: incoming.statusCode!, headers: incoming.headers as Record<string, string> }),
        )
      }, reject)
    })
    request.on('error', reject)
    request.flushHeaders()
  })
}

test('every error is a problem document', async () => {
  await problem(await fleet.post('/runs', '{'), 400, 'request_invalid')
  await problem(await fleet.post('/runs', ''), 400, 'request_invalid')
  await problem(await fleet.post('/runs', {}), 400, 'request_invalid')
  await problem(await fleet.post('/runs', { framework: 'command', files: [1] }), 400, 'request_invalid')
  await problem(await fleet.post('/runs', { framework: 'command', files: ['a'], surprise: 1 }), 400, 'request_invalid')
  await problem(await fleet.post('/runs', { framework: 'command', files: ['../a'] }), 400, 'request_invalid')
  await problem(await fleet.post('/runs', '<run/>', { 'content-type': 'text/xml' }), 400, 'request_invalid')
  await problem(await fleet.request('/nothing'), 404, 'not_found')
  await problem(await fleet.request('/runs/none'), 404, 'not_found')
  await problem(await fleet.request('/runs', { method: 'DELETE' }), 404, 'not_found')
  await problem(await fleet.request('/runs/none/tasks?limit=many'), 400, 'request_invalid')
  await problem(await fleet.request('/runs', { headers: { authorization: 'Bearer x' } }), 401, 'unauthorized')
  await problem(await announce(129 * 1024 * 1024), 413, 'payload_too_large')
})

test('/metrics is Prometheus text', async () => {
  const response = await fleet.request('/metrics')
  assert.match(response.headers.get('content-type')!, /^text\/plain; version=0\.0\.4/)
  const metrics = await response.text()
  assert.equal(await complaints(metrics), '')
  assert.match(metrics, /^muster_runs_active \d+$/m)
})
