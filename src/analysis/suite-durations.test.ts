import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { Observation } from './observation.ts'
import { SuiteDurations } from './suite-durations.ts'

function observed(durationMs: number, over: Partial<Observation> = {}): Observation {
  return { atMs: 0, durationMs, speed: 1, load: null, cpus: null, ending: 'passed', ...over }
}

function suiteOf(files: Readonly<Record<string, number>>): SuiteDurations {
  const suite = new SuiteDurations()
  for (const [file, ms] of Object.entries(files)) suite.learn(file, observed(ms))
  return suite
}

test('SuiteDurations: a file never seen is taken for its neighbours, the nearer the more', () => {
  const suite = suiteOf({ 'a/x.test.ts': 100, 'a/y.test.ts': 100, 'b/z.e2e.ts': 10_000 })
  assert.equal(suite.robustMs('a/new.test.ts'), null)
  // Means of logarithms to base 10: suite 8/3; suffix (2+2 + 2·8/3)/4 = 7/3; directory and both pull on to 2.
  const suffix = (4 + (2 * 8) / 3) / 4
  const directory = (4 + 2 * suffix) / 4
  const both = (4 + 2 * directory) / 4
  const { ms, basis } = suite.neighbours('a/new.test.ts')!
  assert.ok(Math.abs(ms - 10 ** both) < 1e-6)
  assert.equal(basis, 'directory')
  assert.equal(suite.neighbours('c/new.e2e.ts')!.basis, 'suffix')
  assert.equal(suite.neighbours('c/new.spec.js')!.basis, 'suite')
  assert.ok(suite.neighbours('b/new.e2e.ts')!.ms > suite.neighbours('c/new.e2e.ts')!.ms)
  assert.ok(suite.neighbours('c/new.e2e.ts')!.ms > suite.neighbours('c/new.spec.js')!.ms)
  assert.equal(new SuiteDurations().neighbours('a'), null)
})

test('SuiteDurations: a known file is no neighbour of itself', () => {
  const suite = suiteOf({ 'a/x.ts': 100, 'a/y.ts': 900 })
  assert.ok(Math.abs(suite.neighbours('a/x.ts')!.ms - 900) < 1e-6)
  assert.equal(suiteOf({ 'a/x.ts': 100 }).neighbours('a/x.ts'), null)
})

test('SuiteDurations: a larger file takes longer, where sizes say so', () => {
  const files = Array.from({ length: 60 }, (_, at) => `a/f${at}.ts`)
  const suite = suiteOf(Object.fromEntries(files.map((file, at) => [file, 10 * (at + 1)])))
  suite.learnBytes([...files, 'a/small.ts', 'a/large.ts'], [...files.map((_, at) => 1000 * (at + 1)), 2000, 200_000])
  const small = suite.neighbours('a/small.ts')!
  const large = suite.neighbours('a/large.ts')!
  assert.equal(large.basis, 'size')
  // Durations are proportional to sizes; the slope is 1 pulled towards 0 by 20 of 80.
  assert.ok(Math.abs(Math.log(large.ms / small.ms) / Math.log(100) - 0.75) < 0.01)
  assert.equal(suite.neighbours('a/unknown.ts')!.basis, 'directory')
})

test('SuiteDurations: learning one by one is the same as loading, whatever load is thought to cost', () => {
  const lists = fc.array(fc.array(fc.double({ min: 0.1, max: 1e6, noNaN: true }), { minLength: 1, maxLength: 20 }), {
    minLength: 1,
    maxLength: 6,
  })
  fc.assert(
    fc.property(lists, (files) => {
      const contention = { exponent: 0.4, usualLoad: 1 }
      const learned = new SuiteDurations()
      const loaded = new SuiteDurations(contention)
      for (const [at, list] of files.entries()) {
        const observations = list.map((ms, i) => observed(ms, { load: i % 3 }))
        for (const one of observations) learned.learn(`d/${at}.ts`, one)
        loaded.load(`d/${at}.ts`, observations)
      }
      learned.correctFor(contention)
      for (const at of files.keys()) assert.equal(learned.robustMs(`d/${at}.ts`), loaded.robustMs(`d/${at}.ts`))
      const [one, other] = [learned.neighbours('d/new.ts')!.ms, loaded.neighbours('d/new.ts')!.ms]
      assert.ok(one > 0 && Math.abs(one / other - 1) < 1e-9)
    }),
    { numRuns: 50 },
  )
})
