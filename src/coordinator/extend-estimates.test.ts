/** Estimates of tasks that are added to an open run, by a real history. */
import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { plainSpec } from '../core/transcript.ts'
import { Coordinator } from './coordinator.ts'

test('a task that is added to an open run is estimated as one that was submitted with it', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'muster-extend-'))
  const coordinator = await Coordinator.open({ directory, version: '1', log: 'memory' })
  try {
    const { context: _, startupMs: __, ...spec } = plainSpec
    const capabilities = { os: 'linux', arch: 'x64', cpus: 4, memoryBytes: 1, host: 'h', labels: {}, tools: {} }
    await coordinator.submit({ type: 'join', worker: 'w', name: 'w', version: '1', capabilities, draining: false })
    const files = ['d/a', 'd/b']
    const { id: run } = await coordinator.submitRun({ who: 'x', spec, files })
    await coordinator.submit({ type: 'assign', run, worker: 'w', tasks: [0, 1], cpus: 4, why: '' })
    const [batch] = coordinator.state.batches.values()
    const of = { worker: 'w', batch: batch!.id, token: batch!.token }
    const reports = [100, 300].map((durationMs, task) => {
      return { task, outcome: 'passed', durationMs, counts: [1, 0, 0, 0] } as const
    })
    await coordinator.submit({ type: 'report', ...of, reports })
    const how = { exitCode: 0, signal: null, startupMs: 1, wallMs: 1, interrupted: [], timedOut: [], errors: [] }
    await coordinator.submit({ type: 'end', ...of, reason: 'completed', ...how })
    await coordinator.history()

    const open = await coordinator.submitRun({ who: 'x', spec: { ...spec, open: true }, files: [...files, 'd/new'] })
    await coordinator.extendRun({ run: open.id, who: 'x', files: [...files, 'd/new'] })
    const { tasks, knownCount } = coordinator.run(open.id)
    const told = tasks.map(({ file, estimateMs, guessed }) => ({ file, estimateMs, guessed }))
    assert.deepEqual(told.slice(0, 2), [
      { file: 'd/a', estimateMs: 100, guessed: false },
      { file: 'd/b', estimateMs: 300, guessed: false },
    ])
    assert.ok(told[2]!.guessed && told[2]!.estimateMs > 0, 'by its neighbours')
    assert.deepEqual(told.slice(3), told.slice(0, 3))
    assert.equal(knownCount, 4)
  } finally {
    await coordinator[Symbol.asyncDispose]()
    await rm(directory, { recursive: true, force: true })
  }
})
