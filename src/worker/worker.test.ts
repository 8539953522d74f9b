import assert from 'node:assert/strict'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { after, describe, it } from 'node:test'
import { isMusterError } from '../protocol/errors.ts'
import { startWorker, type WorkerHandle, type WorkerOptions } from './main.ts'
import { TestCoordinator } from './test-coordinator.ts'

const folder = mkdtempSync(path.join(os.tmpdir(), 'worker-test-'))
after(() => rmSync(folder, { recursive: true, force: true }))

let dataDirs = 0

function start(coordinator: TestCoordinator, options: Partial<WorkerOptions> = {}): Promise<WorkerHandle> {
  dataDirs += 1
  return startWorker({
    url: coordinator.url,
    labels: {},
    dataDir: path.join(folder, `data-${dataDirs}`),
    version: '0.0.0',
    log: () => {},
    runnersModule: new URL('./fixtures/fake-runner.ts', import.meta.url).href,
    ...options,
  })
}

describe('a batch', () => {
  it('reports each file with its tests and ends as completed', async () => {
    await using coordinator = await new TestCoordinator().start()
    await using _worker = await start(coordinator)
    const { batch, token } = coordinator.assign(['pass', 'plain', 'skip', 'fail', 'load-error'], { tasks: [7, 8, 9, 10, 11] })
    const ended = await coordinator.ended(batch)
    assert.equal(ended.reason, 'completed')
    assert.equal(ended.token, token)
    assert.deepEqual(ended.errors, [])
    assert.ok(ended.startupMs! > 0 && ended.wallMs >= ended.startupMs!)
    assert.deepEqual(
      [...coordinator.outcomes(batch)].sort(([a], [b]) => a - b),
      [[7, 'passed'], [8, 'passed'], [9, 'skipped'], [10, 'failed'], [11, 'failed']],
    )
    assert.deepEqual(coordinator.of('started', batch).flatMap((one) => one.tasks), [7, 8, 9, 10, 11])
    const failed = coordinator.of('reported', batch).flatMap((one) => one.results).find((one) => one.task === 10)!.result
    assert.ok(failed.tests[0]!.errors![0]!.stack!.length < 17_000)
    assert.ok(failed.tests[0]!.output!.length < 66_000)
    assert.ok(coordinator.of('live', batch).flatMap((one) => one.tests).some((test) => test.status === 'failed'))
    const sequence = coordinator.received.flatMap((one) => ('seq' in one ? [one.seq] : []))
    assert.deepEqual(sequence, sequence.map((_, index) => index + 1))
  })
})
