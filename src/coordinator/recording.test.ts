import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { advance, apply } from '../core/advance.ts'
import { encodeEntry, type Event } from '../core/events.ts'
import type { Input } from '../core/input.ts'
import { emptyState } from '../core/state.ts'
import { plainSpec } from '../core/transcript.ts'
import { openHistory } from '../history/duckdb-history.ts'
import type { AuditRow } from '../history/history.ts'
import { joinOf } from '../scheduling/made-up.ts'
import type { Attempted } from '../scheduling/played-batch.ts'
import { play, type Played, type Play } from '../scheduling/player.ts'
import { playOf } from '../scheduling/recording.ts'
import { replay } from '../scheduling/replay.ts'
import { fifo, history } from '../scheduling/strategies/builtin.ts'
import { unmeasuredOf } from './recorded-history.ts'
import { recordingOf } from './recording.ts'
import { choicesFrom, seenIn } from './seen-by-history.ts'

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
  const recording = recordingOf(world(), { sinceMs: 0 }, 'history', { workers: seen }, 5000)
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
    'crashes, time limits, pauses, changes of scheduler and when files were added: history is away',
    'what came before 1970-01-01T00:00:02.000Z: no older run is kept',
  ])
  const text = JSON.stringify(replay(recording, history, fifo, { type: 'same' }))
  assert.equal(JSON.stringify(replay(JSON.parse(JSON.stringify(recording)), history, fifo, { type: 'same' })), text)
})

test('recordingOf: without history, workers that left are known from the runs that they took part in', () => {
  const state = world()
  advance(state, { type: 'leave', worker: 'w', why: 'gone' }, 4000)
  const recording = recordingOf(state, { run: 'R' }, 'history', { workers: [] }, 5000)
  assert.deepEqual(
    recording.workers.map((one) => [one.worker, one.name, one.capabilities.cpus]),
    [['w', 'one', 1]],
  )
  assert.deepEqual(recordingOf(state, { run: 'S', only: true }, 'history', { workers: [] }, 5000).runs, [])
  assert.throws(() => recordingOf(state, { run: 'X' }, 'history', { workers: [] }, 5000), /no run X is known/)
})

test('choicesFrom: what was chosen before the first run counts once, what came after the last one not at all', () => {
  const rows = [
    row('scheduler.chosen', 10, { who: 'x', strategy: 'fifo' }),
    row('scheduler.chosen', 20, { who: 'x', strategy: 'priority', project: 'p' }),
    row('scheduler.chosen', 30, { who: 'x', strategy: 'deadline', config: { a: 1 } }),
    row('scheduler.chosen', 40, { who: 'x', project: 'p' }),
    row('scheduler.chosen', 60, { who: 'x' }),
    row('scheduler.chosen', 99, { who: 'x', strategy: 'fifo' }),
  ]
  assert.deepEqual(choicesFrom(rows, 50, 90), [{ atMs: 30, strategy: 'deadline', config: { a: 1 } }, { atMs: 60 }])
  assert.deepEqual(choicesFrom(rows, 25, 25), [
    { atMs: 10, strategy: 'fifo' },
    { atMs: 20, strategy: 'priority', project: 'p' },
  ])
})

test('unmeasuredOf: what was expected, else what is usual, else the time of the run; and always more than it had run', () => {
  const of = (durationsMs: readonly (number | null)[], estimatesMs: readonly (number | null)[]) =>
    unmeasuredOf(durationsMs, { estimatesMs, tries: [], cut: new Map([[1, 20]]), longestMs: 900 })
  assert.deepEqual(of([10, null, null], [null, 50, null]), [
    [1, 50],
    [2, 10],
  ])
  assert.deepEqual(of([10, null], [null, 15]), [[1, 40]])
  assert.deepEqual(of([null], [null]), [[0, 900]])
})

const ms = 1000
/** By file: how each of its attempts goes. The others pass, and take a second. */
const odd: { readonly [file: string]: readonly Attempted[] } = {
  flaky: [
    { outcome: 'failed', durationMs: 3 * ms },
    { outcome: 'passed', durationMs: 2 * ms },
  ],
  broken: [
    { outcome: 'failed', durationMs: 2 * ms },
    { outcome: 'failed', durationMs: 4 * ms },
  ],
  dies: [
    { outcome: 'crashed', durationMs: 2 * ms },
    { outcome: 'passed', durationMs: ms },
  ],
  three: [{ outcome: 'failed', durationMs: ms, failedTests: 3 }],
  long: [{ outcome: 'passed', durationMs: 30 * ms }],
  hangs: [
    { outcome: 'timed-out', durationMs: 7 * ms },
    { outcome: 'passed', durationMs: ms },
  ],
}

/** A morning on which everything goes wrong once. */
function morning(onEvents: Play['onEvents']): Play {
  const files: { readonly [run: string]: string[] } = {
    A: ['a', 'flaky', 'b', 'c', 'dies', 'd', 'broken', 'e', 'f', 'g'],
    B: ['a', 'b', 'hangs', 'late-1', 'late-2', 'late-3'],
    C: ['a', 'b', 'c', 'd', 'e', 'f'],
    D: ['a', 'b', 'long', 'c', 'd'],
    E: ['a', 'long', 'b', 'c'],
    F: ['a', 'three', 'b', 'c', 'd', 'e'],
    G: ['long'],
  }
  const spec = { ...plainSpec, cpus: 1, retries: 1, startupMs: 0, taskTimeoutMs: 60_000 }
  const [stops, gone] = [
    { maxFailures: 3, retries: 0 },
    { type: 'cancel', who: 'client:x', why: 'no' },
  ] as const
  const submit = (atMs: number, run: string, count: number, more: object) => {
    const names = files[run]!.slice(0, count)
    const input = {
      type: 'submit',
      run,
      who: 'client:x',
      files: names,
      estimates: names.map((name) => (name === 'long' ? 30 : 1) * ms),
    } as const
    return { atMs, input: { ...input, spec: { ...spec, ...more } } }
  }
  const who = 'client:x'
  const late = files['B']!.slice(3)
  return {
    strategy: history,
    inputs: [
      { atMs: 0, input: joinOf('v', 'v', { ...capabilities, speed: 1 }) },
      { atMs: 0, input: joinOf('w', 'w', { ...capabilities, host: 'i', speed: 2 }) },
      submit(0, 'A', 10, {}),
      submit(500, 'B', 3, { open: true, priority: 2, project: 'q' }),
      submit(900, 'C', 6, {}),
      submit(40_000, 'D', 5, {}),
      submit(40_100, 'E', 4, { project: 'q' }),
      { atMs: 46_000, input: { ...gone, run: 'D', drain: false } },
      { atMs: 47_000, input: { ...gone, run: 'E', drain: true } },
      submit(50_000, 'F', 6, stops),
      submit(60_000, 'G', 1, {}),
      { atMs: 61_000, input: { ...gone, run: 'G', drain: false } },
      { atMs: 3100, input: { type: 'leave', worker: 'w', why: 'gone' } },
      { atMs: 6100, input: joinOf('w', 'w', { ...capabilities, host: 'i', speed: 2 }) },
      { atMs: 4000, input: { type: 'pause', run: 'C', who, why: 'wait' } },
      { atMs: 21_000, input: { type: 'resume', run: 'C', who } },
      { atMs: 9000, input: { type: 'extend', run: 'B', who, files: late, estimates: [ms, ms, null] } },
      { atMs: 12_000, input: { type: 'seal', run: 'B', who } },
      { atMs: 15_000, input: { type: 'choose-scheduler', who, project: 'q', strategy: 'fifo' } },
      { atMs: 7000, input: { type: 'prioritise', run: 'A', who, priority: 5 } },
    ],
    taskMs: (_run, _task, worker) => ms / worker.capabilities.speed!,
    attempt: (run, task, worker, before) => {
      const attempt = odd[files[run]![task]!]?.[before]
      return attempt && { ...attempt, durationMs: attempt.durationMs / worker.capabilities.speed! }
    },
    startupMs: () => 0,
    shares: new Map([['project:p', { cpus: 2 }]]),
    ...(onEvents === undefined ? {} : { onEvents }),
  }
}

/** Of every run and batch, but for the ids, which count what was before. */
function story({ runs, batches }: Played): unknown {
  return [runs, batches.map((one) => ({ ...one, batch: undefined }))]
}

for (const kept of ['state keeps nothing of it', 'state still has the runs'] as const) {
  test(`what was recorded comes about again, failure by failure: ${kept}`, async () => {
    const directory = await mkdtemp(join(tmpdir(), 'muster-recording-'))
    try {
      await using stored = await openHistory({ directory, blobsLocation: directory, source: 'test' })
      const startMs = 1_790_000_000_000
      const entries: Uint8Array[] = []
      const met = new Set<string>()
      const state = emptyState()
      ;(state as { shares: unknown }).shares = new Map([['project:p', { cpus: 2 }]])
      const take = (events: readonly Event[], atMs: number) => {
        if (kept === 'state still has the runs') for (const event of events) apply(state, event, startMs + atMs)
        entries.push(encodeEntry({ atMs: startMs + atMs, events }))
        for (const event of events) met.add('cause' in event ? `${event.type} ${event.cause}` : event.type)
      }
      take([{ type: 'format.raised', format: 3 }], 0)
      const really = play(morning(take))
      for (const one of ['failed', 'crashed', 'timed-out', 'lost'])
        assert.ok(met.has(`task.requeued ${one}`), `${one} in ${[...met].join(', ')}`)
      for (const one of [
        'run.paused',
        'run.resumed',
        'run.extended',
        'run.prioritised',
        'worker.left',
        'run.cancelled',
      ])
        assert.ok(met.has(one), one)
      // At once; when what had begun is done, or after 10 s; after the third failed test; before any file had ended.
      const endsMs = really.runs.slice(3).map((run) => run.endedAtMs)
      assert.deepEqual(endsMs, [46_000, 57_000, 52_000, 61_000])
      for (const [at, bytes] of entries.entries()) await stored.feed(at + 1, bytes)
      await stored.settled()
      const seen = await seenIn(stored, state, { sinceMs: startMs }, startMs + 1e9)
      assert.deepEqual(
        seen.rows!.runs.map((row) => [row.run, row.files?.length]),
        [
          ['A', 10],
          ['B', 6],
          ['C', 6],
          ['D', 5],
          ['E', 4],
          ['F', 6],
          ['G', 1],
        ].map(([run, count]) => [run, state.runs.size > 0 ? undefined : count]),
      )
      const recording = recordingOf(state, { sinceMs: startMs }, 'history', seen, startMs + 1e9)
      assert.deepEqual(recording.leftOut, [])
      assert.deepEqual(recording.schedulers, [{ atMs: startMs + 15_000, project: 'q', strategy: 'fifo' }])
      const again = play(playOf(recording, history, { type: 'same' }))
      assert.deepEqual(story(again), story(really))
      const other = replay(recording, history, fifo, { type: 'made-up', workers: 8 })
      assert.equal(other.replayed.unfinished, 0)
      assert.equal(other.same.makespanMs, other.really.makespanMs)
      const pausedToMs = other.runs.find((run) => run.run === 'C')!.endedMs[2]!
      assert.ok(pausedToMs >= 21_000 - 900 || pausedToMs <= 4000 - 900, 'a pause lasts on any fleet')
    } finally {
      await rm(directory, { recursive: true, force: true })
    }
  })
}

test('recordedRuns: from a run on, the newest when there are too many, and those of other members of the list', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'muster-recording-'))
  try {
    await using stored = await openHistory({ directory, blobsLocation: directory, source: 'test' })
    let position = 0
    play(morning((events, atMs) => void stored.feed((position += 1), encodeEntry({ atMs: 1000 + atMs, events }))))
    await stored.settled()
    const ask = async (more: object) => {
      const { runs, beyond } = await stored.recordedRuns({ sinceMs: 0, runsMax: 9, tasksMax: 99, known: [], ...more })
      return [runs.map((one) => one.run).join(''), beyond]
    }
    assert.deepEqual(await ask({}), ['ABCDEFG', 0])
    assert.deepEqual(await ask({ from: 'B', sinceMs: 9e12 }), ['BCDEFG', 0])
    assert.deepEqual(await ask({ from: 'X', sinceMs: 9e12 }), ['', 0])
    assert.deepEqual(await ask({ runsMax: 1 }), ['G', 6])
    assert.deepEqual(await ask({ tasksMax: 12 }), ['EFG', 4])
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
})
