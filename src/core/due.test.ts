import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { advance } from './advance.ts'
import { addWake, dueTasks, hasReady, nextDueMs, promoteDue } from './due.ts'
import { emptyState } from './state.ts'
import { plainSpec } from './transcript.ts'

/** A run in which every task waits for the moment given. */
function waiting(moments: readonly number[]) {
  const state = emptyState()
  const files = moments.map((_, index) => `f${index}`)
  advance(state, { type: 'submit', run: 'R', who: 'x', spec: plainSpec, files, estimates: files.map(() => null) }, 0)
  const run = state.runs.get('R')!
  const group = run.groups[0]!
  for (const [index, notBeforeMs] of moments.entries()) {
    run.tasks[index]!.again = {
      timeOuts: 0,
      failedStarts: 0,
      kind: 'failed none',
      level: undefined,
      highest: undefined,
      tries: 0,
      notBeforeMs,
      avoid: undefined,
      on: undefined,
      later: true,
    }
    group.laterCount += 1
    addWake(state, run, group, { atMs: notBeforeMs, tasks: [index] })
  }
  return { state, run, group }
}

test('due: what is found, promoted and next is what a walk over all tasks would find', () => {
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: 1, max: 100 }), { minLength: 1, maxLength: 60 }),
      fc.nat(110),
      (moments, now) => {
        const { state, run, group } = waiting(moments)
        const due = moments.flatMap((atMs, index) => (atMs <= now ? [index] : []))
        assert.deepEqual(
          [...dueTasks(run, group, now)].sort((a, b) => a - b),
          due,
        )
        assert.equal(hasReady(run, now), due.length > 0)
        const later = moments.filter((atMs) => atMs > now)
        assert.equal(nextDueMs(state, now), later.length === 0 ? undefined : Math.min(...later))
        state.atMs = now
        promoteDue(state)
        assert.deepEqual(
          group.again.toSorted((a, b) => a - b),
          due,
        )
        assert.deepEqual(
          group.again.map((index) => moments[index]),
          due.map((index) => moments[index]).sort((a, b) => a! - b!),
        )
        assert.equal(group.laterCount, later.length)
        assert.equal(state.waking.moments.length, later.length)
        assert.deepEqual([...dueTasks(run, group, now)], [])
      },
    ),
  )
})

test('due: a task that went another way meanwhile is not found at its moment', () => {
  const { state, run, group } = waiting([5, 5])
  advance(state, { type: 'cancel', run: 'R', who: 'x', why: 'x', drain: false }, 1)
  assert.equal(group.laterCount, 0)
  assert.deepEqual([...dueTasks(run, group, 10)], [])
  assert.equal(nextDueMs(state, 2), undefined)
})

test('due: of runs that are over nothing is kept, and the others stay', () => {
  const { state } = waiting([5, 6, 7])
  for (const run of ['S', 'T', 'U'])
    advance(state, { type: 'submit', run, who: 'x', spec: plainSpec, files: ['f'], estimates: [null] }, 0)
  const other = state.runs.get('S')!
  addWake(state, other, other.groups[0]!, { atMs: 9, tasks: [] })
  advance(state, { type: 'cancel', run: 'R', who: 'x', why: 'x', drain: false }, 1)
  assert.deepEqual(state.waking, { moments: [{ atMs: 9, run: 'S', kind: 0 }], goneCount: 0 })
  assert.equal(nextDueMs(state, 2), 9)
  advance(state, { type: 'cancel', run: 'T', who: 'x', why: 'x', drain: false }, 9)
  assert.equal(nextDueMs(state, 9), undefined)
  advance(state, { type: 'cancel', run: 'S', who: 'x', why: 'x', drain: false }, 10)
  assert.deepEqual(state.waking, { moments: [], goneCount: 0 })
})
