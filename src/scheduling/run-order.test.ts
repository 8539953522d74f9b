/** The order that is kept lets go of runs also when nobody looked at it between their end and their being forgotten. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { advance } from '../core/advance.ts'
import { readableFormat } from '../core/format.ts'
import { defaultLimits } from '../core/limits.ts'
import { emptyState } from '../core/state.ts'
import { plainSpec } from '../core/transcript.ts'
import { runOrderOf } from './run-order.ts'
import { byUrgencyAndShare } from './strategies/builtin.ts'

test('runs that were cancelled and forgotten while no worker was free are in no line any more', () => {
  const state = emptyState({ ...defaultLimits, finishedRunsMax: 1 })
  advance(state, { type: 'raise-format', format: readableFormat }, 0)
  const submit = (run: string, deadline: { deadlineAtMs?: number }) =>
    advance(
      state,
      { type: 'submit', run, who: 'x', spec: { ...plainSpec, ...deadline }, files: ['f'], estimates: [1] },
      0,
    )
  for (const run of ['a', 'b', 'c']) submit(run, {})
  submit('d', { deadlineAtMs: 100_000 })
  const view = { state, available: () => true }
  const order = runOrderOf(view, byUrgencyAndShare, 0)
  assert.equal(order.count, 4)
  assert.equal(order.demandCount, 1)
  for (const run of ['a', 'd', 'b', 'c']) advance(state, { type: 'cancel', run, who: 'x', why: 'x', drain: false }, 1)
  advance(state, { type: 'prune' }, 2)
  assert.deepEqual([...state.runs.keys()], ['c'])
  runOrderOf(view, byUrgencyAndShare, 2)
  assert.equal(order.count, 0)
  assert.equal(order.demandCount, 0)
})
