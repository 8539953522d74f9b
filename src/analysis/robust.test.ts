import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { noContention, referenceMs } from './observation.ts'
import type { Contention, Observation } from './observation.ts'
import { robustMs, robustOf, trimmedMean } from './robust.ts'

function observed(durationMs: number, over: Partial<Observation> = {}): Observation {
  return { atMs: 0, durationMs, speed: 1, load: null, cpus: null, ending: 'passed', ...over }
}

const near = (actual: number | null, expected: number) =>
  assert.ok(
    actual !== null && Math.abs(actual - expected) < 1e-9 * Math.max(1, expected),
    `${actual} is not ${expected}`,
  )
const even = (value: number, censored = false) => ({ value, weight: 1, censored })

describe('trimmedMean', () => {
  test('is the mean of the middle third of what was seen', () => {
    assert.equal(trimmedMean([]), null)
    near(trimmedMean([even(7)]), 7)
    near(trimmedMean([even(10), even(20)]), 15)
    near(trimmedMean([even(900), even(10), even(20)]), 20)
    // Six: the middle third is the third and the fourth of them.
    near(trimmedMean([1, 2, 30, 40, 500, 600].map((value) => even(value))), 35)
    // Four: a sixth of the mass from each of the two in the middle, whole.
    near(trimmedMean([0, 10, 30, 1e9].map((value) => even(value))), 20)
  })

  test('what was stopped at a limit is at least so long', () => {
    // Ended at 10 and 20, cut off at 20: a third is over by 10, two thirds by 20.
    near(trimmedMean([even(10), even(20), even(20, true)]), 20)
    // Cut off at 15, the rest of the mass lies with the one at 30: S(10) = 2/3, S(30) = 0.
    near(trimmedMean([even(10), even(15, true), even(30)]), 30)
    // All cut off: at least the longest.
    near(trimmedMean([even(50, true), even(60, true)]), 60)
    // A file that mostly runs into its limit is not taken for the two times it didn't.
    near(trimmedMean([even(5), even(60, true), even(60, true), even(60, true)]), 60)
    // As exact, the same values give less.
    near(trimmedMean([even(10), even(15), even(30)]), 15)
  })
})

describe('robustMs', () => {
  test('halves the weight every three observations', () => {
    // Weights 0.7937 and 1: the older ends at 0.44249 of the mass, so it has 0.32748 of the middle third.
    const share = (0.5 ** (1 / 3) / (1 + 0.5 ** (1 / 3)) - 1 / 3) * 3
    near(robustOf([40, 60]), 40 * share + 60 * (1 - share))
    near(robustMs([observed(40), observed(60)], noContention), 40 * share + 60 * (1 - share))
  })

  test('a third that is wrong by a factor of a thousand does not move it far, a lasting change does', () => {
    const outliers = [100, 101, 99_000, 100, 99, 98_000, 100, 101, 99, 97_000, 100, 100]
    assert.ok(Math.abs(robustOf(outliers)! - 100) < 2)
    const changed = [100, 100, 100, 100, 100, 100, 100, 300, 300, 300, 300, 300]
    assert.equal(robustOf(changed), 300)
  })

  test('is in milliseconds of the reference machine at the usual load', () => {
    const contention: Contention = { exponent: 0.5, usualLoad: 0 }
    near(referenceMs(observed(100, { speed: 2 }), noContention), 200)
    // Three others per CPU: (1 + 3) ^ 0.5 = 2 times as long as alone.
    near(referenceMs(observed(100, { load: 3 }), contention), 50)
    near(referenceMs(observed(100, { load: null }), contention), 100)
    near(referenceMs(observed(100, { load: 0 }), { exponent: 0.5, usualLoad: 3 }), 200)
    const machines = [observed(100, { speed: 1 }), observed(50, { speed: 2 }), observed(400, { speed: 0.25 })]
    near(robustMs(machines, noContention), 100)
  })
})

const observations = fc.array(
  fc.record({
    atMs: fc.nat(),
    // None so short that halves and doubles are rounded.
    durationMs: fc.double({ min: 0, max: 1e9, noNaN: true }).map((ms) => (ms < 1e-9 ? 0 : ms)),
    speed: fc.double({ min: 0.1, max: 10, noNaN: true }),
    load: fc.option(fc.double({ min: 0, max: 50, noNaN: true })),
    cpus: fc.option(fc.integer({ min: 1, max: 64 })),
    ending: fc.constantFrom('passed' as const, 'failed' as const, 'timed-out' as const),
  }),
  { minLength: 1, maxLength: 20 },
)
const contentions = fc.record({
  exponent: fc.double({ min: 0, max: 1, noNaN: true }),
  usualLoad: fc.double({ min: 0, max: 50, noNaN: true }),
})

describe('properties', () => {
  test('an estimate is finite, not negative, and within what was seen', () => {
    fc.assert(
      fc.property(observations, contentions, (list, contention) => {
        const values = list.map((one) => referenceMs(one, contention))
        const estimate = robustMs(list, contention)!
        assert.ok(Number.isFinite(estimate) && estimate >= Math.min(...values) && estimate <= Math.max(...values))
      }),
    )
  })

  test('twice as long throughout is twice the estimate', () => {
    fc.assert(
      fc.property(observations, contentions, (list, contention) => {
        const doubled = list.map((one) => ({ ...one, durationMs: one.durationMs * 2 }))
        near(robustMs(doubled, contention), robustMs(list, contention)! * 2)
      }),
    )
  })

  test('one longer observation never makes it shorter', () => {
    fc.assert(
      fc.property(observations, fc.nat(), fc.double({ min: 1, max: 1e3, noNaN: true }), (list, at, factor) => {
        const exact = list.map((one) => ({ ...one, ending: 'passed' as const }))
        const chosen = at % exact.length
        const longer = exact.map((one, i) => (i === chosen ? { ...one, durationMs: one.durationMs * factor } : one))
        const before = robustMs(exact, noContention)!
        assert.ok(robustMs(longer, noContention)! >= before * (1 - 1e-9))
      }),
    )
  })

  test('of equal weights, the order is of no account', () => {
    const items = fc.array(
      fc.record({
        value: fc.double({ min: 0, max: 1e6, noNaN: true }),
        weight: fc.constant(1),
        censored: fc.boolean(),
      }),
      { minLength: 1, maxLength: 20 },
    )
    fc.assert(
      fc.property(items, fc.nat(), (list, turn) => {
        const at = turn % list.length
        const turned = [...list.slice(at), ...list.slice(0, at)].reverse()
        assert.equal(trimmedMean(turned), trimmedMean(list))
      }),
    )
  })
})
