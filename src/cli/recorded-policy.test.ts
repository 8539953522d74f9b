import assert from 'node:assert/strict'
import { test } from 'node:test'
import { plainSpec } from '../core/transcript.ts'
import type { RecordedChoice, RecordedRun, Recording } from '../scheduling/recording.ts'
import { replay } from '../scheduling/replay.ts'
import { Policies } from './policies.ts'
import { recordedPolicy } from './recorded-policy.ts'

const capabilities = { os: 'linux', arch: 'x64', cpus: 1, memoryBytes: 1, host: 'h', labels: {}, tools: {} }
const startMs = 50_000

/** While a first run keeps the only worker busy, one comes and then one of a higher priority. */
function recording(schedulers?: readonly RecordedChoice[]): Recording {
  const run = (id: string, atMs: number, ms: number, priority = 0): RecordedRun => ({
    run: id,
    who: 'client:x',
    spec: { ...plainSpec, priority },
    submittedAtMs: startMs + atMs,
    startedAtMs: startMs + atMs,
    endedAtMs: startMs + atMs + ms,
    files: ['a'],
    estimatesMs: [ms],
    kinds: [0],
    durationsMs: [ms],
    startupMs: 0,
  })
  return {
    fromMs: startMs,
    toMs: startMs + 200_000,
    strategy: 'history',
    ...(schedulers === undefined ? {} : { schedulers }),
    runs: [run('first', 0, 10_000), run('early', 1000, 100_000), run('urgent', 2000, 1000, 100)],
    workers: [{ worker: 'w', name: 'w', capabilities, joinedAtMs: startMs - 1 }],
    leftOut: [],
  }
}

test('recordedPolicy: what was chosen is played as it was chosen, one scheduler after another', async () => {
  const policies = await Policies.load()
  const played = (schedulers?: readonly RecordedChoice[]) => {
    const all = recording(schedulers)
    const { policy, unknown } = recordedPolicy(policies, all)
    const { runs, recordedPolicy: name } = replay(all, policy, policies.default, { type: 'same' })
    return [name, unknown, runs.find((run) => run.run === 'urgent')!.startedMs[1]]
  }
  const early = { atMs: startMs - 900, strategy: 'fifo' }
  assert.deepEqual(played(), ['history', [], 8000])
  assert.deepEqual(played([]), ['history', [], 8000])
  assert.deepEqual(played([early]), ['fifo', [], 108_000])
  assert.deepEqual(played([early, { atMs: startMs + 5000 }]), ['fifo, then history', [], 8000])
  assert.deepEqual(played([{ atMs: startMs + 5000, strategy: 'fifo' }]), ['history, then fifo', [], 108_000])
  assert.deepEqual(played([early, { atMs: startMs + 11_000, strategy: 'history' }]), [
    'fifo, then history',
    [],
    108_000,
  ])
  const turns = ['fifo', 'priority', 'deadline', 'fair-share', 'fifo', 'history']
  const many = (count: number) => turns.slice(0, count).map((strategy, at) => ({ atMs: startMs - 900 + at, strategy }))
  assert.equal(played(many(5))[0], 'fifo, then priority, then deadline, then fair-share, then fifo')
  assert.equal(played(many(6))[0], 'fifo, then priority, then deadline, then fair-share and 2 more')
  const own = { atMs: startMs + 1, project: plainSpec.project, strategy: 'fifo' }
  assert.deepEqual(played([own]), ['history; another for 1 project', [], 108_000])
  assert.deepEqual(played([{ ...early, strategy: 'gone' }]), ['history', ['gone'], 8000])
})
