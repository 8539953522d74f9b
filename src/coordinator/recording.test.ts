import assert from 'node:assert/strict'
import { test } from 'node:test'
import { advance } from '../core/advance.ts'
import type { Input } from '../core/input.ts'
import { emptyState } from '../core/state.ts'
import { plainSpec } from '../core/transcript.ts'
import type { AuditRow } from '../history/history.ts'
import { replay } from '../scheduling/replay.ts'
import { fifo, history } from '../scheduling/strategies/builtin.ts'
import { recordingOf } from './recording.ts'

const capabilities = { os: 'linux', arch: 'x64', cpus: 1, memoryBytes: 1, host: 'h', labels: {}, tools: {}, speed: 2 }
const end = { exitCode: 0, signal: null, startupMs: 1, wallMs: 1, interrupted: [], timedOut: [], errors: [] }

function world() {
  const state = emptyState()
  const feed = (atMs: number, input: Input) => void advance(state, input, atMs)
  feed(0, { type: 'raise-format', format: 3 })
  feed(1000, { type: 'join', worker: 'w', name: 'one', version: '1', capabilities, draining: false })
  feed(2000, { type: 'submit', run: 'R', who: 'client:x', spec: plainSpec, files: ['a', 'b'], estimates: [5, null] })
  feed(2100, { type: 'assign', run: 'R', worker: 'w', tasks: [0, 1], cpus: 1, why: 'x' })
  const report = (task: number) => ({
    task,
    outcome: 'passed' as const,
    durationMs: 100,
    counts: [1, 0, 0, 0] as const,
  })
  feed(2300, { type: 'report', worker: 'w', batch: 'b1', token: 1, reports: [report(0), report(1)] })
  feed(2400, { type: 'end', worker: 'w', batch: 'b1', token: 1, reason: 'completed', ...end })
  feed(3000, { type: 'submit', run: 'S', who: 'client:x', spec: plainSpec, files: ['a'], estimates: [5] })
  return state
}

const row = (type: string, atMs: number, event: object): AuditRow => ({
  position: atMs,
  atMs,
  run: null,
  type,
  who: '',
  why: '',
  event: JSON.stringify(event),
})

test('recordingOf: finished runs with their durations on the reference machine, workers with their times, what is left out', () => {
  const seen = [
    row('worker.joined', 500, { worker: 'v', name: 'old', capabilities }),
    row('worker.joined', 900, { worker: 'w', name: 'one', capabilities }),
    row('worker.left', 1500, { worker: 'v' }),
    row('worker.joined', 2200, { worker: 'v', name: 'old', capabilities }),
    row('worker.drained', 2250, { worker: 'v' }),
    row('worker.left', 2350, { worker: 'v' }),
  ]
  const recording = recordingOf(world(), { sinceMs: 0 }, 'history', seen, 5000)
  assert.deepEqual([recording.fromMs, recording.toMs], [2000, 2400])
  const [run, ...more] = recording.runs
  assert.deepEqual(more, [])
  assert.deepEqual([run!.run, run!.durationsMs, run!.estimatesMs, run!.startupMs], ['R', [200, 200], [5, null], 1])
  assert.deepEqual(
    recording.workers.map((one) => [one.worker, one.joinedAtMs, one.leftAtMs]),
    [
      ['w', 900, undefined],
      ['v', 2200, 2250],
    ],
  )
  assert.deepEqual(recording.leftOut, [
    '1 run not finished',
    'what came before 1970-01-01T00:00:02.000Z: no older run is kept',
  ])
  const text = JSON.stringify(replay(recording, history, fifo, { type: 'same' }))
  assert.equal(JSON.stringify(replay(JSON.parse(JSON.stringify(recording)), history, fifo, { type: 'same' })), text)
})

test('recordingOf: without history, workers that left are known from the runs that they took part in', () => {
  const state = world()
  advance(state, { type: 'leave', worker: 'w', why: 'gone' }, 4000)
  const recording = recordingOf(state, { run: 'R' }, 'history', [], 5000)
  assert.deepEqual(
    recording.workers.map((one) => [one.worker, one.name, one.capabilities.cpus]),
    [['w', 'one', 1]],
  )
  assert.deepEqual(recordingOf(state, { run: 'S', only: true }, 'history', [], 5000).runs, [])
  assert.throws(() => recordingOf(state, { run: 'X' }, 'history', [], 5000), /no run X/)
})
