/** Names that are OpenTelemetry's are those of its package. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as conventions from '@opentelemetry/semantic-conventions/incubating'
import { names } from './conventions.ts'

test('conventions: every name is one of OpenTelemetry', () => {
  const known = new Set<unknown>(
    Object.entries(conventions).flatMap(([key, value]) => (key.startsWith('ATTR_') ? [value] : [])),
  )
  for (const name of Object.values(names)) assert.ok(known.has(name), name)
})

test('conventions: results and states are those that are defined', () => {
  const values = (prefix: string) =>
    new Set<unknown>(Object.entries(conventions).flatMap(([key, value]) => (key.startsWith(prefix) ? [value] : [])))
  for (const one of ['success', 'failure', 'error', 'timeout', 'cancellation', 'skip']) {
    assert.ok(values('CICD_PIPELINE_RESULT_VALUE_').has(one), one)
    assert.ok(values('CICD_PIPELINE_TASK_RUN_RESULT_VALUE_').has(one), one)
  }
  for (const one of ['success', 'failure', 'skipped', 'aborted', 'timed_out']) {
    assert.ok(values('TEST_SUITE_RUN_STATUS_VALUE_').has(one), one)
  }
  assert.deepEqual(values('TEST_CASE_RESULT_STATUS_VALUE_'), new Set(['fail', 'pass']))
})
