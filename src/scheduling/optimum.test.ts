/**
 * How far the default strategy may be from the best that any schedule could do, on instances so small that all
 * schedules can be tried: up to 8 tasks on up to 3 hosts of speeds 1, 2 and 4, whose durations are known exactly.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { makespanMs } from './fixtures/one-run.ts'

/**
 * In every case. Longest-first to whoever is done first may come to 19/12 on hosts of different speeds (Dobson 1984), and
 * this one decides only what begins now.
 */
const worstRatio = 1.5
/** On average over all of them. */
const meanRatio = 1.03

/** Every task to every host, depth first, what can't become better left out. */
function optimumMs(tasks: readonly number[], speeds: readonly number[]): number {
  const ends = speeds.map(() => 0)
  let best = Infinity
  const sorted = tasks.toSorted((a, b) => b - a)
  const place = (at: number): void => {
    if (at === sorted.length) {
      best = Math.min(best, Math.max(...ends))
      return
    }
    for (let host = 0; host < ends.length; host += 1) {
      const before = ends[host]!
      ends[host] = before + sorted[at]! / speeds[host]!
      if (ends[host]! < best) place(at + 1)
      ends[host] = before
    }
  }
  place(0)
  return best
}

test(`history: no more than ${worstRatio} times the exhaustive optimum on small instances, ${meanRatio} times on average`, () => {
  const ratios: number[] = []
  const durations = fc.array(fc.integer({ min: 1, max: 1000 }), { minLength: 1, maxLength: 8 })
  const speeds = fc.array(fc.constantFrom(1, 2, 4), { minLength: 1, maxLength: 3 })
  fc.assert(
    fc.property(durations, speeds, (tasks, hosts) => {
      const ratio = makespanMs({ durationsMs: tasks, speeds: hosts }) / optimumMs(tasks, hosts)
      ratios.push(ratio)
      assert.ok(ratio >= 1 - 1e-9, 'nothing is better than the optimum')
      assert.ok(ratio <= worstRatio, `${ratio} times the optimum`)
    }),
    { numRuns: 500, seed: 3 },
  )
  const mean = ratios.reduce((sum, ratio) => sum + ratio, 0) / ratios.length
  assert.ok(mean <= meanRatio, `${mean} times the optimum on average`)
})
