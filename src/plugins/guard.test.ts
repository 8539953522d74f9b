import assert from 'node:assert/strict'
import { test } from 'node:test'
import { guarded, prepareGuard, section } from './guard.ts'

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

for (const way of ['inspector', 'script'] as const) {
  test(`section: calls in it return, throw and are counted, and what the host throws is thrown; by ${way}`, async () => {
    await prepareGuard(way)
    const kinds: string[] = []
    const whole = section(() => {
      for (let at = 0; at < 1000; at += 1) kinds.push(guarded(() => at, 5000).type)
      const { type } = guarded(() => {
        throw new Error('oh')
      }, 5000)
      kinds.push(type)
    })
    assert.deepEqual([whole, kinds.length, new Set(kinds)], [true, 1001, new Set(['ok', 'threw'])])
    assert.throws(() => section(() => assert.fail('of the host')), /of the host/)
    assert.equal(guarded(() => 'and on', 5000).type, 'ok')
  })
}

test('section: a call that hangs ends it, and nothing of the host, however long that takes', async () => {
  await prepareGuard()
  for (let at = 0; at < 5; at += 1) {
    let entered = 0
    let left = 0
    const whole = section(() => {
      for (;;) {
        // So much that a busy machine doesn't take it from a call that returns at once.
        guarded(() => (entered === 20 ? catchesAll() : 1), 200)
        entered += 1
        // The host may take its time: three times that of a call.
        const untilMs = performance.now() + (entered === 10 ? 600 : 0)
        while (performance.now() < untilMs);
        left += 1
      }
    })
    assert.deepEqual([whole, entered, left], [false, 20, 20])
    assert.deepEqual(guarded(forever, 5), { type: 'late' }, 'single calls are ended as ever')
  }
})

/** Being ended is nothing that can be caught. */
function catchesAll(): number {
  for (;;)
    try {
      forever()
    } finally {
      forever()
    }
}

test('section: calls that end just when their time is over are ended, or not, and the host never is', async () => {
  await prepareGuard()
  let ended = 0
  for (let at = 0; at < 40; at += 1) {
    const steps = { begun: 0, done: 0 }
    const whole = section(() => {
      for (let call = 0; call < 3; call += 1) {
        steps.begun += 1
        const untilMs = performance.now() + 2 + at / 4
        guarded(() => {
          while (performance.now() < untilMs);
        }, 2)
        steps.done += 1
      }
    })
    if (!whole) ended += 1
    assert.equal(steps.begun - steps.done, whole ? 0 : 1)
  }
  assert.ok(ended > 0)
})

test('section: in a call of it, a host that calls another plugin, or opens a section, has no more time than it', async () => {
  await prepareGuard()
  const found: string[] = []
  const whole = section(() => {
    guarded(() => {
      found.push(guarded(() => 1, 5000).type)
      found.push(String(section(() => found.push('inner'))))
    }, 5000)
    guarded(() => section(() => void guarded(forever, 60_000)), 20)
  })
  assert.deepEqual([whole, found], [false, ['ok', 'inner', 'true']])
})
