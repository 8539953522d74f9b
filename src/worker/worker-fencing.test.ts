/** What a real worker does when its coordinators freeze, die, or are replaced: real processes, real signals. */
import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { describe, it } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Ended } from '../protocol/worker-messages.ts'
import { TestCoordinator, temporarySocket } from './test-coordinator.ts'
import { CoordinatorProcess } from './test-coordinator-process.ts'
import { startTestWorker, temporaryFolder, untilGone, WorkerProcess } from './test-worker.ts'

const leaseMs = 2500
const fenceMs = 1500
const quick = { heartbeatMs: 200, leaseMs, fenceMs }

function isStarted(message: { type: string; tasks?: readonly number[] }): boolean {
  return message.type === 'started' && message.tasks?.includes(1) === true
}

/** With more between one bound and the next than a busy machine keeps a process waiting. */
const patient = { heartbeatMs: 600, leaseMs: 3 * leaseMs, fenceMs: 3 * fenceMs }

describe('a frozen coordinator', () => {
  it('has its attempts ended after fenceMs and before its lease is over, and hears of it when it wakes', async () => {
    await using coordinator = await new CoordinatorProcess(patient).start()
    await using worker = new WorkerProcess(coordinator)
    await coordinator.until((one) => one.type === 'hello')
    using folder = temporaryFolder()
    const file = path.join(folder.path, 'pids')
    coordinator.assign([`children:${file}`, 'hang'])
    await coordinator.until(isStarted)
    const pids = JSON.parse(readFileSync(file, 'utf8')) as number[]
    coordinator.signal('SIGSTOP')
    const stoppedMs = performance.now()
    await untilGone(pids)
    const afterMs = performance.now() - stoppedMs
    // The newest answered heartbeat may be one interval older than the stop.
    assert.ok(afterMs > patient.fenceMs - 2 * patient.heartbeatMs - 50, `already after ${afterMs} ms`)
    assert.ok(afterMs < patient.leaseMs - patient.heartbeatMs, `only after ${afterMs} ms`)
    await worker.says(/Ended at once: b1/)
    coordinator.signal('SIGCONT')
    const ended = (await coordinator.until((one) => one.type === 'ended')) as Ended
    assert.deepEqual([ended.reason, ended.interrupted], ['fenced', [1]])
    assert.match(ended.message!, /no coordinator has confirmed for 4500 ms/)
  })
})

describe('a worker that was stopped itself', () => {
  it('ends its attempts when it wakes, before it says anything', async () => {
    await using coordinator = new TestCoordinator()
    Object.assign(coordinator, quick)
    await coordinator.start()
    await using worker = new WorkerProcess(coordinator)
    await coordinator.until(() => coordinator.of('hello')[0], 'hello')
    using folder = temporaryFolder()
    const gate = path.join(folder.path, 'gate')
    const { batch } = coordinator.assign(['pass', `wait-for:${gate}`, 'hang'])
    await coordinator.until(() => coordinator.of('started', batch).find(isStarted))
    await coordinator.until(() => coordinator.of('reported', batch)[0])
    worker.child.kill('SIGSTOP')
    await sleep(fenceMs + 200)
    coordinator.received.length = 0
    worker.child.kill('SIGCONT')
    const ended = await coordinator.ended(batch)
    assert.equal(ended.reason, 'fenced')
    assert.deepEqual(coordinator.of('reported', batch), [])
  })
})

describe('a coordinator that was killed', () => {
  it('finds the attempt going on when it is back, however long that takes', async () => {
    await using coordinator = await new CoordinatorProcess(quick).start()
    await using _worker = await startTestWorker(coordinator)
    using folder = temporaryFolder()
    const gate = path.join(folder.path, 'gate')
    coordinator.assign(['pass', `wait-for:${gate}`])
    await coordinator.until(isStarted)
    await coordinator.kill()
    await sleep(2 * leaseMs)
    writeFileSync(gate, '')
    await coordinator.start()
    const ended = (await coordinator.until((one) => one.type === 'ended')) as Ended
    assert.equal(ended.reason, 'completed')
  })

  it('is left for another whose address is known, and the attempt goes on', async () => {
    await using first = await new CoordinatorProcess(quick).start()
    await using second = new TestCoordinator(undefined, temporarySocket())
    Object.assign(second, quick, { epoch: 2 })
    await using _worker = await startTestWorker(first, { urls: [first.url, second.url] })
    await second.start()
    using folder = temporaryFolder()
    const gate = path.join(folder.path, 'gate')
    first.assign(['pass', `wait-for:${gate}`])
    await first.until(isStarted)
    await first.kill()
    await second.until(() => second.of('hello').find((one) => one.held.length === 1), 'hello')
    writeFileSync(gate, '')
    assert.equal((await second.ended('b1')).reason, 'completed')
    // What the executor fetches comes from there too.
    const next = second.assign(['pass'], { run: 'second', batch: 'second' })
    assert.equal((await second.ended(next.batch)).reason, 'completed')
    assert.equal(second.contextRequests, 1)
  })
})

describe('a leader that was replaced', () => {
  it('is refused by whoever has seen its successor', async () => {
    await using old = new TestCoordinator()
    await using current = new TestCoordinator(undefined, temporarySocket())
    current.epoch = 2
    await current.start()
    const said: string[] = []
    await using _worker = await startTestWorker(current, {
      urls: [current.url, old.url],
      log: (_level, text) => said.push(text),
    })
    await old.start()
    await current.stop()
    await old.until(() => old.of('hello')[0], 'hello')
    await current.start()
    await current.until(() => current.of('hello')[1], 'hello again')
    assert.deepEqual(old.of('heartbeat'), [])
    assert.ok(said.some((text) => /it leads as epoch 1, and this worker has seen epoch 2/.test(text)))
  })

  it('greets over the same connection: everything unacknowledged is said again', async () => {
    await using coordinator = await new TestCoordinator().start()
    await using _worker = await startTestWorker(coordinator)
    coordinator.acknowledge = false
    const { batch } = coordinator.assign(['pass'])
    await coordinator.ended(batch)
    coordinator.acknowledge = true
    coordinator.epoch = 2
    coordinator.received.length = 0
    coordinator.send({ type: 'greet' })
    await coordinator.ended(batch)
    const types = coordinator.received.map((one) => one.type).filter((type) => type !== 'heartbeat')
    assert.deepEqual(types, ['hello', 'started', 'reported', 'ended'])
  })
})

it('a recycled worker has clean workspaces, a new executor, and goes on', async () => {
  await using coordinator = await new TestCoordinator().start()
  await using _worker = await startTestWorker(coordinator)
  await coordinator.ended(coordinator.assign(['pass'], { run: 'same' }).batch)
  coordinator.send({ type: 'recycle', id: 3, why: 'it failed too often' })
  const { id } = await coordinator.until(() => coordinator.of('recycled')[0], 'recycled')
  assert.equal(id, 3)
  assert.equal((await coordinator.ended(coordinator.assign(['pass'], { run: 'same' }).batch)).reason, 'completed')
  // A new executor remembers no context.
  assert.equal(coordinator.contextRequests, 2)
})

it('a host that is not there keeps nobody from joining the next', async () => {
  await using coordinator = await new TestCoordinator().start()
  await using worker = await startTestWorker(coordinator, {
    urls: ['unix:/nowhere/muster.sock', 'http://127.0.0.1:1', coordinator.url],
  })
  assert.equal(worker.held, 0)
})
