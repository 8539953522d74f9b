import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { fitContention } from './contention.ts'
import { contentionFactor, noContention } from './observation.ts'
import type { Observation } from './observation.ts'
import { noise } from './fixtures/noise.ts'

/** Files that were seen alone and among others, slowed down by (1 + load) ^ exponent. */
function history(exponent: number, files: number, off: number): Observation[][] {
  const random = noise(7)
  return Array.from({ length: files }, (_, file) =>
    [0, 3, 1, 0]
      .map((load, run) => ({
        atMs: run,
        durationMs: 100 * (file + 1) * (1 + load) ** exponent * Math.exp(off * random.normal()),
        speed: 1 + (run % 2),
        load,
        cpus: 2,
        ending: 'passed' as const,
      }))
      .map((one) => ({ ...one, durationMs: one.durationMs / one.speed })),
  )
}

test('fitContention: finds the exponent, whatever the files and machines, and what load is usual', () => {
  const exact = fitContention(history(0.6, 20, 0))
  assert.ok(Math.abs(exact.exponent - 0.6) < 1e-9)
  assert.equal(exact.usualLoad, 0.5)
  assert.ok(Math.abs(fitContention(history(0.6, 200, 0.3)).exponent - 0.6) < 0.1)
  // By hand: (1 + 3) ^ 0.5 beside (1 + 0.5625) ^ 0.5 = 2 / 1.25.
  assert.equal(contentionFactor({ exponent: 0.5, usualLoad: 0.5625 }, 3), 1.6)
})

test('fitContention: outliers hardly move it', () => {
  const files = history(0.5, 100, 0.1)
  for (const [at, list] of files.entries()) if (at % 5 === 0) list[1] = { ...list[1]!, durationMs: 1e7 }
  assert.ok(Math.abs(fitContention(files).exponent - 0.5) < 0.15)
})

test('fitContention: falls back to taking durations as they are', () => {
  assert.deepEqual(fitContention([]), noContention)
  assert.deepEqual(fitContention(history(0.6, 5, 0)), noContention, 'too few pairs')
  assert.deepEqual(fitContention(history(0, 200, 0.3)), noContention, 'load costs nothing here')
  assert.deepEqual(fitContention(history(-0.5, 200, 0.1)), noContention, 'load can not speed anything up')
  const unknown = history(0.6, 100, 0).map((list) => list.map((one) => ({ ...one, load: null })))
  assert.deepEqual(fitContention(unknown), noContention)
  const stopped = history(0.6, 100, 0).map((list) => list.map((one) => ({ ...one, ending: 'timed-out' as const })))
  assert.deepEqual(fitContention(stopped), noContention)
})

test('fitContention: the exponent is within 0 and 1 and the same for twice the durations', () => {
  const lists = fc.array(
    fc.array(
      fc.record({
        atMs: fc.nat(),
        durationMs: fc.double({ min: 1e-3, max: 1e9, noNaN: true }),
        speed: fc.double({ min: 0.1, max: 10, noNaN: true }),
        load: fc.option(fc.double({ min: 0, max: 50, noNaN: true })),
        cpus: fc.constant(1),
        ending: fc.constantFrom('passed' as const, 'timed-out' as const),
      }),
      { maxLength: 6 },
    ),
    { maxLength: 30 },
  )
  fc.assert(
    fc.property(lists, (files) => {
      const { exponent, usualLoad } = fitContention(files)
      assert.ok(exponent >= 0 && exponent <= 1 && usualLoad >= 0)
      const doubled = files.map((list) => list.map((one) => ({ ...one, durationMs: one.durationMs * 2 })))
      assert.ok(Math.abs(fitContention(doubled).exponent - exponent) < 1e-6)
    }),
  )
})
