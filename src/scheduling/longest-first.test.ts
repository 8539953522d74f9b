import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { advance } from '../core/advance.ts'
import { emptyState, type State } from '../core/state.ts'
import { plainSpec } from '../core/transcript.ts'
import { makespanMs } from './fixtures/one-run.ts'
import { place, placements } from './fixtures/placing.ts'
import { type Deal, shortened } from './longest-first.ts'
import { joinOf } from './made-up.ts'
import { reasonsOf } from './reasons.ts'
import { orderedStrategy, type Strategy } from './strategy.ts'
import { situationOf } from './why.ts'

const view = (state: State) => ({ state, available: () => true })

type Host = { readonly cpus: number; readonly speed: number }

function submitted(hosts: readonly Host[], batches: readonly (readonly number[])[]): State {
  const state = emptyState()
  hosts.forEach(({ cpus, speed }, at) => {
    const machine = { os: 'linux', arch: 'x64', cpus, memoryBytes: 1, host: `h${at}`, labels: {}, tools: {}, speed }
    advance(state, joinOf(`w${at}`, `w${at}`, machine), 0)
  })
  const [estimates = [], ...later] = batches
  const spec = { ...plainSpec, startupMs: 100, open: later.length > 0 }
  const filesOf = (list: readonly number[], name: string) => list.map((_, at) => `${name}${at}`)
  const submit = { type: 'submit', run: 'R', who: 'x', spec, files: filesOf(estimates, 'f'), estimates } as const
  advance(state, submit, 0)
  later.forEach((list, at) =>
    advance(state, { type: 'extend', run: 'R', who: 'x', files: filesOf(list, `g${at}-`), estimates: list }, 0),
  )
  return state
}

function placeAll(state: State, nowMs = 0, strategy?: Strategy) {
  const placed = []
  for (const next of placements(view(state), nowMs, strategy)) {
    advance(state, next, nowMs)
    placed.push(next)
  }
  return placed
}

test('a long file goes to the one fast CPU, also when a slower worker with more CPUs is asked first', () => {
  assert.equal(makespanMs({ durationsMs: [4000], speeds: [1, 4], cpus: [8, 1] }), 1000)
  const durationsMs = [15_317, 4989, 4944, 4924, 2036, 1315, 1080, 806]
  const endMs = makespanMs({ durationsMs, speeds: [1, 1, 4, 1], cpus: [2, 8, 2, 4] })
  assert.ok(endMs < 3830, `${endMs} ms`)
})

test('two workers of two CPUs: long and short files end together', () => {
  const durationsMs = [3000, 3000, 3000, 3000, 3000, 3000, 1000, 1000, 1000, 1000]
  assert.equal(makespanMs({ durationsMs, speeds: [1, 1], cpus: [2, 2], startupMs: 100 }), 6100)
})

test('files that are added to an open run are divided with those before, whatever their order', () => {
  const hosts = [
    { cpus: 2, speed: 1 },
    { cpus: 2, speed: 1 },
  ]
  const state = submitted(hosts, [
    [10, 20],
    [900, 30, 800],
  ])
  // In the queue they stand behind them.
  assert.deepEqual(
    placeAll(state).map(({ tasks }) => tasks.slice(0, 2)),
    [
      [2, 4],
      [3, 1],
    ],
  )
})

test('however hosts and files are, something is placed while nothing is at work, and all at once is the same as one by one', () => {
  const host = fc.record({ cpus: fc.constantFrom(1, 2, 3, 8), speed: fc.constantFrom(0.5, 1, 1.1, 4) })
  const lists = fc.array(fc.array(fc.integer({ min: 1, max: 5000 }), { minLength: 1, maxLength: 30 }), {
    minLength: 1,
    maxLength: 3,
  })
  fc.assert(
    fc.property(fc.array(host, { minLength: 1, maxLength: 6 }), lists, (hosts, estimates) => {
      const [state, other] = [submitted(hosts, estimates), submitted(hosts, estimates)]
      const together = placeAll(state)
      assert.ok(together.length > 0)
      for (const next of together) {
        const one = place(view(other), 0)
        assert.deepEqual(one, next)
        advance(other, one!, 0)
      }
      assert.equal(place(view(other), 0), undefined)
    }),
    { numRuns: 300, seed: 4 },
  )
})

/** Of workers in the order in which they are asked about, the last one is over first. */
function endLast(state: State, nowMs: number): void {
  const last = [...state.batches.values()].at(-1)
  if (last === undefined) return
  const of = { worker: last.worker, batch: last.id, token: last.token }
  const reports = last.tasks.map((task) => ({ task, outcome: 'passed', durationMs: 1, counts: [1, 0, 0, 0] }) as const)
  advance(state, { type: 'report', ...of, reports }, nowMs)
  const how = { exitCode: 0, signal: null, startupMs: 5, wallMs: 1, interrupted: [], timedOut: [], errors: [] }
  advance(state, { type: 'end', ...of, reason: 'completed', ...how }, nowMs)
}

for (const ranks of [false, true])
  test(`who is left idle is known to be, and why: ${ranks ? 'workers are ranked' : 'as they come'}`, () => {
    const byPlace = {
      ranks: (_run: unknown, _group: unknown, workers: readonly unknown[]) => workers.map((_, at) => -at),
    }
    const strategy = orderedStrategy('s', 's', { turn: 'run', ...(ranks ? byPlace : {}) })
    const host = fc.record({ cpus: fc.constantFrom(1, 2, 8), speed: fc.constantFrom(0.1, 1, 4, 16) })
    const estimates = fc.array(fc.integer({ min: 1, max: 5000 }), { minLength: 5, maxLength: 30 })
    let idle = 0
    fc.assert(
      fc.property(fc.array(host, { minLength: 2, maxLength: 5 }), estimates, (hosts, list) => {
        const state = submitted(hosts, [list])
        const run = state.runs.get('R')!
        for (let nowMs = 0; nowMs < 2000; nowMs += 100) {
          placeAll(state, nowMs, strategy)
          if (run.queuedCount > 0) {
            const situation = situationOf(view(state), { strategy, config: undefined }, nowMs)
            const reasons = reasonsOf(situation, run, run.groups[0]!)
            assert.notEqual(reasons.length, 0)
            if (reasons.some(({ type }) => type === 'sooner-elsewhere')) idle += 1
          }
          endLast(state, nowMs)
        }
      }),
      { numRuns: 300, seed: 2 },
    )
    assert.ok(idle > 50, `${idle}`)
  })

test('shortened: without what ends last, unless CPUs would stand idle for it', () => {
  const dealt = (endsMs: readonly number[], lanes: readonly number[], workMs: number): Deal => {
    const tasks = endsMs.map((_, at) => at)
    return { tasks, lanes: [...lanes], endsMs: [...endsMs], lastMs: Math.max(...endsMs), workMs, squares: 0 }
  }
  assert.deepEqual(shortened(dealt([50, 80, 100], [0, 0, 0], 100), 1, 15), [0, 1])
  assert.deepEqual(shortened(dealt([50, 80, 100], [0, 0, 0], 100), 1, 70), [0], 'the longest always stays')
  assert.deepEqual(shortened(dealt([50, 80, 100], [0, 1, 1], 150), 2, 70), [0, 1, 2], 'so few are not divided')
  const even = Array.from({ length: 20 }, (_, at) => 10 * (1 + Math.floor(at / 2)))
  const lanes = even.map((_, at) => at % 2)
  assert.equal(shortened(dealt(even, lanes, 200), 2, 50).length, 10)
  const uneven = [...even.slice(0, -2), 97, 100]
  assert.equal(shortened(dealt(uneven, lanes, 197), 2, 2).length, 20)
})
