import assert from 'node:assert/strict'
import { test } from 'node:test'
import { guarded, prepareGuard } from './guard.ts'

function forever(): number {
  for (let at = 0; ; at += 1) if (at < 0) return at
}

for (const way of ['inspector', 'script'] as const) {
  test(`guarded: returns, makes words of what is thrown, and ends what hangs; by ${way}`, async () => {
    await prepareGuard(way)
    assert.deepEqual(
      guarded(() => [1, 2], 5000),
      { type: 'ok', value: [1, 2] },
    )
    assert.deepEqual(
      guarded(() => {
        throw new RangeError('too much')
      }, 5000),
      { type: 'threw', why: 'RangeError: too much' },
    )
    assert.deepEqual(guarded(forever, 10), { type: 'late' })
    const catchesAll = () => {
      try {
        return forever()
      } catch {
        // Being ended is nothing that can be caught.
        return 1
      }
    }
    assert.deepEqual(guarded(catchesAll, 10), { type: 'late' })
    assert.deepEqual(
      guarded(() => 'and on', 5000),
      { type: 'ok', value: 'and on' },
    )
  })

  test(`guarded: what ends one call spares the next, and the loop round it; by ${way}`, async () => {
    await prepareGuard(way)
    let done = 0
    for (let at = 0; at < 200; at += 1) {
      if (at % 50 === 0) assert.equal(guarded(forever, 5).type, 'late')
      assert.equal(guarded(() => (done += 1), 5000).type, 'ok')
    }
    assert.equal(done, 200)
    await new Promise((resolve) => setImmediate(resolve))
  })
}

test('guarded: a message that throws, or is no text, harms nobody', async () => {
  await prepareGuard()
  class Odd extends Error {
    override get message(): string {
      throw new Error('no message')
    }
  }
  assert.equal(
    guarded(() => {
      throw new Odd()
    }, 5000).type,
    'threw',
  )
})
