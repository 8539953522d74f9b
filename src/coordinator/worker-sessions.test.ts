/** What the sessions of a leader that is replaced still say. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Input } from '../core/input.ts'
import { emptyState } from '../core/state.ts'
import { workerProtocolVersion } from '../protocol/worker-protocol-version.ts'
import { MusterError } from '../protocol/errors.ts'
import { ManualClock } from './fixtures/manual-clock.ts'
import type { Taken } from './leader.ts'
import { WorkerSessions } from './worker-sessions.ts'

const capabilities = { os: 'linux', arch: 'x64', cpus: 2, memoryBytes: 1, host: 'h', labels: {}, tools: {} }

function setUp() {
  const clock = new ManualClock()
  const state = emptyState()
  const waiting: ((taken: Taken) => void)[] = []
  const inputs: Input[] = []
  const sessions = new WorkerSessions({
    clock,
    state,
    leader: () => ({
      epoch: 1,
      kick: () => undefined,
      take: (input, done) => void (inputs.push(input), waiting.push(done)),
    }),
    times: { heartbeatMs: 1000, leaseMs: 10_000 },
    inputOf: (_worker, _message, done) => done(undefined),
    confirmed: () => true,
    onLive: () => undefined,
    log: () => undefined,
  })
  const heard: string[] = []
  const connection = sessions.connect({
    send: (text) => heard.push((JSON.parse(text) as { type: string }).type),
    close: (code) => heard.push(`close ${code}`),
  })
  const hello = { type: 'hello', protocol: workerProtocolVersion, worker: 'w1', name: 'w', version: '1' }
  const say = (message: object) => connection.message(JSON.stringify(message))
  say({ ...hello, capabilities, held: [], draining: false })
  const answer = (taken: Taken) => {
    for (const done of waiting.splice(0)) done(taken)
  }
  return { sessions, state, inputs, heard, say, answer }
}

const gone: Taken = { type: 'unavailable', undecided: true, error: new MusterError('unavailable', 'replaced') }

test('a worker whose report was under way when its leader was replaced stays connected', () => {
  const { sessions, state, heard, say, answer } = setUp()
  state.workers.set('w1', { id: 'w1', batches: new Set() } as never)
  answer({ type: 'ok', events: [], position: 1 })
  say({ type: 'draining', seq: 1, why: 'enough' })
  sessions.abandon()
  answer(gone)
  assert.deepEqual(heard, ['welcome'])
})

test('a worker whose hello was under way when its leader was replaced stays connected', () => {
  const { sessions, heard, answer } = setUp()
  sessions.abandon()
  answer(gone)
  assert.deepEqual(heard, [])
})

test('what a worker says again of its machine is taken as joining again', () => {
  const { state, inputs, heard, say, answer } = setUp()
  state.workers.set('w1', { id: 'w1', name: 'w', version: '1', draining: false, batches: new Set() } as never)
  answer({ type: 'ok', events: [], position: 1 })
  const gpu = { id: '0', vendor: 'nvidia', name: 'T4', memoryBytes: 1 }
  const more = { ...capabilities, gpus: [gpu], attributes: { browsers: ['chromium'] }, speed: 1.5, fingerprint: 'f' }
  say({ type: 'capabilities', capabilities: more })
  const join = { type: 'join', worker: 'w1', name: 'w', version: '1', draining: false }
  assert.deepEqual(inputs.slice(1), [{ ...join, capabilities: more }])
  answer({ type: 'ok', events: [], position: 2 })
  assert.deepEqual(heard, ['welcome'], 'nothing is acknowledged')
})

test('capabilities that make no sense end the conversation', () => {
  const { state, heard, say, answer } = setUp()
  state.workers.set('w1', { id: 'w1', batches: new Set() } as never)
  answer({ type: 'ok', events: [], position: 1 })
  say({ type: 'capabilities', capabilities: { ...capabilities, gpus: [{ id: '' }] } })
  assert.deepEqual(heard, ['welcome', 'close 4400'])
})
