import assert from 'node:assert/strict'
import { test } from 'node:test'
import { MusterError } from '../protocol/errors.ts'
import { retryOf } from './retry-flag.ts'

test('retryOf: reads causes, waits and places; later flags add to earlier ones', () => {
  assert.deepEqual(retryOf(['lost=5,backoff=2s..1m,where=other-worker', 'crashed=1', 'lost,jitter=0'], undefined), {
    lost: { max: 5, backoffMs: 2000, backoffMaxMs: 60_000, where: 'other-worker', jitter: 0 },
    crashed: { max: 1 },
  })
})

test('retryOf: a flag wins over the configuration key by key; without either there is no policy', () => {
  const configured = { lost: { max: 1, where: 'other-host' as const } }
  assert.deepEqual(retryOf(['lost=2'], configured), { lost: { max: 2, where: 'other-host' } })
  assert.deepEqual(retryOf([], configured), configured)
  assert.equal(retryOf([], undefined), undefined)
})

test('retryOf: all stands for every cause', () => {
  assert.deepEqual(Object.keys(retryOf(['all=2'], undefined)!), [
    'failed',
    'timed-out',
    'lost',
    'crashed',
    'infrastructure',
  ])
})

test('retryOf: says what was expected and what came', () => {
  const cases: readonly (readonly [string, RegExp])[] = [
    ['gone=1', /expected a cause of failed, .* received 'gone'/],
    ['lost=many', /expected max to be a whole number from 0 to 100, received 'many'/],
    ['lost=1,backoff=1m..2s', /expected backoff to be a duration such as 2s/],
    ['lost=1,backoff=5', /expected backoff to be a duration/],
    ['lost=1,where=mars', /expected where to be one of any, other-worker/],
    ['lost=1,jitter=2', /expected jitter to be a number from 0 to 1/],
    ['lost=1,speed=2', /expected max, backoff, factor, jitter, where/],
  ]
  for (const [text, message] of cases) {
    assert.throws(
      () => retryOf([text], undefined),
      (error) => error instanceof MusterError && error.code === 'usage' && message.test(error.message),
      text,
    )
  }
})
