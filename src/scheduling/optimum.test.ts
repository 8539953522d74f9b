/**
 * How far the default strategy may be from the best that any schedule could do, on instances so small that all
 * schedules can be tried: up to 8 tasks on up to 3 hosts of speeds 1, 2 and 4, whose durations are known exactly. And how
 * far from what no schedule can be below with more tasks, estimates that are wrong, and processes that cost a start-up.
 * Hosts of several CPUs run as many tasks at a time: they are compared with longest-first over all lanes with perfect
 * knowledge.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { makespanMs } from './fixtures/one-run.ts'

/** In each of these cases. Longest-first to whoever is done first may come to 19/12 on hosts of different speeds (Dobson 1984). */
const worstRatio = 1.2
/** On average over all of them. */
const meanRatio = 1.01

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
  const mean = sum(ratios) / ratios.length
  assert.ok(mean <= meanRatio, `${mean} times the optimum on average`)
})

/** Where no task dominates: all work on all hosts, and one start-up. */
function sharedMs(tasks: readonly number[], speeds: readonly number[], startupMs: number): number {
  return startupMs + sum(tasks) / sum(speeds)
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((all, one) => all + one, 0)
}

/** What a start-up costs, as a part of what a host has to do, and what is lost on average with exact and wrong estimates. */
const costs = [
  { part: 0, exact: 1.003, wrong: 1.003 },
  { part: 0.03, exact: 1.035, wrong: 1.042 },
  { part: 0.3, exact: 1.005, wrong: 1.035 },
]

for (const { part, exact, wrong } of costs)
  test(`history: with start-ups of ${part * 100} % of a host's work, ${exact} times the lower bound on average, and ${wrong} with estimates off by up to a fifth`, () => {
    const task = fc.record({
      ms: fc.integer({ min: 100, max: 2000 }),
      off: fc.double({ min: 0.8, max: 1.2, noNaN: true }),
    })
    const tasks = fc.array(task, { minLength: 120, maxLength: 300, size: 'max' })
    const speeds = fc.array(fc.constantFrom(1, 2, 4), { minLength: 2, maxLength: 8 })
    const ratios: { exact: number; wrong: number }[] = []
    fc.assert(
      fc.property(tasks, speeds, (list, hosts) => {
        const durationsMs = list.map(({ ms }) => ms)
        const estimatesMs = list.map(({ ms, off }) => ms * off)
        const startupMs = (part * sum(durationsMs)) / sum(hosts)
        const boundMs = sharedMs(durationsMs, hosts, startupMs)
        ratios.push({
          exact: makespanMs({ durationsMs, speeds: hosts, startupMs }) / boundMs,
          wrong: makespanMs({ durationsMs, estimatesMs, speeds: hosts, startupMs }) / boundMs,
        })
      }),
      { numRuns: 60, seed: 3 },
    )
    const means = [sum(ratios.map((one) => one.exact)) / 60, sum(ratios.map((one) => one.wrong)) / 60]
    assert.ok(means[0]! <= exact && means[1]! <= wrong, `${means.join(' and ')} times the lower bound`)
  })

/** Each to the lane that would be done with it first. */
function longestFirstMs(tasks: readonly number[], hosts: readonly Host[], startupMs: number): number {
  const lanes = hosts.flatMap(({ cpus, speed }) => Array.from({ length: cpus }, () => ({ speed, ms: 0 })))
  for (const task of tasks.toSorted((a, b) => b - a)) {
    const ends = lanes.map(({ speed, ms }) => ms + task / speed)
    const first = ends.indexOf(Math.min(...ends))
    lanes[first]!.ms = ends[first]!
  }
  return startupMs + Math.max(...lanes.map(({ ms }) => ms))
}

type Host = { readonly cpus: number; readonly speed: number }

/** What a start-up costs, as a part of what a lane has to do, and what is lost on average. */
const laneCosts = [
  { part: 0, exact: 1.005, wrong: 1.01 },
  { part: 0.03, exact: 1.02, wrong: 1.02 },
  { part: 0.3, exact: 1.005, wrong: 1.01 },
]

for (const { part, exact, wrong } of laneCosts)
  test(`history: hosts of up to 8 CPUs, start-ups of ${part * 100} % of a lane's work: ${exact} times longest-first over all lanes on average, and ${wrong} with estimates off by up to a fifth`, () => {
    const task = fc.record({
      // A few long ones among many short ones.
      ms: fc.double({ min: 0, max: 4, noNaN: true }).map((exponent) => Math.round(300 * Math.exp(exponent))),
      off: fc.double({ min: 0.8, max: 1.2, noNaN: true }),
    })
    const tasks = fc.array(task, { minLength: 3, maxLength: 100, size: 'max' })
    const host = fc.record({ cpus: fc.constantFrom(1, 2, 4, 8), speed: fc.constantFrom(1, 1, 2) })
    const fleets = fc.array(host, { minLength: 1, maxLength: 8, size: 'max' })
    const ratios: { exact: number; wrong: number }[] = []
    fc.assert(
      fc.property(tasks, fleets, (list, hosts) => {
        const durationsMs = list.map(({ ms }) => ms)
        const estimatesMs = list.map(({ ms, off }) => ms * off)
        const startupMs = (part * sum(durationsMs)) / sum(hosts.map(({ cpus, speed }) => cpus * speed))
        const bestMs = longestFirstMs(durationsMs, hosts, startupMs)
        const one = {
          durationsMs,
          speeds: hosts.map((each) => each.speed),
          cpus: hosts.map((each) => each.cpus),
          startupMs,
        }
        ratios.push({ exact: makespanMs(one) / bestMs, wrong: makespanMs({ ...one, estimatesMs }) / bestMs })
      }),
      { numRuns: 200, seed: 3 },
    )
    const means = [sum(ratios.map((one) => one.exact)) / 200, sum(ratios.map((one) => one.wrong)) / 200]
    assert.ok(means[0]! <= exact && means[1]! <= wrong, `${means.join(' and ')} times longest-first`)
  })

test('history: no lane of a host is given a second long file while another host has one without work', () => {
  const durationsMs = [3000, 3000, 3000, 3000, 3000, 3000, 1000, 1000, 1000, 1000]
  const endMs = makespanMs({ durationsMs, speeds: [1, 1, 1, 1], cpus: [2, 2, 2, 2], startupMs: 100 })
  assert.ok(endMs <= 4100, `${endMs} ms`)
})
