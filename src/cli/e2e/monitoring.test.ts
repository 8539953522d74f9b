/** What a load balancer, a probe and Prometheus see of a real server. */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import type { HealthView, Problem } from '../../protocol/api.ts'
import { Fleet } from './fixtures/fleet.ts'
import { complaints, valueOf } from './fixtures/metrics.ts'
import { shellSuite } from './fixtures/projects.ts'
import { Stage, until } from './fixtures/stage.ts'

test('live and ready need no token; health and metrics do', async () => {
  await using stage = await Stage.open()
  const fleet = await Fleet.open(stage)
  for (const prefix of ['', '/api/v1']) {
    assert.deepEqual(await (await fetch(`${fleet.url}${prefix}/health/live`)).json(), { live: true })
    assert.deepEqual(await (await fetch(`${fleet.url}${prefix}/health/ready`)).json(), { ready: true })
    for (const route of ['/health', '/metrics']) {
      assert.equal((await fetch(`${fleet.url}${prefix}${route}`)).status, 401, route)
    }
  }
  const health = (await (await fleet.request('/health')).json()) as HealthView
  assert.equal(health.status, 'ok')
  assert.equal(health.ready, true)
  assert.deepEqual(health.notReady, [])
  assert.equal(health.role, 'leader')
  assert.ok(health.epoch > 0)
})

test('--metrics-open lets Prometheus in without a token, and nobody anywhere else', async () => {
  await using stage = await Stage.open()
  const server = stage.start([
    'serve',
    '--listen',
    '127.0.0.1:0',
    '--data',
    stage.path('coordinator'),
    '--metrics-open',
  ])
  const [, url] = await server.says(/muster coordinator at (http:\S+)/)
  const metrics = await (await fetch(`${url}/metrics`)).text()
  assert.equal(valueOf(metrics, 'muster_ready'), 1)
  assert.equal((await fetch(`${url}/api/v1/runs`)).status, 401)
  assert.equal((await fetch(`${url}/health`)).status, 401)
})

test('metrics: promtool has nothing against them, and they count what a run did', async () => {
  await using stage = await Stage.open(
    shellSuite({
      'good.sh': 'exit 0',
      'bad.sh': 'exit 1',
      'flaky.sh': '[ -e "$PWD/../seen" ] || [ -e seen ] || { : > seen; exit 1; }',
    }),
  )
  const fleet = await Fleet.open(stage, ['one'])
  const ended = await stage.muster(['run', ...fleet.flags, '--retries', '1', '--priority', '5'])
  assert.equal(ended.code, 1, ended.stderr)
  const read = async () => (await fleet.request('/metrics')).text()
  // The run is over with its last result; the batch, once its process is gone.
  await until(async () => valueOf(await read(), 'muster_workers{state="idle"}') === 1, 'the end of the last batch')
  const metrics = await read()
  assert.equal(await complaints(metrics), '')
  const expected: Readonly<Record<string, number>> = {
    muster_runs_submitted_total: 1,
    'muster_runs_finished_total{verdict="failed"}': 1,
    muster_runs_active: 0,
    'muster_attempts_total{outcome="failed"}': 3,
    'muster_attempts_total{outcome="passed"}': 2,
    'muster_attempts_total{outcome="lost"}': 0,
    muster_attempt_duration_seconds_count: 5,
    'muster_tasks_ended_total{state="passed"}': 1,
    'muster_tasks_ended_total{state="flaky"}': 1,
    'muster_tasks_ended_total{state="failed"}': 1,
    'muster_tasks_requeued_total{cause="failed"}': 2,
    'muster_task_wait_seconds_count{priority="high"}': 3,
    'muster_tasks{priority="high",state="queued"}': 0,
    'muster_workers{state="idle"}': 1,
    'muster_worker_cpus{use="free"}': 1,
    'muster_coordinator_role{role="leader"}': 1,
    muster_coordinator_epoch: 1,
    muster_log_writable: 1,
    muster_log_append_failures_total: 0,
    muster_failover_duration_seconds_count: 0,
    muster_dead_letters: 0,
    'muster_breakers{kind="worker",state="open"}': 0,
    'muster_breakers{kind="worker",state="closed"}': 1,
    muster_healthy: 1,
  }
  for (const [series, value] of Object.entries(expected)) assert.equal(valueOf(metrics, series), value, series)
  const entries = valueOf(metrics, 'muster_log_append_duration_seconds_count')!
  assert.ok(entries > 5)
  assert.equal(valueOf(metrics, 'muster_log_entry_bytes_count'), entries)
  assert.ok(valueOf(metrics, 'muster_log_entry_inputs_sum')! >= entries)
  assert.ok(valueOf(metrics, 'muster_blob_operation_duration_seconds_count{operation="put",outcome="ok"}')! > 0)
  const submissions = 'muster_http_request_duration_seconds_count{route="/api/v1/runs",method="POST",status="201"}'
  assert.equal(valueOf(metrics, submissions), 1)
})

test('metrics: nobody outside can make series by asking', async () => {
  await using stage = await Stage.open()
  const fleet = await Fleet.open(stage)
  const series = async () => (await (await fleet.request('/metrics')).text()).match(/^muster_http_/gm)!.length
  await fleet.request('/none')
  await fleet.request('/runs/none')
  await fleet.request('/metrics')
  const before = await series()
  for (let at = 0; at < 20; at += 1) {
    await fleet.request(`/none-${at}`, { method: at % 2 === 0 ? 'PUT' : 'GET' })
    await fleet.request(`/runs/none-${at}`)
  }
  assert.equal(await series(), before)
})

type Line = Readonly<Record<string, unknown>> & { readonly level: string; readonly time: string; readonly msg: string }

test('the log of a server: every line is JSON, and says of which run, batch, worker and attempt', async () => {
  await using stage = await Stage.open(shellSuite({ 'good.sh': 'exit 0', 'bad.sh': 'exit 1' }))
  const fleet = await Fleet.open(stage, [], { env: { MUSTER_LOG_LEVEL: 'debug' } })
  await fleet.join('one')
  const { run } = await stage.json<{ run: string }>(['run', ...fleet.flags, '--retries', '1'], 1)
  fleet.server.kill('SIGTERM')
  const { stderr } = await fleet.server.ended
  const lines = stderr
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Line)
  for (const line of lines) {
    assert.match(line.time, /^\d{4}-\d\d-\d\dT[\d:.]+Z$/)
    assert.ok(['debug', 'info', 'warn', 'error'].includes(line.level), line.level)
    assert.ok(line.msg.length > 0)
  }
  const of = (event: string) => lines.filter((line) => line['event'] === event)
  const [submitted] = of('run.submitted')
  assert.deepEqual(
    [submitted!['run'], submitted!['tasks'], submitted!['role'], submitted!.level],
    [run, 2, 'leader', 'info'],
  )
  assert.equal(typeof submitted!['coordinator'], 'string')
  assert.ok(Number(submitted!['epoch']) > 0)
  const [finished] = of('run.finished')
  assert.deepEqual([finished!['run'], finished!['verdict'], finished!.msg], [run, 'failed', 'run finished: failed'])
  const attempts = of('attempt.ended').map((line) => [line['task'], line['attempt'], line['outcome'], line['file']])
  assert.deepEqual(
    attempts.toSorted((a, b) => String(a).localeCompare(String(b))),
    [
      [`${run}/0`, 1, 'failed', 't/bad.sh'],
      [`${run}/0`, 2, 'failed', 't/bad.sh'],
      [`${run}/1`, 1, 'passed', 't/good.sh'],
    ],
  )
  const [worker] = of('worker.joined')
  for (const line of of('batch.assigned')) {
    assert.equal(line['worker'], worker!['worker'])
    assert.match(String(line['batch']), /^b\d+$/)
  }
  assert.ok(lines.every((line, at) => at === 0 || lines[at - 1]!.time <= line.time))
})

test('MUSTER_LOG_LEVEL: what is no level is refused', async () => {
  await using stage = await Stage.open()
  const ended = await stage.muster(['serve', '--listen', '127.0.0.1:0'], { env: { MUSTER_LOG_LEVEL: 'loud' } })
  assert.equal(ended.code, 2)
  assert.match(ended.stderr, /MUSTER_LOG_LEVEL: expected one of trace, debug, .*received 'loud'/)
})

test('while the log cannot be written it is alive and not ready, and says why', async () => {
  await using stage = await Stage.open()
  const fleet = await Fleet.open(stage, [], { fileKibMax: 512 })
  const fill = async (): Promise<boolean> => {
    const files = Array.from({ length: 500 }, () => `${randomBytes(80).toString('hex')}.test`)
    return (await fleet.post('/runs', { framework: 'command', files }).catch(() => undefined))?.status === 201
  }
  const filling = (async () => {
    while (await fill());
  })()
  let ready: Response | undefined
  await until(async () => (ready = await fetch(`${fleet.url}/health/ready`)).status === 503, 'not ready')
  assert.match(ready!.headers.get('content-type')!, /^application\/problem\+json/)
  assert.equal(ready!.headers.get('retry-after'), '1')
  const problem = (await ready!.json()) as Problem
  assert.equal(problem.code, 'unavailable')
  assert.deepEqual(problem.reasons, ['the log cannot be written'])
  assert.doesNotMatch(JSON.stringify(problem), /\//, 'no path is told without a token')
  assert.equal((await fetch(`${fleet.url}/health/live`)).status, 200)
  const metrics = await (await fleet.request('/metrics')).text()
  assert.equal(valueOf(metrics, 'muster_log_writable'), 0)
  assert.equal(valueOf(metrics, 'muster_ready'), 0)
  assert.equal(valueOf(metrics, 'muster_healthy'), 0)
  fleet.server.kill('SIGKILL')
  await filling
})
