import assert from 'node:assert/strict'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { plainSpec } from '../core/transcript.ts'
import type { Run } from '../core/state.ts'
import { MemoryLog } from '../log/memory.ts'
import { SqliteLog } from '../log/sqlite.ts'
import { DirectoryContexts } from './contexts.ts'
import { Coordinator } from './coordinator.ts'
import { newRunId } from './run-id.ts'
import { ScriptedWorker } from './fixtures/scripted-worker.ts'
import { Leader } from './leader.ts'
import { logPort } from './log-port.ts'
import { recover } from './recover.ts'
import { Retention } from './retention.ts'
import { DirectoryBlobs } from '../blobs/directory.ts'
import { defaultLimits } from '../core/limits.ts'
import { emptyState } from '../core/state.ts'

async function withDirectory(use: (directory: string) => Promise<void>): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), 'muster-coordinator-'))
  try {
    await use(directory)
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
}

async function withCoordinator(
  use: (coordinator: Coordinator, directory: string) => Promise<void>,
  leaseMs = 10_000,
): Promise<void> {
  await withDirectory(async (directory) => {
    const times = { heartbeatMs: 1000, leaseMs }
    const coordinator = await Coordinator.open({ directory, version: '1', log: 'memory', history: false, times })
    try {
      await use(coordinator, directory)
    } finally {
      await coordinator.close()
    }
  })
}

function submit(coordinator: Coordinator, files: readonly string[]): Promise<Run> {
  const { context: _, ...spec } = plainSpec
  return coordinator.submitRun({ who: 'client:test', spec: { ...spec, noWorkerTimeoutMs: 60_000 }, files })
}

/** Resolves when the run is finished; rejects when it isn't within `withinMs`. */
async function finished(coordinator: Coordinator, run: Run, withinMs = 10_000): Promise<void> {
  const done = Promise.withResolvers<void>()
  const look = () => {
    if (run.state === 'finished') done.resolve()
  }
  const stop = coordinator.observe(look)
  const timer = setTimeout(() => done.reject(new Error(`run is ${run.state} after ${withinMs} ms`)), withinMs)
  look()
  try {
    await done.promise
  } finally {
    clearTimeout(timer)
    stop()
  }
}

describe('Coordinator', () => {
  test('gives a waiting run to a worker that comes back after a lost connection', () =>
    withCoordinator(async (coordinator) => {
      const worker = new ScriptedWorker(coordinator, 'w1')
      worker.dial()
      await worker.until(() => worker.received.length > 0)
      worker.hangUp()
      const run = await submit(coordinator, ['a', 'b'])
      worker.dial()
      await worker.until(() => worker.assigned.length > 0)
      worker.report(worker.assigned[0]!)
      worker.end(worker.assigned[0]!)
      await finished(coordinator, run)
      assert.equal(run.verdict, 'passed')
    }))

  test('takes nothing that follows a report whose results could not be stored, and the report once they can', () =>
    withCoordinator(async (coordinator, directory) => {
      const worker = new ScriptedWorker(coordinator, 'w1')
      worker.dial()
      const run = await submit(coordinator, ['a', 'b'])
      await worker.until(() => worker.assigned.length > 0)
      const blobs = join(directory, 'blobs')
      await rm(blobs, { recursive: true })
      worker.report(worker.assigned[0]!)
      worker.end(worker.assigned[0]!)
      while (coordinator.health().status === 'ok') await delay(5)
      assert.match(coordinator.health().problems[0]!, /^results can't be stored: /)
      assert.equal(run.batches.size, 1, 'the batch is not over')
      // Opening makes the folders again.
      await DirectoryBlobs.open(blobs)
      await finished(coordinator, run)
      assert.equal(run.verdict, 'passed')
      assert.equal(run.tests.passed, 2)
      assert.equal(worker.assigned.length, 1, 'nothing ran twice')
      assert.equal(coordinator.health().status, 'ok')
    }))

  test('loses a silent worker after its lease, and takes it back when it returns', () =>
    withCoordinator(async (coordinator) => {
      const worker = new ScriptedWorker(coordinator, 'w1')
      worker.dial()
      const run = await submit(coordinator, ['a'])
      await worker.until(() => worker.assigned.length === 1)
      await worker.until(() => !worker.connected)
      worker.dial([{ batch: worker.assigned[0]!.batch, token: worker.assigned[0]!.token }])
      await worker.until(() => worker.assigned.length === 2)
      const welcome = worker.received.findLast((message) => message.type === 'welcome')
      assert.deepEqual(welcome?.keep, [], 'what it held was given away')
      // The first attempt's report is stale, the second one's counts.
      worker.report(worker.assigned[0]!)
      worker.report(worker.assigned[1]!)
      worker.end(worker.assigned[1]!)
      await finished(coordinator, run)
      assert.equal(run.tasks[0]!.attempts, 2)
      assert.equal(run.tests.passed, 1)
      // So long that it isn't over while a busy machine keeps this process waiting.
    }, 1500))

  test('answers who waits when the log fails for good', () =>
    withDirectory(async () => {
      const log = new MemoryLog()
      const { epoch } = await log.claim('one')
      const fatal = Promise.withResolvers<unknown>()
      const leader = new Leader({
        append: logPort(log, undefined, (error) => fatal.resolve(error)).append,
        state: emptyState(),
        epoch,
        position: 0,
        available: () => true,
        onCommitted: () => undefined,
        onDeposed: (newer) => fatal.resolve(`epoch ${newer} took over`),
        onFatal: (error) => fatal.resolve(error),
        onHealth: () => undefined,
      })
      await log.claim('two')
      const input = { type: 'join', worker: 'w', name: 'w', version: '1', draining: false } as const
      const capabilities = { os: '', arch: '', cpus: 1, memoryBytes: 1, host: '', labels: {}, tools: {} }
      await assert.rejects(leader.submit({ ...input, capabilities }), /has stopped/)
      assert.match(String(await fatal.promise), /epoch 2 took over/)
      await assert.rejects(leader.submit({ ...input, capabilities }), /has stopped/)
    }))

  test('a snapshot taken under load holds exactly the entries up to its position', () =>
    withDirectory(async (directory) => {
      const log = await SqliteLog.open(join(directory, 'log'))
      const { epoch } = await log.claim('one')
      const leader = new Leader({
        append: logPort(log, undefined, (error) => assert.fail(String(error))).append,
        onDeposed: (newer) => assert.fail(`epoch ${newer} took over`),
        state: emptyState(),
        epoch,
        position: 0,
        available: () => true,
        onCommitted: () => undefined,
        onFatal: (error) => assert.fail(String(error)),
        onHealth: () => undefined,
      })
      const retention = new Retention({
        log,
        blobs: await DirectoryBlobs.open(join(directory, 'blobs')),
        contexts: await DirectoryContexts.open(join(directory, 'contexts')),
        seat: {
          state: leader.state,
          role: 'leading',
          epoch,
          get position() {
            return leader.position
          },
          followers: [],
          loadedSnapshotPosition: 0,
          snapshotMade: () => undefined,
          between: (look) => leader.between(look),
          submit: () => undefined,
          requestSnapshot: () => false,
        },
        historyPosition: () => Infinity,
        fill: () => 0,
        logBlobs: async () => [],
        say: () => undefined,
      })
      let count = 0
      let loading = true
      const load = async (): Promise<void> => {
        while (loading) {
          count += 1
          const files = ['a']
          await leader.submit({ type: 'submit', run: `r${count}`, who: 'x', spec: plainSpec, files, estimates: [null] })
        }
      }
      const loads = [load(), load(), load(), load()]
      for (let round = 0; round < 5; round += 1) await retention.snapshot()
      loading = false
      await Promise.all(loads)
      await leader.stop()
      const recovered = await recover(log, defaultLimits)
      assert.equal(recovered.position, leader.position)
      assert.equal(recovered.state.runs.size, count)
      assert.ok(recovered.snapshotPosition > 0)
      await log[Symbol.asyncDispose]()
    }))

  test('keeps contexts private and drops the one of a submission that was refused', () =>
    withCoordinator(async (coordinator, directory) => {
      const { context: _, ...spec } = plainSpec
      const context = { env: { SECRET: 'x' }, detection: {} }
      const files = Array.from({ length: 1_000_001 }, () => 'f')
      await assert.rejects(coordinator.submitRun({ who: 'x', spec, files, context }), /at most 1000000 tasks/)
      assert.deepEqual(await readdir(join(directory, 'contexts')), [])
      const run = await coordinator.submitRun({ who: 'x', spec, files: ['a'], context })
      assert.deepEqual(await coordinator.contextOf(run.id), context)
    }))

  test('run ids do not repeat within a second', () => {
    const ids = new Set(Array.from({ length: 20_000 }, () => newRunId(1_800_000_000_000)))
    assert.equal(ids.size, 20_000)
  })
})
