/** Estimates and predictions by a real history: events in, DuckDB, the models, and the same after a restart. */
import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { noise } from '../analysis/fixtures/noise.ts'
import type { Event } from '../core/events.ts'
import { encodeEntry } from '../core/events.ts'
import { openHistory } from './duckdb-history.ts'
import type { DuckdbHistory } from './duckdb-history.ts'
import { assigned, ended, finished, report, reported, spec, submitted, SyntheticLog } from './fixtures/synthetic-run.ts'

async function withHistory(body: (open: () => Promise<DuckdbHistory>) => Promise<void>): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), 'muster-durations-'))
  const opened: DuckdbHistory[] = []
  try {
    await body(async () => {
      const options = { directory: join(directory, 'history'), blobsLocation: join(directory, 'blobs') }
      const history = await openHistory({ ...options, onWarning: assert.fail })
      opened.push(history)
      return history
    })
  } finally {
    for (const history of opened) await history[Symbol.asyncDispose]()
    await rm(directory, { recursive: true, force: true })
  }
}

function joined(worker: string, speed: number, host = worker): Event {
  const capabilities = { os: 'linux', arch: 'x64', cpus: 4, memoryBytes: 1, host, labels: {}, tools: {}, speed }
  return { type: 'worker.joined', worker, name: worker, version: '1', capabilities }
}

const on = (worker: string, event: Event): Event => ({ ...event, worker }) as Event
const started = (run: string, batch: string, tasks: readonly number[], worker = 'w1'): Event => ({
  type: 'task.started',
  run,
  batch,
  worker,
  tasks,
})

/** One attempt of one file, on a worker. */
function once(log: SyntheticLog, run: string, file: string, worker: string, durationMs: number): void {
  log
    .add(submitted(run, [file]), on(worker, assigned(run, `b-${run}`, [0])))
    .add(on(worker, reported(run, `b-${run}`, [report(0, 'passed', durationMs)])), on(worker, ended(run, `b-${run}`)))
}

describe('estimates', () => {
  test('are of the reference machine, whichever machines ran the file', () =>
    withHistory(async (open) => {
      const log = new SyntheticLog().add(joined('slow', 0.5), joined('fast', 4))
      once(log, 'r1', 'a.ts', 'slow', 800)
      once(log, 'r2', 'a.ts', 'fast', 100)
      once(log, 'r3', 'a.ts', 'unknown', 400)
      let history = await open()
      await log.feedTo(history)
      await history.settled()
      const known = await history.estimates('shop', 'unit', ['a.ts'])
      assert.deepEqual(known.durationsMs, [400])
      // A start-up of 300 ms on each.
      assert.ok(known.startupMs! > 150 && known.startupMs! < 1200)
      await history[Symbol.asyncDispose]()
      history = await open()
      // The machines are known still, though they don't join again.
      once(log, 'r4', 'b.ts', 'fast', 100)
      await log.feedTo(history)
      await history.settled()
      assert.deepEqual((await history.estimates('shop', 'unit', ['a.ts', 'b.ts'])).durationsMs, [400, 400])
    }))

  test('count cancelled runs and failed attempts, and take a time limit for no duration', () =>
    withHistory(async (open) => {
      const log = new SyntheticLog()
      log
        .add(submitted('r1', ['a', 'b', 'c']), assigned('r1', 'b1', [0, 1, 2]), started('r1', 'b1', [0, 1, 2]))
        .add(reported('r1', 'b1', [report(0, 'failed', 40, [0, 1, 0, 0]), report(2, 'passed', 1)]))
      log.atMs += 970
      log
        .add({ type: 'task.requeued', run: 'r1', tasks: [1], cause: 'timed-out', why: 'over 1 s', batchMax: 1 })
        .add(ended('r1', 'b1'), { type: 'task.ended', run: 'r1', tasks: [1], state: 'cancelled', why: 'cancelled' })
      once(log, 'r2', 'c', 'w1', 1)
      const history = await open()
      await log.feedTo(history)
      await history.settled()
      const { durationsMs } = await history.estimates('shop', 'unit', ['a', 'b', 'c'])
      // b was stopped after 990 ms: at least so long.
      assert.deepEqual(durationsMs, [40, 990, 1])
    }))

  test('of a suite that never ran are what is usual for its framework, and say so', () =>
    withHistory(async (open) => {
      const log = new SyntheticLog()
      for (const [at, ms] of [10, 20, 90].entries()) once(log, `r${at}`, `f${at}`, 'w1', ms)
      const history = await open()
      await log.feedTo(history)
      await history.settled()
      const other = await history.estimates('other', 'new', ['x'], { framework: spec.framework })
      assert.deepEqual(other, { durationsMs: [20], bases: ['framework'], startupMs: 300 })
      assert.deepEqual((await history.estimates('other', 'new', ['x'], { framework: 'go' })).bases, ['none'])
    }))

  test('are corrected for what ran beside a file, once history says what that costs', () =>
    withHistory(async (open) => {
      const log = new SyntheticLog().add(joined('w1', 1))
      const files = Array.from({ length: 30 }, (_, at) => `f${at}`)
      // Alone 100 ms, eight at once on four CPUs 240 ms; by turns.
      for (let run = 0; run < 6; run += 1) {
        const together = run % 2 === 1 ? 8 : 1
        log.add(submitted(`r${run}`, files), joined('w1', 1))
        for (let from = 0; from < files.length; from += together) {
          const tasks = files.map((_, at) => at).slice(from, from + together)
          const durationMs = tasks.length === 8 ? 240 : 100
          const batch = `b${run}-${from}`
          log.add(assigned(`r${run}`, batch, tasks), started(`r${run}`, batch, tasks))
          log.atMs += durationMs - 10
          log.add(
            reported(
              `r${run}`,
              batch,
              tasks.map((task) => report(task, 'passed', durationMs)),
            ),
            ended(`r${run}`, batch),
          )
        }
      }
      const history = await open()
      await log.feedTo(history)
      await history.settled()
      const { durationsMs } = await history.estimates('shop', 'unit', files)
      // The usual load lies between the two; all measurements agree on it, so every file has the same estimate.
      const [first] = durationsMs
      assert.ok(first! >= 99 && first! <= 241)
      for (const ms of durationsMs.slice(0, 24)) assert.ok(Math.abs(ms! / first! - 1) < 0.02, `${ms} beside ${first}`)
    }))
})

const hourMs = 3_600_000

/** After a failure a file takes five times as long. */
function afterFailures(history: DuckdbHistory, runs: number, factor: number): Promise<number> {
  const random = noise(2)
  const failed = new Set<number>()
  const files = Array.from({ length: 40 }, (_, at) => `d${at % 5}/f${at}.ts`)
  const tasks = files.map((_, at) => at)
  const startMs = Date.now() - runs * hourMs
  const entries: Uint8Array[] = []
  for (let run = 0; run < runs; run += 1) {
    const atMs = startMs + run * hourMs
    const reports = tasks.map((task) => {
      const durationMs = 100 * (1 + task) * (failed.has(task) ? factor : 1) * Math.exp(0.1 * random.normal())
      failed.delete(task)
      if (random.uniform() < 0.3) failed.add(task)
      return report(task, failed.has(task) ? 'failed' : 'passed', durationMs)
    })
    const [id, batch] = [`r${run}`, `b${run}`]
    entries.push(encodeEntry({ atMs, events: [submitted(id, files), assigned(id, batch, tasks)] }))
    const over = [reported(id, batch, reports), ended(id, batch), finished(id)]
    entries.push(encodeEntry({ atMs: atMs + 60_000, events: over }))
  }
  for (const [at, bytes] of entries.entries()) void history.feed(at + 1, bytes)
  return history.settled()
}

describe('predict', () => {
  test('shows which model is used and why; submissions use it, also after a restart', () =>
    withHistory(async (open) => {
      let history = await open()
      await afterFailures(history, 24, 5)
      const [row] = await history.predict({ project: 'shop', files: true })
      assert.ok(row !== undefined)
      assert.equal(row.used, 'learned')
      assert.equal(row.samples, 960)
      assert.equal(row.heldOut, 240)
      assert.ok(row.figures.learned!.wape < 0.5 * row.figures.simple!.wape, JSON.stringify(row.figures))
      assert.equal(row.files!.length, 40)
      assert.deepEqual(row.startups, [{ framework: 'vitest', host: 'w1', name: 'w1', startupMs: 300, batches: 24 }])
      assert.equal('model' in row, false)
      const [first] = row.files!
      assert.ok(first!.ms === first!.learnedMs && first!.durations === 12)
      const files = row.files!.map((one) => one.file)
      const { durationsMs } = await history.estimates('shop', 'unit', files)
      for (const [at, ms] of durationsMs.entries()) assert.ok(Math.abs(ms! / row.files![at]!.ms - 1) < 0.01)

      await history[Symbol.asyncDispose]()
      history = await open()
      assert.deepEqual(
        (await history.estimates('shop', 'unit', files)).bases,
        files.map(() => 'history'),
      )
      const again = await history.estimates('shop', 'unit', files)
      for (const [at, ms] of again.durationsMs.entries()) assert.ok(Math.abs(ms! / durationsMs[at]! - 1) < 0.01)
      const [kept] = await history.predict({})
      assert.deepEqual({ ...kept, files: row.files }, row)
    }))

  test('of too little says what is needed, of nothing nothing', () =>
    withHistory(async (open) => {
      const history = await open()
      assert.deepEqual(await history.predict({}), [])
      await afterFailures(history, 2, 1)
      const [row] = await history.predict({})
      assert.equal(row!.project, 'shop')
      assert.equal(row!.used, 'simple')
      assert.match(row!.why, /^needs 200 durations, 50 of them in the newest quarter; there are 80 and/)
      const [unknown] = await history.predict({ project: 'nobody' })
      assert.deepEqual([unknown!.samples, unknown!.figures.simple], [0, null])
    }))
})
