import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { TestResult } from '../../protocol/results.ts'
import type { SpanData } from './span.ts'
import { testSpans } from './test-spans.ts'

const attempt: SpanData = {
  traceId: 't',
  spanId: 's',
  parentSpanId: undefined,
  name: 'attempt',
  startMs: 1000,
  endMs: 1100,
  ok: true,
  message: undefined,
  attributes: {},
  events: [],
}
const one = (name: string, durationMs: number, more: Partial<TestResult> = {}): TestResult => ({
  file: 'a.test.js',
  name: ['suite', name],
  status: 'passed',
  durationMs,
  ...more,
})
const spansOf = (...tests: TestResult[]) =>
  testSpans(attempt, { file: 'a.test.js', outcome: 'passed', durationMs: 100, tests })

test('testSpans: one after the other, inside the attempt where they fit', () => {
  const times = spansOf(one('a', 30), one('b', 40), one('c', 50), one('d', 200)).map((span) => [
    span.startMs,
    span.endMs,
  ])
  assert.deepEqual(times, [
    [1000, 1030],
    [1030, 1070],
    [1050, 1100],
    [1000, 1200],
  ])
})

test('testSpans: a failure has its message and its errors; tests of the same name differ', () => {
  const errors = [{ message: 'expected 1\nreceived 2', type: 'AssertionError', stack: 's'.repeat(10_000) }]
  const [failed, again] = spansOf(one('a', 1, { status: 'failed', errors, line: 7 }), one('a', 1))
  assert.equal(failed!.ok, false)
  assert.equal(failed!.message, 'expected 1')
  assert.equal(failed!.attributes['error.type'], 'AssertionError')
  assert.equal(failed!.attributes['code.line.number'], 7)
  assert.equal(failed!.events[0]!.attributes['exception.message'], 'expected 1\nreceived 2')
  assert.equal(String(failed!.events[0]!.attributes['exception.stacktrace']).length, 4096)
  assert.notEqual(failed!.spanId, again!.spanId)
})

test('testSpans: the framework’s own tries are events; skipped and todo are neither pass nor fail', () => {
  const tries = [{ status: 'failed' as const, durationMs: 3 }]
  const [flaky, skipped] = spansOf(one('a', 1, { tries }), one('b', 0, { status: 'skipped', reason: 'later' }))
  assert.equal(flaky!.attributes['muster.test.flaky'], true)
  assert.deepEqual(
    flaky!.events.map((event) => [event.name, event.attributes['muster.try.status']]),
    [['try', 'failed']],
  )
  assert.equal(skipped!.attributes['test.case.result.status'], undefined)
  assert.equal(skipped!.attributes['muster.test.reason'], 'later')
  assert.equal(skipped!.ok, true)
})
