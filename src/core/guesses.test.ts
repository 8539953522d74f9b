import assert from 'node:assert/strict'
import { test } from 'node:test'
import { advance } from './advance.ts'
import { aptitudeOf } from './aptitude.ts'
import { formatOf } from './format.ts'
import type { Input } from './input.ts'
import { defaultLimits } from './limits.ts'
import { capture, restore, type SnapshotData } from './snapshot.ts'
import { emptyState, type State } from './state.ts'
import { plainSpec } from './transcript.ts'

const capabilities = { os: 'linux', arch: 'x64', cpus: 4, memoryBytes: 1, host: 'h', labels: {}, tools: {} }
const join: Input = { type: 'join', worker: 'w', name: 'w', version: '1', capabilities, draining: false }

function world(format: number): State {
  const state = emptyState()
  const submit: Input = {
    type: 'submit',
    run: 'r',
    who: 'x',
    spec: { ...plainSpec, open: true },
    files: ['seen', 'like it', 'unknown'],
    estimates: [60_000, 90_000, null],
    guessed: [1],
  }
  const extend: Input = { type: 'extend', run: 'r', who: 'x', files: ['a', 'b'], estimates: [10, 20], guessed: [0] }
  for (const input of [{ type: 'raise-format', format } as const, join, submit, extend]) advance(state, input, 1)
  return state
}

test('a guess orders files and counts as unknown', () => {
  const state = world(3)
  const run = state.runs.get('r')!
  assert.equal(run.knownCount, 2)
  assert.deepEqual(
    run.tasks.map((task) => [task.estimateMs, task.guessed]),
    [
      [60_000, false],
      [90_000, true],
      [-1, false],
      [10, true],
      [20, false],
    ],
  )
  assert.equal(run.groups[0]!.queue[0], 1)
  const again = restore(JSON.parse(JSON.stringify(capture(state))) as SnapshotData, defaultLimits)
  assert.deepEqual(
    again.runs.get('r')!.tasks.map((task) => task.guessed),
    [false, true, false, true, false],
  )
})

test('what a machine makes of a guess says nothing about the machine', () => {
  const state = world(3)
  const [assigned] = advance(state, { type: 'assign', run: 'r', worker: 'w', tasks: [1], cpus: 4, why: '' }, 2)
  assert.ok(assigned?.type === 'batch.assigned')
  const { batch, token } = assigned
  const report = { task: 1, outcome: 'passed', durationMs: 1, counts: [1, 0, 0, 0] } as const
  advance(state, { type: 'report', worker: 'w', batch, token, reports: [report] }, 3)
  assert.equal(aptitudeOf(state, state.runs.get('r')!, state.workers.get('w')!), 1)
})

test('members of before there were guesses are told of estimates only', () => {
  const state = world(2)
  assert.equal(state.runs.get('r')!.knownCount, 4)
  const guessed = { type: 'run.extended', run: 'r', who: 'x', files: ['a'], estimates: [1], guessed: [0] } as const
  assert.equal(formatOf(guessed), 3)
})
