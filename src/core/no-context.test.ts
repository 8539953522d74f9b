/** A run without a context can't be started by anybody: neither its class nor a worker is blamed, and nothing is tried again. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { advance } from './advance.ts'
import type { Input } from './input.ts'
import { emptyState } from './state.ts'
import { plainSpec } from './transcript.ts'

/** So many runs, each of which fails to start on whatever worker is next. */
function failStarts(spec: object, runs: number) {
  const state = emptyState()
  let nowMs = 1
  const feed = (input: Input) => advance(state, input, (nowMs += 1))
  feed({ type: 'raise-format', format: 3 })
  for (const worker of ['V', 'W']) {
    const capabilities = { os: 'linux', arch: 'x64', cpus: 1, memoryBytes: 1, host: worker, labels: {}, tools: {} }
    feed({ type: 'join', worker, name: worker, version: '1', capabilities, draining: false })
  }
  for (let at = 0; at < runs; at += 1) {
    const run = `R${at}`
    const worker = at % 2 === 0 ? 'V' : 'W'
    const files = ['a', 'b']
    feed({ type: 'submit', run, who: 'x', spec: { ...plainSpec, ...spec }, files, estimates: [null, null] })
    feed({ type: 'assign', run, worker, tasks: [0], cpus: 1, why: 'test' })
    const batch = [...state.batches.values()][0]!
    feed({
      type: 'end',
      worker,
      batch: batch.id,
      token: batch.token,
      reason: 'failed-to-start',
      exitCode: null,
      signal: null,
      message: 'nothing to start',
      startupMs: null,
      wallMs: 1,
      interrupted: [],
      timedOut: [],
      errors: [],
    })
  }
  return state
}

test('a run without a context: its class and its workers are not blamed, and all of it is lost at once', () => {
  const state = failStarts({ framework: 'command', context: '' }, 30)
  assert.equal(state.breakers.notClosed.size, 0)
  for (const run of state.runs.values()) {
    assert.equal(run.byState.lost, 2)
    assert.equal(run.tasks[0]!.state, 'lost')
  }
})

test('a run that has one: what never starts is its class', () => {
  const state = failStarts({ framework: 'command', context: 'kept' }, 6)
  assert.ok(state.breakers.notClosed.size > 0)
})
