/** Quotas that a coordinator is given bind its runs, and still do after it was started again. */
import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import type { Shares } from '../core/shares.ts'
import { plainSpec } from '../core/transcript.ts'
import { Coordinator } from './coordinator.ts'
import { ScriptedWorker } from './fixtures/scripted-worker.ts'

const shares: Shares = new Map([['project:*', { cpus: 2 }]])

test('Coordinator: a project has no more CPUs at once than its quota, also after a restart', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'muster-shares-'))
  const open = () => Coordinator.open({ directory, version: '1', history: false, shares })
  try {
    let coordinator = await open()
    const { context: _, ...plain } = plainSpec
    const spec = { ...plain, noWorkerTimeoutMs: 60_000 }
    const workers = ['one', 'two'].map((id) => new ScriptedWorker(coordinator, id))
    for (const worker of workers) worker.dial()
    const assigned = () => workers.flatMap((worker) => worker.assigned)
    const some = () => Promise.race(workers.map((worker) => worker.until(() => worker.assigned.length > 0)))
    const first = await coordinator.submitRun({ who: 'client:ann', spec, files: ['a'] })
    const second = await coordinator.submitRun({ who: 'client:ben', spec, files: ['b'] })
    await some()
    assert.deepEqual([first.batches.size, second.batches.size], [1, 0])
    // Another project is not held up.
    const other = await coordinator.submitRun({ who: 'client:ann', spec: { ...spec, project: 'other' }, files: ['c'] })
    await Promise.all(workers.map((worker) => worker.until(() => worker.assigned.length > 0)))
    assert.equal(other.batches.size, 1)
    assert.equal(assigned().length, 2)
    await coordinator.close()
    coordinator = await open()
    try {
      assert.deepEqual(coordinator.state.shares, shares)
      assert.equal(coordinator.state.spent.get(`project:${spec.project}`)?.cpus, 2)
    } finally {
      await coordinator.close()
    }
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
})
