import assert from 'node:assert/strict'
import { test } from 'node:test'
import { advance, apply } from './advance.ts'
import { formatOf, readableFormat, UnreadableFormat } from './format.ts'
import { Refused } from './input.ts'
import { defaultLimits } from './limits.ts'
import { capture, restore } from './snapshot.ts'
import { emptyState } from './state.ts'

test('raise-format: raises once, never lowers, and refuses what this version cannot read', () => {
  const state = emptyState()
  assert.equal(state.format, 1)
  assert.deepEqual(advance(state, { type: 'raise-format', format: 2 }, 1), [{ type: 'format.raised', format: 2 }])
  assert.equal(state.format, 2)
  assert.deepEqual(advance(state, { type: 'raise-format', format: 1 }, 2), [])
  assert.throws(() => advance(state, { type: 'raise-format', format: readableFormat + 1 }, 3), Refused)
  assert.equal(state.format, 2)
})

test('format.raised: a log above what is readable fails with one clear error', () => {
  const state = emptyState()
  assert.throws(
    () => apply(state, { type: 'format.raised', format: readableFormat + 1 }, 1),
    (error) => error instanceof UnreadableFormat && error.message.includes(`received format ${readableFormat + 1}`),
  )
})

test('snapshot: carries the format, restores older ones, and fails above what is readable', () => {
  const state = emptyState()
  assert.equal(capture(state).version, 1)
  assert.equal(restore(capture(state), defaultLimits).format, 1)
  advance(state, { type: 'raise-format', format: 2 }, 1)
  assert.equal(restore(capture(state), defaultLimits).format, 2)
  const newer = { ...capture(state), version: readableFormat + 1 }
  assert.throws(() => restore(newer, defaultLimits), UnreadableFormat)
})

test('snapshot: what 0.1.0 wrote still restores', () => {
  const { version, epoch, lastToken, atMs, runs, active, finished, batches, workers } = capture(emptyState())
  const old = { version, epoch, lastToken, atMs, runs, active, finished, batches, workers }
  assert.deepEqual(capture(restore(old as never, defaultLimits)), capture(emptyState()))
})

test('formatOf: a field or a value can need more than its event', () => {
  const ended = {
    type: 'batch.ended',
    batch: 'b1',
    run: 'R',
    worker: 'W',
    who: 'worker:W',
    exitCode: null,
    signal: null,
    startupMs: null,
    wallMs: 1,
  } as const
  assert.equal(formatOf({ ...ended, reason: 'lost' }), 1)
  assert.equal(formatOf({ ...ended, reason: 'fenced' }), 2)
  assert.equal(formatOf({ ...ended, reason: 'lost', usage: { cpuMs: 1, memoryBytesMax: 1 } }), 2)
})
