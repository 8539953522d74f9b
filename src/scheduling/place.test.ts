import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { advance, apply } from '../core/advance.ts'
import type { RetryPolicy } from '../core/entities.ts'
import type { Input } from '../core/input.ts'
import { nextDueMs } from '../core/due.ts'
import { emptyState, type State } from '../core/state.ts'
import { plainSpec } from '../core/transcript.ts'
import { place, placements } from './fixtures/placing.ts'

function join(worker: string, more: { host?: string; cpus?: number; speed?: number } = {}): Input {
  const { host = worker, cpus = 1, speed = 1 } = more
  const capabilities = { os: 'linux', arch: 'x64', cpus, memoryBytes: 1, host, labels: {}, tools: {}, speed }
  return { type: 'join', worker, name: worker, version: '1', capabilities, draining: false }
}

/** One file that has just failed on W under this policy. */
function failedOnce(retry: RetryPolicy, others: readonly Input[] = []): State {
  const state = emptyState()
  const spec = { ...plainSpec, retries: 3, retry }
  const inputs: Input[] = [
    { type: 'raise-format', format: 2 },
    { type: 'submit', run: 'R', who: 'x', spec, files: ['a'], estimates: [null] },
    join('W'),
    { type: 'assign', run: 'R', worker: 'W', tasks: [0], cpus: 1, why: '' },
    ...others,
  ]
  for (const input of inputs) advance(state, input, 0)
  const base = { worker: 'W', batch: 'b1', token: 1 } as const
  const reports = [{ task: 0, outcome: 'failed', durationMs: 1, counts: [0, 1, 0, 0] }] as const
  advance(state, { type: 'report', ...base, reports }, 0)
  const nothing = { exitCode: 0, signal: null, startupMs: 1, wallMs: 1, interrupted: [], timedOut: [], errors: [] }
  advance(state, { type: 'end', ...base, reason: 'completed', ...nothing }, 0)
  return state
}

const at = (state: State, nowMs: number) => place({ state, available: () => true }, nowMs)

test('place: nothing before its time, and the moment is known beforehand', () => {
  const state = failedOnce({ failed: { backoffMs: 500, jitter: 0 } })
  assert.equal(at(state, 499), undefined)
  assert.equal(nextDueMs(state, 0), 500)
  assert.equal(at(state, 500)?.worker, 'W')
})

test('place: a task runs elsewhere, and waits for elsewhere while that is busy', () => {
  const state = failedOnce({ failed: { where: 'other-worker' } }, [
    join('V'),
    { type: 'submit', run: 'S', who: 'x', spec: plainSpec, files: ['s'], estimates: [null] },
    { type: 'assign', run: 'S', worker: 'V', tasks: [0], cpus: 1, why: '' },
  ])
  assert.equal(at(state, 1), undefined)
  assert.equal(at(state, 3_600_000), undefined)
  advance(state, { type: 'leave', worker: 'V', why: 'gone' }, 2)
  advance(state, join('V'), 3)
  assert.deepEqual([at(state, 4)?.run, at(state, 4)?.worker], ['R', 'V'])
})

test('place: with nothing elsewhere it waits for a bounded time, then runs anyway and says so', () => {
  const state = failedOnce({ failed: { where: 'other-host' } }, [join('V', { host: 'W' })])
  const { avoidWaitMs } = state.limits
  assert.equal(at(state, avoidWaitMs - 1), undefined)
  assert.equal(nextDueMs(state, 1), avoidWaitMs)
  const assign = at(state, avoidWaitMs)
  assert.ok(assign)
  assert.match(assign.why, /it should run elsewhere, but no other worker that fits came in time/)
})

test('place: another class of machine is one with other CPUs', () => {
  const state = failedOnce({ failed: { where: 'other-class' } }, [join('V'), join('U', { cpus: 8 })])
  assert.equal(at(state, 1)?.worker, 'U')
})

test('place: work that nobody keeps away still goes to the worker that a task avoids', () => {
  const state = failedOnce({ failed: { where: 'other-worker' } })
  advance(state, { type: 'submit', run: 'S', who: 'x', spec: plainSpec, files: ['s'], estimates: [null] }, 1)
  assert.deepEqual([at(state, 2)?.run, at(state, 2)?.worker], ['S', 'W'])
})

test('place: a worker that is being recycled takes nothing until it has been, or for too long', () => {
  const state = failedOnce({})
  apply(state, { type: 'worker.recycling', worker: 'W', id: 1, why: '', untilMs: 900 }, 0)
  assert.equal(at(state, 899), undefined)
  assert.equal(nextDueMs(state, 10), 900)
  assert.equal(at(state, 900)?.worker, 'W')
  advance(state, { type: 'recycled', worker: 'W', id: 1 }, 20)
  assert.equal(at(state, 21)?.worker, 'W')
})

test('placements: all at once is the same as one by one, whoever has which CPUs and whatever the runs ask for', () => {
  const run = fc.record({
    files: fc.nat({ max: 30 }),
    cpus: fc.option(fc.integer({ min: 1, max: 4 }), { nil: undefined }),
    workersMax: fc.option(fc.integer({ min: 1, max: 3 }), { nil: undefined }),
    priority: fc.nat({ max: 2 }),
    label: fc.constantFrom('none', 'a', 'b'),
  })
  const worker = fc.record({ cpus: fc.integer({ min: 1, max: 4 }), label: fc.constantFrom('a', 'b') })
  const property = fc.property(fc.array(run, { maxLength: 5 }), fc.array(worker, { maxLength: 8 }), (runs, workers) => {
    const make = (): State => {
      const state = emptyState()
      for (const [at, { cpus, label }] of workers.entries()) {
        const capabilities = { os: 'l', arch: 'x', cpus, memoryBytes: 1, host: `${at}`, labels: { label }, tools: {} }
        advance(state, { type: 'join', worker: `${at}`, name: '', version: '', capabilities, draining: false }, 0)
      }
      for (const [at, { files, label, cpus, workersMax, priority }] of runs.entries()) {
        const names = Array.from({ length: files }, (_, file) => `${file}`)
        const labels: Record<string, string> = label === 'none' ? {} : { label }
        const spec = {
          ...plainSpec,
          priority,
          labels,
          ...(cpus === undefined ? {} : { cpus }),
          ...(workersMax === undefined ? {} : { workersMax }),
        }
        const estimates = names.map((_, file) => (file % 3 === 0 ? null : file * 100))
        advance(state, { type: 'submit', run: `${at}`, who: '', spec, files: names, estimates }, at)
      }
      return state
    }
    const [one, other] = [make(), make()]
    const singly: Input[] = []
    for (let next = at(one, 100); next; next = at(one, 100)) {
      singly.push(next)
      advance(one, next, 100)
    }
    const together: Input[] = []
    for (const next of placements({ state: other, available: () => true }, 100)) {
      together.push(next)
      advance(other, next, 100)
    }
    assert.deepEqual(together, singly)
  })
  fc.assert(property, { numRuns: 300 })
})

test('placements: what is spread goes to each host in turn, however many it has room for', () => {
  for (const [cpus, files, expected] of [
    [[4, 4], 4, [2, 2]],
    [[1, 4], 4, [1, 3]],
    [[8, 2, 4], 9, [4, 2, 3]],
    [[1, 1], 5, [1, 1]],
  ] as const) {
    const state = emptyState()
    advance(state, { type: 'raise-format', format: 3 }, 0)
    for (const [at, count] of cpus.entries()) advance(state, join(`${at}`, { cpus: count }), 0)
    const spec = { ...plainSpec, needs: [{ cpus: 1, spread: 'even', batchMax: 1 }] }
    const names = Array.from({ length: files }, (_, file) => `${file}`)
    advance(state, { type: 'submit', run: 'R', who: '', spec, files: names, estimates: names.map(() => 100) }, 0)
    for (const next of placements({ state, available: () => true }, 100)) advance(state, next, 100)
    assert.deepEqual(
      cpus.map((_, at) => state.workers.get(`${at}`)!.batches.size),
      expected,
    )
  }
})

test('placements: what is spread goes on to a host that has some of it, where those that have less are left idle', () => {
  const state = emptyState()
  advance(state, { type: 'raise-format', format: 3 }, 0)
  advance(state, join('fast', { cpus: 3, speed: 4, host: 'a' }), 0)
  advance(state, join('slow', { cpus: 1, speed: 1, host: 'b' }), 0)
  const spec = { ...plainSpec, needs: [{ cpus: 1, spread: 'even', batchMax: 1 }] }
  advance(state, { type: 'submit', run: 'R', who: '', spec, files: ['x', 'y'], estimates: [400, 200] }, 0)
  const workers: string[] = []
  for (const next of placements({ state, available: () => true }, 100)) {
    advance(state, next, 100)
    workers.push(next.worker)
  }
  assert.deepEqual(workers, ['fast', 'fast'])
})

test('placements: thousands of workers begin at once, without looking at all of them for each', () => {
  const state = emptyState()
  const count = 5000
  for (let worker = 0; worker < count; worker += 1) advance(state, join(`w${worker}`), 0)
  const files = Array.from({ length: 3 * count }, (_, file) => `${file}`)
  advance(state, { type: 'submit', run: 'R', who: 'x', spec: plainSpec, files, estimates: files.map(() => null) }, 0)
  let asked = 0
  const available = () => {
    asked += 1
    return true
  }
  let placed = 0
  for (const next of placements({ state, available }, 1)) {
    advance(state, next, 1)
    placed += 1
  }
  assert.equal(placed, count)
  assert.ok(asked <= 3 * count, `${asked} looks at workers`)
})
