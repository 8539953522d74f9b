/** What is said of a lock when the line to its holder has broken: it is not free before the worker's lease is over. */
import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { plainSpec } from '../core/transcript.ts'
import { Coordinator } from './coordinator.ts'
import { ScriptedWorker } from './fixtures/scripted-worker.ts'

test('Coordinator: a lock that a worker holds which is away is not said to be free before its lease is over', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'muster-away-'))
  const times = { heartbeatMs: 1000, leaseMs: 60_000 }
  const coordinator = await Coordinator.open({ directory, version: '1', history: false, times })
  try {
    const { context: _, ...plain } = plainSpec
    const spec = {
      ...plain,
      needs: [{ locks: [{ name: 'db', mode: 'exclusive' as const }] }],
      noWorkerTimeoutMs: 60_000,
    }
    const [one, other] = ['one', 'other'].map((id) => new ScriptedWorker(coordinator, id)) as [
      ScriptedWorker,
      ScriptedWorker,
    ]
    one.dial()
    const held = await coordinator.submitRun({ who: 'client:ann', spec, files: ['a'] })
    await one.until(() => one.assigned.length > 0)
    other.dial()
    const waiting = await coordinator.submitRun({ who: 'client:ann', spec, files: ['b'] })
    await other.until(() => other.received.length > 0)
    const before = coordinator.why(waiting, 0)
    assert.match(before.words, /waits for lock 'db', held by run \S+ on one for/)
    const brokenMs = Date.now()
    one.hangUp()
    const { words, starts } = coordinator.why(waiting, 0)
    assert.match(words, /held by run \S+; nobody has heard from one for .*unless it is back by then, .* in \d+\.\d s$/)
    assert.ok(starts!.fromMs >= brokenMs + times.leaseMs)
    assert.match(coordinator.why(held, 0).words, /given to one, not begun; nobody has heard from one/)
    one.dial(one.assigned.map(({ batch, token }) => ({ batch, token })))
    await one.until(() => one.received.filter((message) => message.type === 'welcome').length > 1)
    assert.match(coordinator.why(waiting, 0).words, /held by run \S+ on one for/)
  } finally {
    await coordinator.close()
    await rm(directory, { recursive: true, force: true })
  }
})
