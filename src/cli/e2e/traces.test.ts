/** Traces of real runs, as a collector gets them. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { HealthView } from '../../protocol/api.ts'
import { Collector, type Span } from './fixtures/collector.ts'
import { Fleet } from './fixtures/fleet.ts'
import { valueOf } from './fixtures/metrics.ts'
import { nodeSuite, nodeTest, shellSuite } from './fixtures/projects.ts'
import { Stage, until } from './fixtures/stage.ts'

const suite = nodeSuite({
  'good.test.js': nodeTest(
    `describe('math', () => { test('adds', () => {}); test('is skipped', { skip: true }, () => {}) })`,
  ),
  'bad.test.js': nodeTest(`test('is wrong', () => { assert.equal(1, 2) })`),
  'flaky.test.js': nodeTest(
    `import { existsSync, writeFileSync } from 'node:fs'
     test('works at last', () => { if (!existsSync('seen')) { writeFileSync('seen', ''); assert.fail('not yet') } })`,
  ),
})

/** Children by name, attempts in their order: `{ 'run node': { 'bad.test.js': … } }`. */
type Tree = { readonly [name: string]: Tree }

function treeOf(spans: readonly Span[], parent: string): Tree {
  const children = spans.filter((span) => span.parentSpanId === parent)
  const named = children.map((span) => {
    const number = span.attributes['muster.attempt'] as number | undefined
    return [number === undefined ? span.name : `${span.name} ${number}`, treeOf(spans, span.spanId)] as const
  })
  return Object.fromEntries(named.toSorted(([a], [b]) => a.localeCompare(b)))
}

const attempt = (number: number, name: string): Tree => ({ [`attempt ${number}`]: { [name]: {} } })

test('a run, its tasks, attempts and tests are one trace below the submitter', async () => {
  await using stage = await Stage.open(suite)
  await using collector = await Collector.open()
  const env = {
    OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
    OTEL_EXPORTER_OTLP_HEADERS: 'x-team=ci',
    OTEL_RESOURCE_ATTRIBUTES: 'deployment.environment.name=test',
  }
  const fleet = await Fleet.open(stage, [], { env })
  await fleet.join('one')
  const traceId = '4bf92f3577b34da6a3ce929d0e0e4736'
  const parent = '00f067aa0ba902b7'
  const { run } = await stage.json<{ run: string }>(['run', ...fleet.flags, '--retries', '1'], 1, {
    env: { TRACEPARENT: `00-${traceId}-${parent}-01` },
  })
  await until(
    () => collector.spans.some((span) => span.attributes['cicd.pipeline.run.id'] === run),
    'the span of the run',
  )
  await until(
    () => collector.spans.length >= 15,
    () => `all spans, not ${collector.spans.length}`,
  )
  const { spans } = collector
  assert.deepEqual(new Set(spans.map((span) => span.traceId)), new Set([traceId]))
  assert.deepEqual(treeOf(spans, parent), {
    'run node': {
      'bad.test.js': { ...attempt(1, 'is wrong'), ...attempt(2, 'is wrong') },
      'flaky.test.js': { ...attempt(1, 'works at last'), ...attempt(2, 'works at last') },
      'good.test.js': { 'attempt 1': { 'math › adds': {}, 'math › is skipped': {} } },
    },
  })
  const named = (name: string) => spans.filter((span) => span.name === name)
  const [root] = named('run node')
  assert.equal(root!.status, 2)
  assert.equal(root!.attributes['cicd.pipeline.result'], 'failure')
  assert.equal(root!.attributes['test.suite.run.status'], 'failure')
  assert.equal(root!.resource['service.name'], 'muster')
  assert.equal(root!.resource['deployment.environment.name'], 'test')
  for (const span of spans) {
    assert.ok(span.startMs <= span.endMs, span.name)
    assert.ok(span.startMs >= root!.startMs, `${span.name} begins in its run`)
  }
  const wrong = named('is wrong')
  assert.equal(wrong.length, 2)
  for (const span of wrong) {
    assert.equal(span.status, 2)
    assert.equal(span.attributes['test.case.result.status'], 'fail')
    assert.equal(span.attributes['code.file.path'], 'bad.test.js')
    assert.match(
      String(span.events[0]!.attributes['exception.message']),
      /1 !== 2|Expected values to be strictly equal/,
    )
  }
  assert.deepEqual(new Set(named('works at last').map((span) => span.status)), new Set([0, 2]))
  assert.equal(named('math › is skipped')[0]!.attributes['muster.test.status'], 'skipped')
  assert.equal(named('flaky.test.js')[0]!.attributes['muster.task.state'], 'flaky')
  assert.equal(named('flaky.test.js')[0]!.status, 0)
  for (const span of named('attempt')) assert.match(String(span.attributes['muster.batch.id']), /^b\d+$/)
  const [request] = collector.requests
  assert.equal(request!.url, '/v1/traces')
  assert.equal(request!.headers['x-team'], 'ci')
  const metrics = await (await fleet.request('/metrics')).text()
  assert.ok(valueOf(metrics, 'muster_trace_spans_total{outcome="exported"}')! >= spans.length)
  assert.equal(valueOf(metrics, 'muster_trace_spans_total{outcome="dropped"}'), 0)
})

test('a run without a daemon sends its trace before the command ends', async () => {
  await using stage = await Stage.open(shellSuite({ 'good.sh': 'exit 0' }))
  await using collector = await Collector.open()
  // A busy machine may need longer for it than a run should wait as a rule.
  const env = { OTEL_EXPORTER_OTLP_ENDPOINT: collector.url, OTEL_EXPORTER_OTLP_TIMEOUT: '60000' }
  const ended = await stage.muster(['run', '--no-daemon'], { env })
  assert.equal(ended.code, 0, ended.stderr)
  const [root] = collector.spans.filter((span) => span.parentSpanId === '')
  assert.ok(root)
  assert.deepEqual(treeOf(collector.spans, root.spanId), { 't/good.sh': attempt(1, 't/good.sh') })
})

test('a collector that is not there costs a run without a daemon nothing but a moment', async () => {
  await using stage = await Stage.open(shellSuite({ 'good.sh': 'exit 0' }))
  // Port 9 (discard): nobody listens there.
  const env = { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:9' }
  const ended = await stage.muster(['run', '--no-daemon'], { env })
  assert.equal(ended.code, 0, ended.stderr)
  assert.doesNotMatch(ended.stderr + ended.stdout, /trace|span|collector/i)
})

test('a submitter whose trace is not recorded gets none', async () => {
  await using stage = await Stage.open(shellSuite({ 'good.sh': 'exit 0' }))
  await using collector = await Collector.open()
  const env = {
    OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
    TRACEPARENT: '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00',
  }
  assert.equal((await stage.muster(['run', '--no-daemon'], { env })).code, 0)
  assert.deepEqual(collector.spans, [])
})

test('a collector that fails harms no run: health says so, and what waits is sent when it is back', async () => {
  await using stage = await Stage.open(shellSuite({ 'good.sh': 'exit 0' }))
  await using collector = await Collector.open()
  collector.answer = 400
  const fleet = await Fleet.open(stage, [], { env: { OTEL_EXPORTER_OTLP_ENDPOINT: collector.url } })
  await fleet.join('one')
  assert.equal((await stage.muster(['run', ...fleet.flags])).code, 0)
  const health = async () => (await (await fleet.request('/health')).json()) as HealthView
  await until(async () => (await health()).status === 'degraded', 'a degraded state')
  const { problems, ready } = await health()
  assert.match(problems.join(), /^traces: the collector at http:\/\/127\.0\.0\.1:\d+ fails: /)
  assert.equal(ready, true, 'it serves as well as ever')
  assert.equal((await stage.muster(['run', ...fleet.flags])).code, 0)
  collector.answer = 200
  await until(async () => (await health()).status === 'ok', 'that it is well again')
  await until(() => collector.spans.filter((span) => span.name.startsWith('run ')).length === 2, 'both runs')
})

test('what cannot be done is said, and traces stay off', async () => {
  await using stage = await Stage.open()
  const env = { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:4317', OTEL_EXPORTER_OTLP_PROTOCOL: 'grpc' }
  const fleet = await Fleet.open(stage, [], { env })
  const { problems } = (await (await fleet.request('/health')).json()) as HealthView
  assert.deepEqual(problems, ["traces: OTEL_EXPORTER_OTLP_PROTOCOL: expected http/protobuf, received 'grpc'"])
})
