/** What happens to work when something goes away: the batch is cancelled, the worker killed, the coordinator restarted. */
import assert from 'node:assert/strict'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { describe, it } from 'node:test'
import { TestCoordinator } from './test-coordinator.ts'
import { isAlive, startTestWorker, temporaryFolder, untilGone, WorkerProcess } from './test-worker.ts'

/** The processes that `children:<file>` has started, once they are there. */
async function startedProcesses(coordinator: TestCoordinator, batch: string, file: string): Promise<number[]> {
  await coordinator.until(
    () => (coordinator.of('started', batch).some((one) => one.tasks.includes(1)) ? true : undefined),
    'the second file',
  )
  const pids = JSON.parse(readFileSync(file, 'utf8')) as number[]
  assert.ok(pids.every(isAlive))
  return pids
}

describe('processes that a framework started', () => {
  it('end with a cancelled batch, also those in sessions of their own', async () => {
    await using coordinator = await new TestCoordinator().start()
    await using _worker = await startTestWorker(coordinator)
    using folder = temporaryFolder()
    const file = path.join(folder.path, 'pids')
    const { batch } = coordinator.assign([`children:${file}`, 'hang', 'plain'])
    const pids = await startedProcesses(coordinator, batch, file)
    coordinator.send({ type: 'cancel', batch, why: 'nobody wants it' })
    const ended = await coordinator.ended(batch)
    assert.equal(ended.reason, 'cancelled')
    assert.equal(ended.message, 'nobody wants it')
    assert.deepEqual(ended.interrupted, [1])
    assert.deepEqual(pids.filter(isAlive), [])
  })

  it('may finish the files that run when the batch is drained, and no more', async () => {
    await using coordinator = await new TestCoordinator().start()
    await using _worker = await startTestWorker(coordinator)
    using folder = temporaryFolder()
    const go = path.join(folder.path, 'go')
    const { batch } = coordinator.assign(['pass', `wait-for:${go}`, 'hang'])
    await coordinator.until(
      () => (coordinator.of('started', batch).some((one) => one.tasks.includes(1)) ? true : undefined),
      'the second file',
    )
    coordinator.send({ type: 'cancel', batch, why: 'drained', drainMs: 60_000 })
    writeFileSync(go, '')
    const ended = await coordinator.ended(batch)
    assert.equal(ended.reason, 'cancelled')
    const reported = coordinator.of('reported', batch).flatMap((one) => one.results.map((result) => result.task))
    const plain = coordinator.of('reported', batch).flatMap((one) => (one.plain ?? []).map(([task]) => task))
    assert.deepEqual(
      [...reported, ...plain].toSorted((a, b) => a - b),
      [0, 1],
    )
  })

  it('are ended when a drained batch takes too long', async () => {
    await using coordinator = await new TestCoordinator().start()
    await using _worker = await startTestWorker(coordinator)
    const { batch } = coordinator.assign(['pass', 'hang'])
    await coordinator.until(
      () => (coordinator.of('started', batch).some((one) => one.tasks.includes(1)) ? true : undefined),
      'the second file',
    )
    coordinator.send({ type: 'cancel', batch, why: 'drained', drainMs: 50 })
    const ended = await coordinator.ended(batch)
    assert.deepEqual([ended.reason, ended.interrupted], ['cancelled', [1]])
  })

  it('end with their batch when the framework leaves them behind', async () => {
    await using coordinator = await new TestCoordinator().start()
    await using _worker = await startTestWorker(coordinator)
    using folder = temporaryFolder()
    const file = path.join(folder.path, 'pids')
    const ended = await coordinator.ended(coordinator.assign([`children:${file}`]).batch)
    assert.equal(ended.reason, 'completed')
    assert.match(ended.output!, /3 process\(es\) outlived fake and were ended/)
    assert.deepEqual((JSON.parse(readFileSync(file, 'utf8')) as number[]).filter(isAlive), [])
  })

  it('end when the worker is killed by SIGKILL, and its temporary files go', async () => {
    await using coordinator = await new TestCoordinator().start()
    await using worker = new WorkerProcess(coordinator)
    await coordinator.until(() => coordinator.of('hello')[0], 'hello')
    using folder = temporaryFolder()
    const file = path.join(folder.path, 'pids')
    const { batch } = coordinator.assign([`env:${folder.path}/env`, `children:${file}`, 'hang'], { tasks: [2, 0, 1] })
    const pids = await startedProcesses(coordinator, batch, file)
    const { env } = JSON.parse(readFileSync(path.join(folder.path, 'env'), 'utf8')) as { env: Record<string, string> }
    assert.ok(existsSync(env['TMPDIR']!))
    worker.child.kill('SIGKILL')
    await untilGone(pids)
    const tempRoot = path.dirname(path.dirname(env['TMPDIR']!))
    assert.match(path.basename(tempRoot), /^muster-\d+-/)
    for (let look = 0; existsSync(tempRoot) && look < 6000; look += 1)
      await new Promise((resolve) => setTimeout(resolve, 5))
    assert.ok(!existsSync(tempRoot))
  })
})

describe('a worker without its coordinator', () => {
  it('goes on, and reports what it held when the coordinator is back', async () => {
    await using coordinator = await new TestCoordinator().start()
    await using _worker = await startTestWorker(coordinator)
    using folder = temporaryFolder()
    const gate = path.join(folder.path, 'gate')
    const { batch, token } = coordinator.assign(['pass', `wait-for:${gate}`, 'fail'])
    await coordinator.until(() =>
      coordinator.of('started', batch).some((one) => one.tasks.includes(1)) ? true : undefined,
    )
    await coordinator.stop()
    writeFileSync(gate, '')
    await coordinator.start()
    const ended = await coordinator.ended(batch)
    assert.equal(ended.reason, 'completed')
    assert.deepEqual(coordinator.of('hello').at(-1)!.held, [{ batch, token }])
    assert.deepEqual(Object.fromEntries(coordinator.outcomes(batch)), { 0: 'passed', 1: 'passed', 2: 'failed' })
  })

  it('sends again what was not acknowledged, in the same order, and nothing that was', async () => {
    await using coordinator = await new TestCoordinator().start()
    await using _worker = await startTestWorker(coordinator)
    const first = coordinator.assign(['pass'])
    await coordinator.ended(first.batch)
    coordinator.acknowledge = false
    const second = coordinator.assign(['pass', 'fail'])
    await coordinator.ended(second.batch)
    const reports = (): object[] =>
      coordinator.received.filter((one) => 'seq' in one).map((one) => ({ ...one, atMs: 0 }))
    const unacknowledged = reports().filter((one) => (one as { batch?: string }).batch === second.batch)
    coordinator.received.length = 0
    await coordinator.stop()
    coordinator.acknowledge = true
    await coordinator.start()
    await coordinator.ended(second.batch)
    assert.deepEqual(reports(), unacknowledged)
  })

  it('stops and forgets what the coordinator does not keep', async () => {
    await using coordinator = await new TestCoordinator().start()
    await using worker = await startTestWorker(coordinator)
    using folder = temporaryFolder()
    const file = path.join(folder.path, 'pids')
    const { batch } = coordinator.assign([`children:${file}`, 'hang'])
    const pids = await startedProcesses(coordinator, batch, file)
    await coordinator.stop()
    coordinator.keep = () => []
    coordinator.received.length = 0
    await coordinator.start()
    await untilGone(pids)
    const next = coordinator.assign(['pass'])
    assert.equal((await coordinator.ended(next.batch)).reason, 'completed')
    assert.deepEqual(coordinator.of('ended', batch), [])
    assert.deepEqual(coordinator.of('reported', batch), [])
    await coordinator.stop()
    await coordinator.start()
    const hello = await coordinator.until(() => coordinator.of('hello')[1])
    assert.deepEqual(hello.held, [])
    assert.equal(worker.held, 0)
  })

  it('leaves when the coordinator stays away for longer than it may', async () => {
    await using coordinator = await new TestCoordinator().start()
    await using worker = await startTestWorker(coordinator, { orphanTimeoutMs: 100 })
    await coordinator.stop()
    assert.deepEqual(await worker.done, { type: 'orphaned' })
  })

  it('takes a repeated assignment as one', async () => {
    await using coordinator = await new TestCoordinator().start()
    await using _worker = await startTestWorker(coordinator)
    const assign = coordinator.assign(['pass'])
    coordinator.send(assign)
    await coordinator.ended(assign.batch)
    await coordinator.ended(coordinator.assign(['plain']).batch)
    assert.equal(coordinator.of('ended', assign.batch).length, 1)
  })
})

describe('the agent', () => {
  it('sends heartbeats and ends processes while the executor is busy', async () => {
    await using coordinator = new TestCoordinator()
    coordinator.heartbeatMs = 50
    await coordinator.start()
    await using _worker = await startTestWorker(coordinator)
    const { batch } = coordinator.assign(['spin', 'plain'], { args: ['--reader'] })
    const ended = await coordinator.ended(batch)
    assert.ok(ended.wallMs > 2900, 'the reader kept the executor busy')
    const beats = coordinator.of('heartbeat').map((one) => one.atMs)
    const gaps = beats.slice(1).map((atMs, index) => atMs - beats[index]!)
    assert.ok(beats.length > 20, `${beats.length} heartbeats`)
    assert.ok(Math.max(...gaps) < 700, `longest silence ${Math.max(...gaps)} ms`)
  })

  it('drains on SIGTERM: finishes what it holds, reports it, exits with 0', async () => {
    await using coordinator = await new TestCoordinator().start()
    await using worker = new WorkerProcess(coordinator)
    await coordinator.until(() => coordinator.of('hello')[0], 'hello')
    using folder = temporaryFolder()
    const gate = path.join(folder.path, 'gate')
    const { batch } = coordinator.assign([`wait-for:${gate}`])
    await coordinator.until(() => coordinator.of('started', batch)[0])
    worker.child.kill('SIGTERM')
    await coordinator.until(() => coordinator.of('draining')[0], 'draining')
    writeFileSync(gate, '')
    assert.deepEqual(await worker.exited, { code: 0, signal: null })
    assert.equal((await coordinator.ended(batch)).reason, 'completed')
  })

  it('stops at once on a second signal, and leaves nothing running', async () => {
    await using coordinator = await new TestCoordinator().start()
    await using worker = new WorkerProcess(coordinator)
    await coordinator.until(() => coordinator.of('hello')[0], 'hello')
    using folder = temporaryFolder()
    const file = path.join(folder.path, 'pids')
    const { batch } = coordinator.assign([`children:${file}`, 'hang'])
    const pids = await startedProcesses(coordinator, batch, file)
    worker.child.kill('SIGTERM')
    await coordinator.until(() => coordinator.of('draining')[0], 'draining')
    worker.child.kill('SIGTERM')
    assert.deepEqual(await worker.exited, { code: 3, signal: null })
    await untilGone(pids)
  })

  it('drains without a coordinator when it holds nothing', async () => {
    await using coordinator = await new TestCoordinator().start()
    await using worker = await startTestWorker(coordinator)
    await coordinator.stop()
    worker.drain('SIGTERM')
    assert.deepEqual(await worker.done, { type: 'drained' })
  })
})
