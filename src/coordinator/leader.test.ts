/** The leader loop by itself, with a log that answers as a test says. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Input } from '../core/input.ts'
import { defaultLimits } from '../core/limits.ts'
import { emptyState } from '../core/state.ts'
import { plainSpec } from '../core/transcript.ts'
import { ManualClock } from './fixtures/manual-clock.ts'
import { Leader } from './leader.ts'

test('a leader that is replaced while the log was in trouble has none any more', async () => {
  const told: (string | undefined)[] = []
  const troubled = Promise.withResolvers<void>()
  const leader = new Leader({
    state: emptyState(defaultLimits),
    epoch: 1,
    position: 0,
    append: (_epoch, _position, _bytes, done) => done({ type: 'unknown', why: 'no answer', code: 'log_failed' }),
    available: () => true,
    onCommitted: () => undefined,
    onDeposed: () => undefined,
    onFatal: (error) => assert.fail(String(error)),
    onHealth: (trouble) => {
      told.push(trouble)
      if (trouble !== undefined) troubled.resolve()
    },
  })
  leader.take({ type: 'lead', epoch: 1, owner: 'c-1/1', version: '0' }, () => undefined)
  await troubled.promise
  leader.abandon()
  assert.equal(told.at(-1), undefined)
  assert.equal(told.length, 2)
})

test('everybody who asked a leader to hold hears when it does, and it goes on once the last has let go', async () => {
  const answers: (() => void)[] = []
  const leader = new Leader({
    state: emptyState(defaultLimits),
    epoch: 1,
    position: 0,
    append: (_epoch, _position, _bytes, done) => void answers.push(() => done({ type: 'ok' })),
    available: () => true,
    onCommitted: () => undefined,
    onDeposed: () => undefined,
    onFatal: (error) => assert.fail(String(error)),
    onHealth: () => undefined,
  })
  const lead = leader.submit({ type: 'lead', epoch: 1, owner: 'c-1/1', version: '0' })
  await Promise.resolve()
  const held: string[] = []
  leader.hold(() => held.push('transfer'))
  leader.hold(() => held.push('drain'))
  answers.shift()!()
  await lead
  assert.deepEqual(held, ['transfer', 'drain'])
  void leader.submit({ type: 'lead', epoch: 1, owner: 'c-1/1', version: '0' })
  leader.release()
  await new Promise(setImmediate)
  assert.equal(answers.length, 0)
  leader.release()
  await new Promise(setImmediate)
  assert.equal(answers.length, 1)
})

test('a leader refuses what only a newer member knows, and goes on', async () => {
  const leader = new Leader({
    state: emptyState(defaultLimits),
    epoch: 1,
    position: 0,
    append: (_epoch, _position, _bytes, done) => done({ type: 'ok' }),
    available: () => true,
    onCommitted: () => undefined,
    onDeposed: () => undefined,
    onFatal: (error) => assert.fail(String(error)),
    onHealth: () => undefined,
  })
  await assert.rejects(leader.submit({ type: 'what comes next' } as never), { code: 'request_invalid' })
  await leader.submit({ type: 'lead', epoch: 1, owner: 'c-1/1', version: '0' })
})

test('an entry takes so much and no more, however much there is to take on and to hand out', async () => {
  const count = 2600
  const entries: { inputs: number; assigned: number }[] = []
  const all = Promise.withResolvers<void>()
  const leader = new Leader({
    state: emptyState(defaultLimits),
    epoch: 1,
    position: 0,
    append: (_epoch, _position, _bytes, done) => setImmediate(() => done({ type: 'ok' })),
    available: () => true,
    onCommitted: ({ events, inputs = 0 }) => {
      entries.push({ inputs, assigned: events.filter((event) => event.type === 'batch.assigned').length })
      if (entries.reduce((sum, entry) => sum + entry.assigned, 0) === count) all.resolve()
    },
    onDeposed: () => undefined,
    onFatal: (error) => assert.fail(String(error)),
    onHealth: () => undefined,
  })
  const capabilities = { os: 'linux', arch: 'x64', cpus: 1, memoryBytes: 1, host: 'h', labels: {}, tools: {} }
  const joins = Array.from({ length: count }, (_, at) =>
    leader.submit({ type: 'join', worker: `w${at}`, name: '', version: '', capabilities, draining: false }),
  )
  await Promise.all(joins)
  assert.deepEqual(
    entries.map((entry) => entry.inputs),
    [1000, 1000, 600],
  )
  const files = Array.from({ length: count }, (_, at) => `${at}`)
  await leader.submit({ type: 'submit', run: 'r', who: '', spec: plainSpec, files, estimates: files.map(() => null) })
  await all.promise
  await leader.stop()
  const assigned = entries.map((entry) => entry.assigned).filter((placed) => placed > 0)
  assert.deepEqual(assigned, [500, 500, 500, 500, 500, 100])
})

test('a worker that was left idle for a sooner end is given the file when that end does not come, though nothing happens', () => {
  const clock = new ManualClock()
  const state = emptyState(defaultLimits)
  const assigned: { readonly atMs: number; readonly worker: string }[] = []
  const leader = new Leader({
    clock,
    state,
    epoch: 1,
    position: 0,
    append: (_epoch, _position, _bytes, done) => done({ type: 'ok' }),
    available: () => true,
    onCommitted: ({ events }) => {
      for (const event of events)
        if (event.type === 'batch.assigned') assigned.push({ atMs: clock.nowMs, worker: event.worker })
    },
    onDeposed: () => undefined,
    onFatal: (error) => assert.fail(String(error)),
    onHealth: () => undefined,
  })
  const take = (input: Input) => leader.take(input, () => undefined)
  for (const [worker, speed] of [
    ['fast', 4],
    ['slow', 1],
  ] as const) {
    const capabilities = {
      os: 'linux',
      arch: 'x64',
      cpus: 1,
      memoryBytes: 1,
      host: worker,
      labels: {},
      tools: {},
      speed,
    }
    take({ type: 'join', worker, name: '', version: '', capabilities, draining: false })
  }
  const spec = { ...plainSpec, startupMs: 0 }
  take({ type: 'submit', run: 'r', who: '', spec, files: ['a', 'b'], estimates: [60_000, 60_000] })
  clock.advance(14_000)
  assert.deepEqual(
    assigned.map((one) => one.worker),
    ['fast'],
  )
  // The fast one hangs and says nothing.
  clock.advance(120_000)
  assert.deepEqual(
    assigned.map((one) => one.worker),
    ['fast', 'slow'],
  )
  leader.abandon()
})
