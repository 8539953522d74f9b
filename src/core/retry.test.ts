import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { advance } from './advance.ts'
import type { RetryRule } from './entities.ts'
import { machineClass } from './fit.ts'
import { backoffMs, ruleOf } from './retry.ts'
import { emptyState, type State } from './state.ts'
import { plainSpec } from './transcript.ts'

const rule: RetryRule = { max: 9, backoffMs: 100, backoffFactor: 2, backoffMaxMs: 1000, jitter: 0.5, where: 'any' }

test('backoffMs: grows by its factor up to its longest, and jitter only shortens it, by at most its part', () => {
  const whole = { ...rule, jitter: 0 }
  assert.deepEqual(
    [0, 1, 2, 3, 4, 50].map((tries) => backoffMs(whole, tries, 1, 0)),
    [100, 200, 400, 800, 1000, 1000],
  )
  fc.assert(
    fc.property(fc.nat(20), fc.nat(), fc.nat(), (tries, token, index) => {
      const longest = backoffMs(whole, tries, token, index)
      const waitMs = backoffMs(rule, tries, token, index)
      assert.ok(waitMs <= longest && waitMs >= longest / 2)
      assert.equal(waitMs, backoffMs(rule, tries, token, index), 'the same on every coordinator')
    }),
  )
})

test('backoffMs: a thousand tasks of one batch spread over all sixteen steps, about evenly', () => {
  const counts = new Map<number, number>()
  for (let index = 0; index < 1000; index += 1) {
    const waitMs = backoffMs(rule, 0, 7, index)
    counts.set(waitMs, (counts.get(waitMs) ?? 0) + 1)
  }
  assert.equal(counts.size, 16)
  for (const count of counts.values()) assert.ok(count > 30 && count < 100, `${count} of 1000`)
})

function runWith(spec: object, state: State = emptyState()) {
  advance(state, { type: 'raise-format', format: 2 }, 1)
  advance(
    state,
    { type: 'submit', run: 'R', who: 'x', spec: { ...plainSpec, ...spec }, files: ['a'], estimates: [null] },
    1,
  )
  return { state, run: state.runs.get('R')! }
}

test('ruleOf: without a policy, retries and the limit for what is lost hold, at once and anywhere', () => {
  const { state, run } = runWith({ retries: 2 })
  const maxima = (['failed', 'timed-out', 'crashed', 'lost', 'infrastructure'] as const).map(
    (cause) => ruleOf(state, run, cause).max,
  )
  assert.deepEqual(maxima, [2, 2, 2, 3, 3])
  assert.equal(ruleOf(state, run, 'failed').backoffMs, 0)
  assert.equal(ruleOf(state, run, 'failed').where, 'any')
})

test('ruleOf: what the policy says wins, and the longest wait is never shorter than the first', () => {
  const { state, run } = runWith({ retries: 2, retry: { lost: { max: 0, backoffMs: 90_000 } } })
  assert.equal(ruleOf(state, run, 'lost').max, 0)
  assert.equal(ruleOf(state, run, 'lost').backoffMaxMs, 90_000)
  assert.equal(ruleOf(state, run, 'failed').max, 2)
})

test('requeued: many tasks put back at once are few events, with jitter too', () => {
  const state = emptyState()
  const retry = { lost: { max: 3, backoffMs: 1000, jitter: 1, where: 'other-worker' } }
  advance(state, { type: 'raise-format', format: 2 }, 1)
  const files = Array.from({ length: 5000 }, (_, index) => `f${index}`)
  const estimates = files.map(() => null)
  advance(state, { type: 'submit', run: 'R', who: 'x', spec: { ...plainSpec, retry } as never, files, estimates }, 1)
  const capabilities = { os: 'linux', arch: 'x64', cpus: 4, memoryBytes: 1, host: 'h', labels: {}, tools: {} }
  advance(state, { type: 'join', worker: 'W', name: 'W', version: '1', capabilities, draining: false }, 1)
  advance(state, { type: 'assign', run: 'R', worker: 'W', tasks: files.map((_, at) => at), cpus: 4, why: '' }, 1)
  const token = state.lastToken
  advance(state, { type: 'start', worker: 'W', batch: `b${token}`, token, tasks: files.map((_, at) => at) }, 1)
  const events = advance(state, { type: 'leave', worker: 'W', why: 'gone' }, 2)
  assert.ok(events.length <= 2 + 16, `${events.length} events`)
  const [group] = state.runs.get('R')!.groups
  assert.equal(group!.laterCount + group!.again.length, 5000)
})

test('machineClass: system, architecture, CPUs, and the label class', () => {
  const capabilities = { os: 'linux', arch: 'x64', cpus: 4, memoryBytes: 1, host: 'h', labels: {}, tools: {} }
  assert.equal(machineClass(capabilities), 'linux-x64-4')
  assert.equal(machineClass({ ...capabilities, labels: { class: 'big' } }), 'linux-x64-4-big')
})
