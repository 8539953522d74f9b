import assert from 'node:assert/strict'
import { test } from 'node:test'
import { callersTrace, parseTraceparent, spanId, traceOf } from './trace-context.ts'

const traceId = '4bf92f3577b34da6a3ce929d0e0e4736'
const parent = '00f067aa0ba902b7'

test('parseTraceparent: the first version, and later ones as far as they are known', () => {
  assert.deepEqual(parseTraceparent(`00-${traceId}-${parent}-01`), { traceId, parentSpanId: parent, sampled: true })
  assert.equal(parseTraceparent(`00-${traceId}-${parent}-00`)!.sampled, false)
  assert.equal(parseTraceparent(`01-${traceId}-${parent}-03-what-comes`)!.sampled, true)
})

test('parseTraceparent: what is none', () => {
  const zeros = '0'.repeat(32)
  for (const text of [
    '',
    'hello',
    `00-${traceId}-${parent}`,
    `00-${traceId}-${parent}-01-more`,
    `ff-${traceId}-${parent}-01`,
    `00-${zeros}-${parent}-01`,
    `00-${traceId}-${zeros.slice(0, 16)}-01`,
    `00-${traceId.toUpperCase()}-${parent}-01`,
    `00-${traceId}-${parent}-01\nhost: other`,
  ]) {
    assert.equal(parseTraceparent(text), undefined, text)
  }
})

test('traceOf: the submitter’s trace, or one that follows from the run’s id', () => {
  const given = traceOf({ id: 'r1', spec: { traceparent: `00-${traceId}-${parent}-01` } })
  assert.deepEqual(given, { traceId, parentSpanId: parent, sampled: true })
  const own = traceOf({ id: 'r1', spec: {} })
  assert.match(own.traceId, /^[0-9a-f]{32}$/)
  assert.deepEqual(traceOf({ id: 'r1', spec: {} }), own, 'another coordinator makes the same')
  assert.notEqual(traceOf({ id: 'r2', spec: {} }).traceId, own.traceId)
})

test('spanId: one for each run, task, attempt and test', () => {
  const ids = [spanId('r1'), spanId('r1', 0), spanId('r1', 0, 'b1'), spanId('r1', 0, 'b2'), spanId('r1', 1, 'b1')]
  assert.equal(new Set(ids).size, ids.length)
  for (const id of ids) assert.match(id, /^[0-9a-f]{16}$/)
})

test('callersTrace: from the environment, when it is one', () => {
  const TRACEPARENT = `00-${traceId}-${parent}-01`
  assert.equal(callersTrace({ TRACEPARENT }), TRACEPARENT)
  assert.equal(callersTrace({ TRACEPARENT: 'nonsense' }), undefined)
  assert.equal(callersTrace({}), undefined)
})
