/** What the sessions of a leader that is replaced still say. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
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
  const sessions = new WorkerSessions({
    clock,
    state,
    leader: () => ({ epoch: 1, kick: () => undefined, take: (_input, done) => void waiting.push(done) }),
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
  return { sessions, state, heard, say, answer }
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
