import assert from 'node:assert/strict'
import { test } from 'node:test'
import { advance } from './advance.ts'
import type { RecoveryLevel } from './entities.ts'
import { chooseLevel } from './recovery.ts'
import { countRecovery, recoveryLevels, type KindTable } from './recovery-table.ts'
import { emptyState } from './state.ts'
import { plainSpec } from './transcript.ts'

const limits = { recoveryKindsMax: 3, recoveryTriesMax: 20 }

function recovery(level: RecoveryLevel, worked: boolean, wallMs = 100, kind = 'crashed none') {
  return { kind, level, outcome: worked ? ('worked' as const) : ('failed' as const), tasks: [0], wallMs }
}

function world() {
  const state = emptyState()
  advance(state, { type: 'raise-format', format: 2 }, 1)
  const spec = { ...plainSpec, startupMs: 200 }
  advance(state, { type: 'submit', run: 'R', who: 'x', spec, files: ['a'], estimates: [300] }, 1)
  for (const worker of ['V', 'W']) {
    const capabilities = { os: 'linux', arch: 'x64', cpus: 1, memoryBytes: 1, host: worker, labels: {}, tools: {} }
    advance(state, { type: 'join', worker, name: worker, version: '1', capabilities, draining: false }, 1)
  }
  const run = state.runs.get('R')!
  const choose = (cause: Parameters<typeof chooseLevel>[3], elsewhere = false) =>
    chooseLevel(state, run, run.tasks[0]!, cause, { worker: 'W', elsewhere }, 1000)
  const measure = (level: RecoveryLevel, worked: number, failed: number, wallMs: number) => {
    for (let n = 0; n < worked + failed; n += 1)
      countRecovery(state.recoveries, recovery(level, n < worked, wallMs), 1, state.limits)
  }
  return { state, run, choose, measure }
}

test('chooseLevel: with nothing measured, each cause begins where it did before there were levels', () => {
  const { choose } = world()
  assert.deepEqual(choose('failed'), { level: 'in-place', why: undefined })
  assert.equal(choose('lost').level, 'in-place')
  assert.equal(choose('infrastructure').level, 'in-place')
  assert.equal(choose('crashed').level, 'fresh-process')
  assert.equal(choose('timed-out').level, 'fresh-process')
  assert.equal(choose('failed', true).level, 'other-worker')
})

test('chooseLevel: a level that was measured to fail is passed over, and the words say what was measured', () => {
  const { choose, measure } = world()
  measure('fresh-process', 0, 12, 1000)
  measure('other-worker', 14, 2, 1200)
  const { level, why } = choose('crashed')
  assert.equal(level, 'other-worker')
  assert.equal(
    why,
    'on another worker: worked 14 of 16 times for crashes of none, 1.2 s each; alone in a process of its own 0 of 12',
  )
})

test('chooseLevel: a dear level must work much more often than a cheap one', () => {
  const { choose, measure } = world()
  measure('fresh-process', 10, 10, 1000)
  measure('other-worker', 18, 2, 4000)
  assert.equal(choose('crashed').level, 'fresh-process')
})

test('chooseLevel: what one task has shown at a level weighs more than what others have', () => {
  const { run, choose, measure } = world()
  measure('fresh-process', 9, 1, 1000)
  measure('other-worker', 8, 2, 1200)
  assert.equal(choose('crashed').level, 'fresh-process')
  const none = { notBeforeMs: 0, avoid: undefined, on: undefined, later: false, timeOuts: 0, failedStarts: 0 }
  run.tasks[0]!.again = { ...none, kind: 'crashed none', level: 'fresh-process', highest: 'fresh-process', tries: 1 }
  assert.equal(choose('crashed').level, 'other-worker')
  run.tasks[0]!.again = { ...none, kind: 'crashed none', level: 'other-worker', highest: 'other-worker', tries: 1 }
  assert.notEqual(choose('failed').level, 'fresh-process', 'never back, whatever the cause is now')
})

test('chooseLevel: no other worker, or one recycled a moment ago, leaves only what is open', () => {
  const { state, run, choose } = world()
  const none = { notBeforeMs: 0, avoid: undefined, on: undefined, later: false, timeOuts: 0, failedStarts: 0 }
  advance(state, { type: 'leave', worker: 'V', why: 'gone' }, 2)
  run.tasks[0]!.again = { ...none, kind: 'crashed none', level: 'other-worker', highest: 'other-worker', tries: 1 }
  assert.equal(choose('crashed').level, 'recycle-worker')
  state.workers.get('W')!.recycledAtMs = 999
  assert.deepEqual(choose('crashed'), { level: undefined, why: 'once more: it has been at every level' })
})

test('countRecovery: bounded in kinds and in tries, and follows what changes', () => {
  const table: KindTable = new Map()
  for (let n = 0; n < 10; n += 1) countRecovery(table, recovery('in-place', true, 1, `failed f${n}`), n, limits)
  assert.deepEqual([...table.keys()], ['failed f7', 'failed f8', 'failed f9'])
  for (let n = 0; n < 100; n += 1) countRecovery(table, recovery('fresh-process', false), n, limits)
  for (let n = 0; n < 60; n += 1) countRecovery(table, recovery('fresh-process', true), n, limits)
  const [counts] = table.get('crashed none')!.levels
  assert.ok(counts!.tried <= limits.recoveryTriesMax && counts!.worked / counts!.tried > 0.8)
})

test('countRecovery: a lost worker and a failed start count once, however many tasks they took along', () => {
  const table: KindTable = new Map()
  const tasks = [0, 1, 2]
  countRecovery(table, { ...recovery('in-place', true, 9, 'lost none'), tasks }, 1, limits)
  countRecovery(table, { ...recovery('in-place', true, 9, 'failed none'), tasks }, 1, limits)
  assert.equal(table.get('lost none')!.levels[0]!.tried, 1)
  assert.equal(table.get('failed none')!.levels[0]!.tried, 3)
})

test('recoveryLevels: in the order in which they escalate', () => {
  assert.deepEqual(recoveryLevels, ['in-place', 'fresh-process', 'other-worker', 'recycle-worker', 'isolate'])
})
