import assert from 'node:assert/strict'
import { test } from 'node:test'
import { advance } from '../core/advance.ts'
import type { Input } from '../core/input.ts'
import { emptyState, type State } from '../core/state.ts'
import { plainSpec } from '../core/transcript.ts'
import { makespanMs } from './fixtures/one-run.ts'
import { place, placements } from './fixtures/placing.ts'

const view = (state: State) => ({ state, available: () => true })

function join(worker: string, speed: number): Input {
  const plain = { os: 'linux', arch: 'x64', cpus: 1, memoryBytes: 1, labels: {}, tools: {} }
  const capabilities = { ...plain, host: worker, speed }
  return { type: 'join', worker, name: worker, version: '1', capabilities, draining: false }
}

function submitted(estimates: readonly number[], startupMs: number, joins: readonly Input[]): State {
  const state = emptyState()
  const files = estimates.map((_, index) => `f${index}`)
  const spec = { ...plainSpec, startupMs }
  for (const input of joins) advance(state, input, 0)
  advance(state, { type: 'submit', run: 'R', who: 'x', spec, files, estimates }, 0)
  return state
}

/** What every worker is given at once. */
function dealt(state: State, nowMs = 0): Record<string, readonly number[]> {
  const given: Record<string, readonly number[]> = {}
  for (const next of placements(view(state), nowMs)) {
    given[next.worker] = next.tasks
    advance(state, next, nowMs)
  }
  return given
}

function workOf(estimates: readonly number[], tasks: readonly number[] = []): number {
  return tasks.reduce((sum, index) => sum + estimates[index]!, 0)
}

test('a slow worker is given short files, and none that the fast one is done with sooner', () => {
  const estimates = [60_000, 30_000, 1000, 1000, 1000, 1000]
  const state = submitted(estimates, 0, [join('fast', 10), join('slow', 1)])
  const { fast, slow } = dealt(state)
  assert.equal(fast?.[0], 0)
  assert.ok(slow!.every((index) => estimates[index] === 1000))
})

test('a slow worker is left idle while others are at work, and no longer', () => {
  const state = submitted([60_000, 50_000], 0, [join('fast', 10), join('slow', 1)])
  assert.deepEqual(dealt(state), { fast: [0] }, 'the slow one would need 50 s for what is done in 11 s')
  assert.equal(place(view(state), 1000), undefined)
  // It seems to hang, and will for as long again for all that is known.
  assert.equal(place(view(state), 70_000)?.worker, 'slow')
  // It is at work on this no more.
  advance(state, { type: 'leave', worker: 'fast', why: 'x' }, 2000)
  assert.equal(place(view(state), 2000)?.worker, 'slow')
})

test('with very many at work, too', () => {
  const fast = Array.from({ length: 140 }, (_, at) => join(`fast${at}`, 10))
  const state = submitted([...fast.map(() => 60_000), 50_000], 0, [...fast, join('slow', 1)])
  assert.deepEqual(
    Object.keys(dealt(state)).filter((name) => name === 'slow'),
    [],
  )
  assert.equal(state.runs.get('R')!.queuedCount, 1)
})

test('where a start-up costs more than estimates may be off by, each has one process, and nothing is left over', () => {
  const estimates = Array.from({ length: 40 }, (_, index) => 1000 - index * 20)
  const state = submitted(
    estimates,
    5000,
    ['a', 'b', 'c', 'd'].map((name) => join(name, 1)),
  )
  const given = dealt(state)
  assert.equal(Object.values(given).flat().length, estimates.length)
  const works = Object.values(given).map((tasks) => workOf(estimates, tasks))
  assert.ok(Math.max(...works) / Math.min(...works) < 1.08, 'and all of them about the same')
  // Dealt in turn, so that what one file is off by weighs on all alike.
  for (const tasks of Object.values(given)) assert.ok(tasks.some((index) => index < 4))
})

test('where start-ups cost nothing, half is held back', () => {
  const estimates = Array.from({ length: 400 }, () => 1000)
  const state = submitted(
    estimates,
    0,
    ['a', 'b'].map((name) => join(name, 1)),
  )
  for (const tasks of Object.values(dealt(state))) assert.equal(tasks.length, 100)
})

test('one host alone takes everything', () => {
  const state = submitted([3, 2, 1], 0, [join('a', 1)])
  assert.deepEqual(dealt(state), { a: [0, 1, 2] })
})

test('files of which every second one takes twice as long, unknown to anybody, are not dealt so that one has all of those', () => {
  const durationsMs = Array.from({ length: 200 }, (_, index) => (index % 2 === 0 ? 1000 : 2000))
  const estimatesMs = durationsMs.map(() => 1500)
  const speeds = [1, 1, 2, 4]
  const evenMs = durationsMs.reduce((sum, ms) => sum + ms, 0) / 8
  assert.ok(makespanMs({ durationsMs, estimatesMs, speeds }) < 1.03 * evenMs)
  assert.ok(makespanMs({ durationsMs, estimatesMs, speeds, startupMs: 1000 }) < 1.08 * (1000 + evenMs))
})
