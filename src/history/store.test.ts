import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { DirectoryBlobs } from '../blobs/directory.ts'
import type { Event } from '../core/events.ts'
import { loadDuckdb } from './duckdb.ts'
import {
  assigned,
  ended,
  finished,
  putResults,
  report,
  reported,
  submitted,
  SyntheticLog,
} from './fixtures/synthetic-run.ts'
import type { ProcessOptions } from './messages.ts'
import { HistoryStore } from './store.ts'

const dayMs = 86_400_000

async function withStore(
  body: (store: HistoryStore, options: ProcessOptions, blobs: DirectoryBlobs) => Promise<void>,
): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), 'muster-store-'))
  const options = {
    directory: join(directory, 'history'),
    blobsLocation: join(directory, 'blobs'),
    source: 'log',
    memoryLimitMb: 256,
    testsDays: 90,
    runsDays: 365,
  }
  try {
    const blobs = await DirectoryBlobs.open(options.blobsLocation)
    const store = await HistoryStore.open(await loadDuckdb(), options, assert.fail)
    try {
      await body(store, options, blobs)
    } finally {
      store.close()
    }
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
}

const asFed = (log: SyntheticLog) => log.entries.map((bytes, i) => ({ position: i + 1, bytes }))

describe('HistoryStore', () => {
  test('attempts say who ran what with how many CPUs, from when and how long, and how it ended', () =>
    withStore(async (store) => {
      const log = new SyntheticLog()
        .add(submitted('r1', ['a', 'b', 'c']))
        .add(assigned('r1', 'b1', [0, 1, 2]), {
          type: 'task.started',
          run: 'r1',
          batch: 'b1',
          worker: 'w1',
          tasks: [1],
        })
        .add(reported('r1', 'b1', [report(0, 'passed', 4)]))
        .add(
          { type: 'task.requeued', run: 'r1', tasks: [1], cause: 'timed-out', why: 'over 60 s', batchMax: 1 },
          { type: 'task.requeued', run: 'r1', tasks: [2], cause: 'unstarted', why: 'not begun', batchMax: 0 },
        )
        .add({ type: 'task.ended', run: 'r1', tasks: [2], state: 'cancelled', why: 'cancelled' })
      await store.apply(asFed(log))
      const startMs = log.atMs - 50
      const rows = await store.query(
        'SELECT task, attempt, file, worker, cpus, outcome, started_ms, duration_ms FROM attempts ORDER BY task',
      )
      assert.deepEqual(
        rows.map((row) => Object.values(row)),
        [
          [0, 1, 'a', 'w1', 2, 'passed', startMs + 26, 4],
          [1, 1, 'b', 'w1', 2, 'timed-out', startMs + 20, 20],
        ],
      )
      const tasks = await store.query('SELECT file, state, attempts FROM tasks ORDER BY task')
      assert.deepEqual(
        tasks.map((row) => Object.values(row)),
        [
          ['a', 'open', 0],
          ['b', 'open', 0],
          ['c', 'cancelled', 0],
        ],
      )
    }))

  test('tests and missing results are kept per attempt', () =>
    withStore(async (store, _options, blobs) => {
      const tries = [{ status: 'failed' as const, durationMs: 5 }]
      const tests = [
        { file: 'a', name: ['x', 'y'], project: 'chromium', status: 'passed' as const, durationMs: 7, tries },
        { file: 'a', name: ['z'], status: 'failed' as const, durationMs: 8, errors: [{ message: 'm'.repeat(5000) }] },
      ]
      const key = await putResults(blobs, [{ file: 'a', outcome: 'failed', durationMs: 9, tests }])
      const log = new SyntheticLog()
        .add(submitted('r1', ['a']), assigned('r1', 'b1', [0]), reported('r1', 'b1', [report(0, 'failed', 9)], key))
        .add(assigned('r1', 'b2', [0]), reported('r1', 'b2', [report(0, 'failed', 9)], 'cd'.repeat(32)))
      await store.apply(asFed(log))
      const rows = await store.query(
        'SELECT attempt, name, framework_project, status, flaky, length(error) AS error FROM tests ORDER BY name',
      )
      assert.deepEqual(
        rows.map((row) => Object.values(row)),
        [
          [1, 'x › y', 'chromium', 'passed', true, null],
          [1, 'z', null, 'failed', false, 1000],
        ],
      )
      assert.deepEqual(await store.query('SELECT batch, blob, why FROM missing_results'), [
        { batch: 'b2', blob: 'cd'.repeat(32), why: 'no such blob' },
      ])
    }))

  test('recoveries say per task what was tried, how it went and what it cost', () =>
    withStore(async (store) => {
      const end = ended('r1', 'b1') as Extract<Event, { type: 'batch.ended' }>
      const log = new SyntheticLog().add(submitted('r1', ['a', 'b']), assigned('r1', 'b1', [0, 1])).add({
        ...end,
        usage: { cpuMs: 900, memoryBytesMax: 5000 },
        recoveries: [
          {
            kind: 'crashed vitest',
            level: 'fresh-process',
            outcome: 'worked',
            tasks: [0, 1],
            wallMs: 1000,
            cpuMs: 900,
            memoryBytes: 5000,
          },
        ],
      })
      await store.apply(asFed(log))
      const rows = await store.query(
        'SELECT task, suite, kind, level, outcome, wall_ms, cpu_ms, memory_bytes FROM recoveries ORDER BY task',
      )
      assert.deepEqual(
        rows.map((row) => Object.values(row)),
        [0, 1].map((task) => [task, 'unit', 'crashed vitest', 'fresh-process', 'worked', 500, 450, 5000]),
      )
      assert.deepEqual(await store.query('SELECT cpu_ms, memory_bytes FROM batch_ends'), [
        { cpu_ms: 900, memory_bytes: 5000 },
      ])
    }))

  test('a history of format 2 gains what came since, and keeps its rows', () =>
    withStore(async (store, options) => {
      await store.apply(asFed(new SyntheticLog().add(submitted('r1', ['a']), ended('r1', 'b1'))))
      for (const statement of [
        'DROP TABLE recoveries',
        'DROP TABLE dead_letters',
        'DROP TABLE breaker_transitions',
        'DROP TABLE workers',
        'DROP TABLE duration_models',
        ...['speed', 'beside', 'host_cpus'].map((column) => `ALTER TABLE attempts DROP COLUMN ${column}`),
        'ALTER TABLE batch_ends DROP COLUMN speed',
        'ALTER TABLE batch_ends DROP COLUMN cpu_ms',
        'ALTER TABLE batch_ends DROP COLUMN memory_bytes',
        'UPDATE meta SET format = 2',
      ])
        await store.query(statement)
      store.close()
      const again = await HistoryStore.open(await loadDuckdb(), options, assert.fail)
      try {
        assert.deepEqual(await again.query('SELECT batch, cpu_ms FROM batch_ends'), [{ batch: 'b1', cpu_ms: null }])
        const log = new SyntheticLog().add(ended('r1', 'b2'))
        await again.apply([{ position: 2, bytes: log.entries[0]! }])
        assert.deepEqual(await again.query('SELECT count(*) AS n FROM batch_ends'), [{ n: 2 }])
        assert.deepEqual(await again.query('SELECT speed, beside, host_cpus FROM attempts'), [])
        for (const table of ['recoveries', 'dead_letters', 'breaker_transitions', 'workers', 'duration_models'])
          assert.deepEqual(await again.query(`SELECT count(*) AS n FROM ${table}`), [{ n: 0 }])
      } finally {
        again.close()
      }
    }))

  test('models of a project compete when a tenth more is known, and the outcome replaces the one before', () =>
    withStore(async (store) => {
      const files = Array.from({ length: 50 }, (_, at) => `f${at}`)
      const log = new SyntheticLog()
      let applied = 0
      const runs = async (from: number, to: number) => {
        for (let run = from; run < to; run += 1) {
          const reports = files.map((_, task) => report(task, 'passed', 10 + task))
          log.add(submitted(`r${run}`, files), assigned(`r${run}`, `b${run}`, [...files.keys()]))
          log.add(reported(`r${run}`, `b${run}`, reports))
        }
        await store.apply(asFed(log).slice(applied))
        applied = log.entries.length
      }
      await runs(0, 3)
      assert.equal(store.models.due(), undefined, 'nobody has asked about any project')
      await store.models.load('shop')
      assert.equal(store.models.due(), undefined, 'too little')
      await runs(3, 20)
      assert.equal(store.models.due(), 'shop')
      const row = await store.models.compete('shop', () => true)
      await store.keepModel(row!)
      assert.equal(store.models.due(), undefined)
      assert.ok(store.models.isFresh('shop'))
      await runs(20, 22)
      assert.ok(!store.models.isFresh('shop'))
      assert.equal(store.models.due(), 'shop', 'a hundred more, and a tenth of a thousand')
      await store.keepModel((await store.models.compete('shop', () => true))!)
      assert.deepEqual(await store.query('SELECT project, used, samples FROM duration_models'), [
        { project: 'shop', used: 'simple', samples: 1100 },
      ])
    }))

  test('attempts carry their machine and what ran beside them', () =>
    withStore(async (store) => {
      const capabilities = {
        os: 'linux',
        arch: 'x64',
        cpus: 4,
        memoryBytes: 1,
        host: 'h1',
        labels: {},
        tools: {},
        speed: 2,
      }
      const started = (task: number): Event => ({
        type: 'task.started',
        run: 'r1',
        batch: 'b1',
        worker: 'w1',
        tasks: [task],
      })
      const log = new SyntheticLog()
        .add({ type: 'worker.joined', worker: 'w1', name: 'one', version: '1', capabilities })
        .add(submitted('r1', ['a', 'b', 'c']), assigned('r1', 'b1', [0, 1, 2]), started(0))
        .add(started(1))
        .add(reported('r1', 'b1', [report(0, 'passed', 20)]))
        .add(reported('r1', 'b1', [report(1, 'passed', 20), report(2, 'passed', 5)]), ended('r1', 'b1'))
      await store.apply(asFed(log))
      // Each of the two was alone for half of its 20 ms; of c no start was seen.
      assert.deepEqual(await store.query('SELECT file, speed, beside, host_cpus FROM attempts ORDER BY file'), [
        { file: 'a', speed: 2, beside: 0.5, host_cpus: 4 },
        { file: 'b', speed: 2, beside: 0.5, host_cpus: 4 },
        { file: 'c', speed: 2, beside: null, host_cpus: 4 },
      ])
      assert.deepEqual(await store.query('SELECT speed FROM batch_ends'), [{ speed: 2 }])
      assert.deepEqual(await store.query('SELECT worker, name, host, cpus, speed FROM workers'), [
        { worker: 'w1', name: 'one', host: 'h1', cpus: 4, speed: 2 },
      ])
    }))

  test('long events are shortened in the audit and stay JSON', () =>
    withStore(async (store) => {
      const files = Array.from({ length: 5000 }, (_, i) => `src/file-${i}.test.ts`)
      await store.apply(asFed(new SyntheticLog().add(submitted('r1', files))))
      const [row] = await store.query('SELECT event FROM audit')
      const event = JSON.parse(row?.['event'] as string) as { files: string[]; spec: { suite: string } }
      assert.equal(event.files.at(-1), '… 4990 more')
      assert.equal(event.spec.suite, 'unit')
      assert.deepEqual(await store.query('SELECT count(*) AS n FROM tasks'), [{ n: 5000 }])
    }))

  test('dropOld drops tests after their days, and runs with all they have after theirs', () =>
    withStore(async (store, options, blobs) => {
      const key = await putResults(blobs, [
        {
          file: 'a',
          outcome: 'passed',
          durationMs: 1,
          tests: [{ file: 'a', name: ['t'], status: 'passed', durationMs: 1 }],
        },
      ])
      const log = new SyntheticLog()
      for (const [run, days] of [
        ['old', 400],
        ['older', 100],
        ['new', 1],
      ] as const) {
        log.atMs = Date.now() - days * dayMs
        log.add(
          submitted(run, ['a']),
          assigned(run, `b-${run}`, [0]),
          reported(run, `b-${run}`, [report(0, 'passed', 1)], key),
        )
        log.add(ended(run, `b-${run}`), finished(run))
      }
      await store.apply(asFed(log))
      await store.dropOld(Date.now(), options)
      assert.deepEqual(await store.query('SELECT run FROM tests'), [{ run: 'new' }])
      for (const table of ['runs', 'attempts', 'batches', 'batch_ends', 'task_files', 'run_ends']) {
        assert.deepEqual(
          await store.query(`SELECT run FROM ${table} ORDER BY run`),
          [{ run: 'new' }, { run: 'older' }],
          table,
        )
      }
      assert.equal(store.position, 6)
    }))

  test('logs of several coordinators feed one history, each from its own position', () =>
    withStore(async (store, options) => {
      const first = new SyntheticLog().add(submitted('r1', ['a'])).add(assigned('r1', 'b1', [0]))
      await store.apply(asFed(first))
      store.close()
      const duckdb = await loadDuckdb()
      const other = await HistoryStore.open(duckdb, { ...options, source: 'another' }, assert.fail)
      assert.equal(other.position, 0)
      await other.apply(asFed(new SyntheticLog().add(submitted('r2', ['a']))))
      other.close()
      const again = await HistoryStore.open(duckdb, options, assert.fail)
      assert.equal(again.position, 2)
      const rows = await again.query('SELECT DISTINCT run FROM task_files ORDER BY run')
      assert.deepEqual(rows, [{ run: 'r1' }, { run: 'r2' }])
      again.close()
    }))
})
