import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { DirectoryBlobs } from '../blobs/directory.ts'
import { FaultyFront } from '../blobs/fixtures/faulty-front.ts'
import { s3Credentials, startS3Server } from '../blobs/fixtures/s3-server.ts'
import { openBlobs } from '../blobs/location.ts'
import { encodeEntry } from '../core/events.ts'
import { isMusterError } from '../protocol/errors.ts'
import type { ErrorCode } from '../protocol/errors.ts'
import type { TaskResult, TestResult } from '../protocol/results.ts'
import { openHistory } from './duckdb-history.ts'
import type { DuckdbHistory, HistoryOptions } from './duckdb-history.ts'
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

const owner = fileURLToPath(new URL('./fixtures/owner.ts', import.meta.url))
const coded = (code: ErrorCode) => (error: unknown) => isMusterError(error) && error.code === code

type Place = {
  readonly directory: string
  readonly blobs: DirectoryBlobs
  readonly warnings: string[]
  readonly open: (over?: Partial<HistoryOptions>) => Promise<DuckdbHistory>
}

/** A directory with blobs, and histories in it that are closed at the end whatever happens. */
async function withPlace(body: (place: Place) => Promise<void>): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), 'muster-history-'))
  const opened: DuckdbHistory[] = []
  const warnings: string[] = []
  try {
    const blobs = await DirectoryBlobs.open(join(directory, 'blobs'))
    const open = async (over: Partial<HistoryOptions> = {}) => {
      const onWarning = (text: string) => void warnings.push(text)
      const history = await openHistory({
        directory: join(directory, 'history'),
        blobsLocation: join(directory, 'blobs'),
        restartPauseMs: 20,
        onWarning,
        ...over,
      })
      opened.push(history)
      return history
    }
    await body({ directory, blobs, warnings, open })
  } finally {
    for (const history of opened) await history[Symbol.asyncDispose]()
    await rm(directory, { recursive: true, force: true })
  }
}

/** Kills the process that has the database or is about to, and resolves when it is gone. */
async function killOwner(history: DuckdbHistory): Promise<void> {
  while (history.pid === undefined) await delay(5)
  const pid = history.pid
  process.kill(pid, 'SIGKILL')
  while (history.pid === pid) await delay(5)
}

function passedTest(file: string, name: string, over: Partial<TestResult> = {}): TestResult {
  return { file, name: ['cart', name], status: 'passed', durationMs: 20, ...over }
}
function result(file: string, tests: TestResult[], outcome: TaskResult['outcome'] = 'passed'): TaskResult {
  return { file, outcome, durationMs: 100, tests }
}

describe('openHistory', () => {
  test('reads results from an S3 store, and waits for one that is away', () =>
    withPlace(async ({ open }) => {
      await using server = await startS3Server()
      await using front = await FaultyFront.start(server.endpoint)
      const { location } = await server.createBucket(front.endpoint)
      const before = { ...process.env }
      Object.assign(process.env, s3Credentials)
      try {
        const blobs = await openBlobs(location)
        const history = await open({ blobsLocation: location })
        const log = new SyntheticLog().add(submitted('r1', ['a', 'b'])).add(assigned('r1', 'b1', [0, 1]))
        const near = await putResults(blobs, [result('a', [passedTest('a', 'near')])])
        const late = await putResults(blobs, [result('b', [passedTest('b', 'late')])])
        log.add(reported('r1', 'b1', [report(0, 'passed', 1)], near))
        for (const [i, bytes] of log.entries.entries()) await history.feed(i + 1, bytes)
        await history.settled()
        await front.away()
        log.add(reported('r1', 'b1', [report(1, 'passed', 1)], late))
        await history.feed(log.entries.length, log.entries.at(-1)!)
        const settled = history.settled()
        await delay(200)
        await front.back()
        await settled
        const rows = await history.tests({ order: 'slowest', limit: 10 })
        assert.deepEqual(new Set(rows.map((row) => row.name.slice(-4))), new Set(['late', 'near']))
      } finally {
        for (const name of Object.keys(s3Credentials)) delete process.env[name]
        Object.assign(process.env, before)
      }
    }))

  test('a run becomes rows: runs, tests, estimates, last failures, audit', () =>
    withPlace(async ({ blobs, open }) => {
      const history = await open()
      assert.equal(history.position, 0)
      const failure = { status: 'failed' as const, errors: [{ message: 'expected 2.5 to be 2' }] }
      const first = await putResults(blobs, [
        result('a.test.ts', [passedTest('a.test.ts', 'adds'), passedTest('a.test.ts', 'rounds', { durationMs: 500 })]),
        result(
          'b.test.ts',
          [passedTest('b.test.ts', 'breaks', failure), passedTest('b.test.ts', 'heals', failure)],
          'failed',
        ),
      ])
      const second = await putResults(blobs, [
        result('b.test.ts', [passedTest('b.test.ts', 'breaks', failure), passedTest('b.test.ts', 'heals')], 'failed'),
      ])
      const log = new SyntheticLog()
        .add(submitted('r1', ['a.test.ts', 'b.test.ts', 'c.test.ts', 'd.test.ts']))
        .add(assigned('r1', 'b1', [0, 1, 2]), {
          type: 'task.started',
          run: 'r1',
          batch: 'b1',
          worker: 'w1',
          tasks: [0],
        })
        .add(
          reported('r1', 'b1', [report(0, 'passed', 100, [2, 0, 0, 0]), report(1, 'failed', 40, [0, 2, 0, 0])], first),
          { type: 'task.ended', run: 'r1', tasks: [0], state: 'passed', why: 'passed' },
          { type: 'task.requeued', run: 'r1', tasks: [1], cause: 'failed', why: 'failed, try 2 of 2', batchMax: 0 },
        )
        .add(ended('r1', 'b1', 250), {
          type: 'task.ended',
          run: 'r1',
          tasks: [2],
          state: 'lost',
          why: 'its process died',
        })
        .add(assigned('r1', 'b2', [1]))
        .add(reported('r1', 'b2', [report(1, 'failed', 60, [1, 1, 0, 0])], second), {
          type: 'task.ended',
          run: 'r1',
          tasks: [1],
          state: 'failed',
          why: 'failed',
        })
        .add(
          { type: 'task.ended', run: 'r1', tasks: [3], state: 'cancelled', why: 'too many failures' },
          ended('r1', 'b2', 350),
          finished('r1', 'failed'),
        )
      await log.feedTo(history)
      assert.equal(await history.settled(), 7)
      assert.equal(history.position, 7)

      assert.deepEqual(await history.runs({ limit: 10 }), [
        {
          run: 'r1',
          project: 'shop',
          suite: 'unit',
          framework: 'vitest',
          verdict: 'failed',
          planned: 4,
          tests: { passed: 2, failed: 1, flaky: 1, skipped: 0, total: 4 },
          submittedBy: 'client:ann',
          createdAtMs: log.atMs - 60,
          wallMs: 1500,
          lowerBoundMs: 1200,
        },
      ])
      assert.deepEqual(await history.runs({ project: 'other', limit: 10 }), [])
      assert.deepEqual(await history.lastFailed('shop', 'unit'), ['b.test.ts', 'c.test.ts'])
      // Two attempts of b ran to their end, the newer counts for more; c was lost and is taken for what lies beside it.
      assert.deepEqual(
        await history.estimates('shop', 'unit', ['b.test.ts', 'c.test.ts', 'a.test.ts', 'new.test.ts']),
        {
          durationsMs: [53.45, 73.11, 100, 73.11],
          bases: ['history', 'directory', 'history', 'directory'],
          startupMs: 317.252,
        },
      )
      const failed = await history.tests({ order: 'failed', limit: 10 })
      assert.deepEqual(
        failed.map((one) => [one.name, one.runs, one.failures, one.lastStatus]),
        [['cart › breaks', 1, 1, 'failed']],
      )
      const flaky = await history.tests({ project: 'shop', order: 'flaky', limit: 10 })
      assert.deepEqual(
        flaky.map((one) => [one.file, one.name, one.flakes]),
        [['b.test.ts', 'cart › heals', 1]],
      )
      const [slowest] = await history.tests({ order: 'slowest', limit: 1 })
      assert.deepEqual([slowest?.name, slowest?.medianMs, slowest?.lastRun], ['cart › rounds', 500, 'r1'])
      const audit = await history.audit('r1')
      assert.deepEqual(
        audit.slice(0, 3).map((one) => [one.position, one.type, one.who]),
        [
          [1, 'run.submitted', 'client:ann'],
          [2, 'batch.assigned', 'coordinator'],
          [2, 'task.started', 'worker:w1'],
        ],
      )
      assert.equal((JSON.parse(audit.at(-1)!.event) as { verdict: string }).verdict, 'failed')
    }))

  test('when workers came and went is kept whole, oldest first, up to a time', () =>
    withPlace(async ({ open }) => {
      const history = await open()
      const labels = Object.fromEntries(
        Array.from({ length: 200 }, (_, at) => [`label-${at}`, 'a value of some length']),
      )
      const capabilities = { os: 'linux', arch: 'x64', cpus: 4, memoryBytes: 1, host: 'h', labels, tools: {} }
      const log = new SyntheticLog()
        .add({ type: 'worker.joined', worker: 'w1', name: 'one', version: '1', capabilities })
        .add({ type: 'worker.drained', worker: 'w1', who: 'client:ann', why: 'asked' })
        .add({ type: 'worker.left', worker: 'w1', why: 'gone' })
      const untilMs = log.atMs
      log.add({ type: 'worker.left', worker: 'w2', why: 'gone' })
      await log.feedTo(history)
      await history.settled()
      const rows = await history.workerEvents({ untilMs, limit: 10 })
      assert.deepEqual(
        rows.map((row) => row.type),
        ['worker.joined', 'worker.drained', 'worker.left'],
      )
      assert.deepEqual((JSON.parse(rows[0]!.event) as { capabilities: unknown }).capabilities, capabilities)
      assert.deepEqual(
        (await history.workerEvents({ untilMs, limit: 1 })).map((row) => row.type),
        ['worker.left'],
      )
    }))

  test('an estimate follows the newest and not an outlier, in memory as it is read from disk', () =>
    withPlace(async ({ open }) => {
      let history = await open()
      const log = new SyntheticLog()
      const durations = [9000, 9000, 9000, 1, 2, 3, 4, 5, 6, 7, 100]
      for (const [i, durationMs] of durations.entries()) {
        log
          .add(submitted(`r${i}`, ['a']))
          .add(assigned(`r${i}`, `b${i}`, [0]))
          .add(reported(`r${i}`, `b${i}`, [report(0, 'passed', durationMs)]), ended(`r${i}`, `b${i}`, i))
        if (i === 3) await history.estimates('shop', 'unit', ['a'])
      }
      await log.feedTo(history)
      await history.settled()
      const warm = await history.estimates('shop', 'unit', ['a'])
      const [estimateMs] = warm.durationsMs
      assert.ok(estimateMs! > 4 && estimateMs! < 7 && warm.startupMs! > 7 && warm.startupMs! < 10, JSON.stringify(warm))
      assert.deepEqual(warm.bases, ['history'])
      await history[Symbol.asyncDispose]()
      history = await open()
      assert.equal(history.position, log.entries.length)
      assert.deepEqual(await history.estimates('shop', 'unit', ['a']), warm)
      const other = await history.estimates('shop', 'other', ['a'])
      assert.deepEqual(other, { durationsMs: [null], bases: ['none'], startupMs: null })
    }))

  test('kill -9 again and again while it is fed: every entry is applied exactly once', { timeout: 120_000 }, () =>
    withPlace(async ({ blobs, open, warnings }) => {
      const history = await open()
      const log = new SyntheticLog()
      const key = await putResults(blobs, [result('a', [passedTest('a', 'one'), passedTest('a', 'two')])])
      for (let i = 0; i < 200; i += 1) {
        log.add(submitted(`r${i}`, ['a', 'b'])).add(assigned(`r${i}`, `b${i}`, [0, 1]))
        log.add(
          reported(
            `r${i}`,
            `b${i}`,
            [report(0, 'passed', 10, [2, 0, 0, 0]), report(1, 'passed', 20, [0, 0, 0, 0])],
            key,
          ),
        )
        log.add(ended(`r${i}`, `b${i}`), finished(`r${i}`))
      }
      for (let round = 0; round < 4; round += 1) {
        await log.feedTo(history, round * 200 + 1, round * 200 + 130)
        if (round % 2 === 0) await history.settled()
        await log.feedTo(history, round * 200 + 131, round * 200 + 200)
        await killOwner(history)
      }
      assert.equal(await history.settled(), 800)
      const runs = await history.runs({ limit: 1000 })
      assert.equal(runs.length, 200)
      assert.ok(runs.every((run) => run.planned === 2 && run.tests.total === 2 && run.verdict === 'passed'))
      for (const [run, position] of [
        ['r0', 1],
        ['r49', 197],
        ['r50', 201],
        ['r199', 797],
      ] as const) {
        const audit = await history.audit(run)
        assert.deepEqual(
          audit.map((one) => one.position),
          [position, position + 1, position + 2, position + 3, position + 3],
        )
      }
      const [one] = await history.tests({ order: 'slowest', limit: 1 })
      assert.equal(one?.runs, 200)
      assert.equal(warnings.length, 4)
    }),
  )

  test('a process started in the middle of a run knows what the batches hold and how many attempts there were', () =>
    withPlace(async ({ open }) => {
      const history = await open()
      const log = new SyntheticLog()
        .add(submitted('r1', ['a', 'b', 'c']))
        .add(assigned('r1', 'b1', [0, 1]))
        .add(reported('r1', 'b1', [report(0, 'failed', 10, [0, 1, 0, 0])]), {
          type: 'task.requeued',
          run: 'r1',
          tasks: [0],
          cause: 'failed',
          why: 'again',
          batchMax: 0,
        })
      await log.feedTo(history)
      await history.settled()
      await killOwner(history)
      log
        .add(ended('r1', 'b1'), {
          type: 'task.requeued',
          run: 'r1',
          tasks: [1],
          cause: 'crashed',
          why: 'its process died',
          batchMax: 1,
        })
        .add(assigned('r1', 'b2', [0]))
        .add(reported('r1', 'b2', [report(0, 'passed', 30)]), {
          type: 'task.ended',
          run: 'r1',
          tasks: [0],
          state: 'flaky',
          why: 'passed after a failure',
        })
        .add(assigned('r1', 'b3', [1]), {
          type: 'task.ended',
          run: 'r1',
          tasks: [1],
          state: 'failed',
          why: 'it kills its process',
        })
        .add(
          { type: 'run.extended', run: 'r1', who: 'client:ann', files: ['d'], estimates: [5] },
          assigned('r1', 'b4', [3]),
        )
        .add(
          reported('r1', 'b4', [report(3, 'failed', 77, [0, 1, 0, 0])]),
          { type: 'task.ended', run: 'r1', tasks: [3], state: 'failed', why: 'failed' },
          finished('r1', 'failed'),
        )
      await log.feedTo(history, 4)
      await history.settled()
      assert.deepEqual(await history.lastFailed('shop', 'unit'), ['b', 'd'])
      assert.deepEqual((await history.estimates('shop', 'unit', ['a', 'b', 'd'])).durationsMs, [23.45, 42.493, 77])
      const [run] = await history.runs({ limit: 1 })
      assert.deepEqual([run?.planned, run?.tests], [4, { passed: 0, failed: 1, flaky: 1, skipped: 0, total: 2 }])
    }))

  test('while its process is away questions are refused as unavailable, and later answered', () =>
    withPlace(async ({ open, warnings }) => {
      const history = await open()
      const asked = history.runs({ limit: 1 })
      const refused = assert.rejects(asked, coded('unavailable'))
      await killOwner(history)
      await refused
      await assert.rejects(history.runs({ limit: 1 }), coded('unavailable'))
      await new SyntheticLog().add(submitted('r1', ['a'])).feedTo(history)
      await history.settled()
      assert.equal((await history.runs({ limit: 1 })).length, 1)
      assert.match(warnings.join(), /SIGKILL/)
    }))

  test('what was applied is not applied again, in one session and the next', () =>
    withPlace(async ({ open }) => {
      const log = new SyntheticLog().add(submitted('r1', ['a'])).add(finished('r1'))
      let history = await open()
      await log.feedTo(history)
      await log.feedTo(history)
      await history.settled()
      await history[Symbol.asyncDispose]()
      history = await open()
      assert.equal(history.position, 2)
      await log.feedTo(history)
      log.add(submitted('r2', ['a']))
      await log.feedTo(history)
      assert.equal(await history.settled(), 3)
      assert.deepEqual(
        (await history.runs({ limit: 9 })).map((one) => one.run),
        ['r2', 'r1'],
      )
      assert.equal((await history.audit('r1')).length, 2)
    }))

  test('closing without settling loses nothing that the log would not give again', () =>
    withPlace(async ({ open }) => {
      const log = new SyntheticLog()
      for (let i = 0; i < 50; i += 1) log.add(submitted(`r${i}`, ['a']))
      let history = await open()
      await log.feedTo(history)
      await history[Symbol.asyncDispose]()
      await assert.rejects(history.feed(51, log.entries[0]!), coded('unavailable'))
      history = await open()
      await log.feedTo(history, history.position + 1)
      await history.settled()
      assert.equal((await history.runs({ limit: 100 })).length, 50)
    }))

  test('feed waits when too much is unapplied, and goes on', () =>
    withPlace(async ({ open }) => {
      const history = await open({ unappliedBytesMax: 50_000 })
      const log = new SyntheticLog()
      for (let i = 0; i < 400; i += 1) log.add(submitted(`r${i}`, [`${'f'.repeat(500)}`]))
      let fed = 0
      const feeding = log.feedTo(history).then(() => (fed = 400))
      await Promise.resolve()
      assert.equal(fed, 0)
      await feeding
      assert.equal(await history.settled(), 400)
    }))

  test('a trimmed beginning, missing or broken results and an unreadable entry are tolerated and recorded', () =>
    withPlace(async ({ blobs, open }) => {
      const history = await open()
      const broken = await blobs.put(new TextEncoder().encode('no zstd'))
      const log = new SyntheticLog()
        .add(
          reported('gone', 'b9', [report(7, 'passed', 10)]),
          ended('gone', 'b9'),
          { type: 'task.ended', run: 'gone', tasks: [7, 8], state: 'passed', why: 'passed' },
          finished('gone'),
        )
        .add(submitted('r1', ['a', 'nul \0 and ünï \ud800 text']))
        .add(
          assigned('r1', 'b1', [0, 1]),
          reported('r1', 'b1', [report(0, 'passed', 10)], 'ab'.repeat(32)),
          reported('r1', 'b1', [report(1, 'passed', 11)], broken),
        )
      await history.feed(1000, log.entries[0]!)
      await history.feed(1001, new TextEncoder().encode('{"not": "an entry"'))
      await history.feed(
        1002,
        encodeEntry({
          atMs: 1,
          events: [{ type: 'worker.joined' } as never, { type: 'from.the.future', run: 'r1' } as never],
        }),
      )
      await history.feed(1003, log.entries[1]!)
      await history.feed(1004, log.entries[2]!)
      assert.equal(await history.settled(), 1004)
      assert.equal((await history.audit('gone')).length, 4)
      assert.deepEqual((await history.estimates('shop', 'unit', ['a'])).durationsMs, [10])
      assert.deepEqual(
        (await history.audit('r1')).map((one) => one.type),
        ['from.the.future', 'run.submitted', 'batch.assigned', 'task.reported', 'task.reported'],
      )
    }))

  test('a history in use elsewhere is a conflict that names the process', () =>
    withPlace(async ({ open }) => {
      const history = await open()
      await assert.rejects(open(), (error) => {
        assert.ok(isMusterError(error) && error.code === 'conflict')
        assert.ok(error.message.includes(`process ${history.pid}`))
        return true
      })
      assert.deepEqual(await history.runs({ limit: 1 }), [])
    }))

  test('a damaged file is moved aside and history starts afresh', () =>
    withPlace(async ({ directory, open, warnings }) => {
      await mkdir(join(directory, 'history'))
      await writeFile(join(directory, 'history', 'history.duckdb'), 'x'.repeat(20_000))
      const history = await open()
      assert.equal(history.position, 0)
      assert.match(warnings.join(), /was damaged/)
      assert.ok((await readdir(join(directory, 'history'))).some((name) => name.includes('.damaged-')))
    }))

  test('its process ends when the coordinator is killed', { timeout: 60_000 }, () =>
    withPlace(async ({ directory, open }) => {
      const parent = spawn(process.execPath, [owner, directory], { stdio: ['ignore', 'pipe', 'inherit'] })
      const [pid] = (await once(parent.stdout, 'data')) as [Buffer]
      parent.kill('SIGKILL')
      await once(parent, 'exit')
      // Opening waits for the lock, which the orphan holds until it ends.
      await open()
      const alive = () => {
        try {
          return process.kill(Number(pid), 0)
        } catch {
          // No such process: what we are waiting for.
          return false
        }
      }
      while (alive()) await delay(5)
    }),
  )
})
