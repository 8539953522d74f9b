/** Writes that a leader takes, or dies of, as a test says. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Refused, type Input } from '../core/input.ts'
import { plainSpec } from '../core/transcript.ts'
import { MusterError } from '../protocol/errors.ts'
import { ManualClock } from './fixtures/manual-clock.ts'
import { Writes, type Outcome, type Take } from './writes.ts'

const lost = {
  type: 'unavailable',
  undecided: true,
  error: new MusterError('unavailable', 'the leader went away'),
} as const

function setUp(runs: readonly string[] = []) {
  const clock = new ManualClock()
  const writes = new Writes({
    clock,
    waitMs: 10_000,
    reached: (_position, call) => call(),
    has: (run) => runs.includes(run),
  })
  const outcomes: Outcome[] = []
  return { clock, writes, outcomes, submit: (input: Input) => writes.submit(input, (one) => outcomes.push(one)) }
}

const cancel: Input = { type: 'cancel', run: 'r1', who: 'me', why: 'enough', drain: false }

test('a write that may be repeated goes to the next leader when the first one dies of it', () => {
  const { clock, writes, outcomes, submit } = setUp()
  writes.attach((_input, done) => {
    writes.detach()
    done(lost)
  })
  submit(cancel)
  assert.deepEqual(outcomes, [])
  writes.attach((_input, done) => done({ type: 'ok', position: 7, changed: true }))
  clock.advance(1)
  assert.deepEqual(outcomes, [{ type: 'ok', position: 7, changed: true }])
})

test('a write that one leader after the other dies of is not given to all of them', () => {
  const { clock, writes, outcomes, submit } = setUp()
  let leaders = 0
  const dies: Take = (_input, done) => {
    leaders += 1
    writes.detach()
    done(lost)
  }
  writes.attach(dies)
  submit(cancel)
  for (let n = 0; n < 20; n += 1) {
    clock.advance(500)
    writes.attach(dies)
  }
  assert.equal(leaders, 3)
  assert.equal(outcomes.length, 1)
  const [outcome] = outcomes
  assert.ok(outcome?.type === 'unavailable' && outcome.error.hint?.includes('may or may not'))
})

for (const input of [
  {
    type: 'replay',
    run: 'r2',
    letters: ['d1'],
    who: 'me',
    again: false,
    context: 'c',
    estimates: [null],
    startupMs: 0,
  },
  { type: 'discard', letters: ['d1'], who: 'me', why: 'old' },
  { type: 'extend', run: 'r1', who: 'me', files: ['a'], estimates: [null] },
] as Input[]) {
  test(`'${input.type}' is not repeated when nobody knows whether it was taken: a refusal would deny what happened`, () => {
    const { clock, writes, outcomes, submit } = setUp()
    writes.attach((_input, done) => {
      writes.detach()
      done(lost)
    })
    submit(input)
    // The leader before had taken it, so this one would refuse it.
    writes.attach((_input, done) => done({ type: 'refused', error: new Refused('conflict', 'being replayed') }))
    clock.advance(10)
    assert.equal(outcomes.length, 1)
    const [outcome] = outcomes
    assert.ok(outcome?.type === 'unavailable' && outcome.error.hint?.includes('may or may not'))
  })
}

test('a submission that is refused after a leader went away with it counts as taken only if its run is there', () => {
  for (const there of [true, false]) {
    const { clock, writes, outcomes, submit } = setUp(there ? ['r1'] : [])
    writes.attach((_input, done) => {
      writes.detach()
      done(lost)
    })
    submit({ type: 'submit', run: 'r1', who: 'me', spec: plainSpec, files: [], estimates: [] })
    // It may also be a conflict of another kind: what it asks for is not taken before all have been upgraded.
    writes.attach((_input, done) => done({ type: 'refused', error: new Refused('conflict', 'not now') }))
    clock.advance(10)
    assert.deepEqual(
      outcomes.map((outcome) => outcome.type),
      [there ? 'ok' : 'refused'],
    )
  }
})

test('a write that no leader ever answers ends after a bound, and its late answer is nobody’s', () => {
  const { clock, writes, outcomes, submit } = setUp()
  let late: Parameters<Take>[1] | undefined
  writes.attach((_input, done) => {
    late = done
  })
  submit(cancel)
  clock.advance(29_000)
  assert.equal(outcomes.length, 0)
  clock.advance(2000)
  const errors = outcomes.map((one) => (one.type === 'unavailable' ? one.error : undefined))
  assert.equal(errors.length, 1)
  assert.match(errors[0]?.message ?? '', /has not taken it for 30 s/)
  assert.match(errors[0]?.hint ?? '', /may or may not/)
  late?.({ type: 'ok', position: 1, changed: true })
  assert.equal(outcomes.length, 1)
})
