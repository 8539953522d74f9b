/** A cluster as monitoring sees it: probes, metrics, log lines and traces of several coordinators, also across a change of leader. */
import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { test } from 'node:test'
import type { JsonReport } from '../../reports/json.ts'
import { Collector, type Span } from './fixtures/collector.ts'
import { Coordinators } from './fixtures/coordinators.ts'
import { complaints, valueOf } from './fixtures/metrics.ts'
import { gate, marked, marks, shellSuite } from './fixtures/projects.ts'
import { Stage, until } from './fixtures/stage.ts'

const files = ['a', 'b', 'c', 'd'] as const

async function metricsOf(cluster: Coordinators, name: string): Promise<string> {
  const headers = { authorization: `Bearer ${cluster.tokens.client}` }
  return (await fetch(`${cluster.url(name)}/metrics`, { headers })).text()
}

const readyOf = (cluster: Coordinators, name: string): Promise<Response> => fetch(`${cluster.url(name)}/health/ready`)

async function knowsOfTwo(cluster: Coordinators, leader: string): Promise<boolean> {
  const client = cluster.client(leader)
  const [run] = await client.runs()
  return (await Array.fromAsync(client.tasks(run!.run, ['running']))).length === 2
}

test('a change of leader in the middle of a run: one trace, every attempt counted once, and told once', async () => {
  const scripts = (root: string) => files.map((name) => [`${name}.sh`, marked(name, root, gate(root))])
  await using stage = await Stage.open()
  await using collector = await Collector.open()
  await stage.write(shellSuite(Object.fromEntries(scripts(stage.root))))
  const env = { OTEL_EXPORTER_OTLP_ENDPOINT: collector.url, MUSTER_LOG_LEVEL: 'debug' }
  await using cluster = await Coordinators.open(stage, 3, env)
  const names = ['c1', 'c2', 'c3']
  for (const name of names) assert.equal((await readyOf(cluster, name)).status, 200, name)
  const first = await cluster.leader()
  for (const name of names) {
    const metrics = await metricsOf(cluster, name)
    assert.equal(await complaints(metrics), '')
    assert.equal(valueOf(metrics, 'muster_coordinator_role{role="leader"}'), name === first ? 1 : 0, name)
    assert.equal(valueOf(metrics, 'muster_follower_lag_entries'), 0, name)
  }
  await cluster.join('one')
  await cluster.join('two')
  const running = stage.start(['run', ...cluster.flags, '--json'], { env: { MUSTER_DATA: stage.path('third') } })
  await until(() => Object.keys(marks(stage.root, 'begun')).length === 2, 'a file on each worker')
  // It may die before it hears that they have begun; then nobody else can know when.
  await until(() => knowsOfTwo(cluster, first), 'the leader to know of both')
  await cluster.kill(first)
  const killedAtMs = Date.now()
  const second = await cluster.leader(first)
  await writeFile(stage.path('gate'), '')
  const ended = await running.ended
  assert.equal(ended.code, 0, ended.stderr)
  const { run } = JSON.parse(ended.stdout) as JsonReport

  const alive = names.filter((name) => name !== first)
  const counted = await Promise.all(
    alive.map(async (name) => valueOf(await metricsOf(cluster, name), 'muster_attempts_total{outcome="passed"}')),
  )
  assert.deepEqual(Object.fromEntries(alive.map((name, at) => [name, counted[at]])), {
    ...Object.fromEntries(alive.map((name) => [name, 0])),
    [second]: 4,
  })
  const metrics = await metricsOf(cluster, second)
  assert.ok(valueOf(metrics, 'muster_leader_changes_total')! >= 1)
  assert.ok(valueOf(metrics, 'muster_failover_duration_seconds_count')! >= 1)

  // Run, and four times task, attempt and the one test that a script is.
  await until(
    () => collector.spans.length >= 13,
    () => `all spans, not ${collector.spans.length}`,
  )
  assert.equal(new Set(collector.spans.map((span) => span.traceId)).size, 1)
  const childrenOf = (span: Span) => collector.spans.filter((one) => one.parentSpanId === span.spanId)
  const [root] = collector.spans.filter((span) => span.parentSpanId === '')
  assert.equal(root!.attributes['cicd.pipeline.run.id'], run)
  const tasks = childrenOf(root!)
  assert.equal(tasks.length, 4)
  const attempts = tasks.flatMap(childrenOf)
  assert.equal(attempts.length, 4)
  assert.equal(attempts.flatMap(childrenOf).length, 4)
  const before = attempts.filter((span) => span.startMs < killedAtMs)
  assert.equal(before.length, 2, 'whoever took over knows when attempts began')

  const lines = alive
    .flatMap((name) => cluster.programs.get(name)!.stderr.trimEnd().split('\n'))
    .map((line) => JSON.parse(line) as Readonly<Record<string, unknown>>)
  const finished = lines.filter((line) => line['event'] === 'run.finished' && line['run'] === run)
  assert.equal(finished.length, 1)
  assert.equal(finished[0]!['role'], 'leader')
  assert.equal(lines.filter((line) => line['event'] === 'attempt.ended').length, 4)
})

test('while etcd has no majority nobody is ready and everybody is alive; afterwards they are ready again', async () => {
  await using stage = await Stage.open()
  await using cluster = await Coordinators.open(stage, 2)
  const [one, two] = cluster.etcd.members
  await Promise.all([one!.kill(), two!.kill()])
  for (const name of ['c1', 'c2']) {
    await until(async () => (await readyOf(cluster, name)).status === 503, `${name} is not ready`, 60_000)
    const { reasons } = (await (await readyOf(cluster, name)).json()) as { readonly reasons: readonly string[] }
    assert.ok(reasons.length > 0 && reasons.every((reason) => /log|lead/.test(reason)), reasons.join())
    assert.equal((await fetch(`${cluster.url(name)}/health/live`)).status, 200)
    assert.equal(valueOf(await metricsOf(cluster, name), 'muster_ready'), 0)
  }
  await Promise.all([one!.restart(), two!.restart()])
  for (const name of ['c1', 'c2']) {
    await until(async () => (await readyOf(cluster, name)).status === 200, `${name} is ready`, 60_000)
  }
})
