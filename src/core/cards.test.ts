import assert from 'node:assert/strict'
import { test } from 'node:test'
import { advance } from './advance.ts'
import type { Gpu, GpuNeed } from './entities.ts'
import { grantOf } from './holdings.ts'
import { Refused, type Input } from './input.ts'
import { defaultLimits } from './limits.ts'
import { capture, restore, type SnapshotData } from './snapshot.ts'
import { emptyState, type State } from './state.ts'
import { plainSpec } from './transcript.ts'

const card = (id: string, more: Partial<Gpu> = {}): Gpu => {
  return { id, vendor: 'nvidia', name: 'card', memoryBytes: 24, ...more }
}
const named = (id: string, uuid: string) => card(id, { uuid })
const slice = (id: string, partOf: string) => card(id, { partOf, memoryBytes: 12 })

function join(worker: string, gpus: readonly Gpu[], host = worker): Input {
  const plain = { os: 'linux', arch: 'x64', cpus: 8, memoryBytes: 100, host, labels: {}, tools: {} }
  return { type: 'join', worker, name: worker, version: '1', capabilities: { ...plain, gpus }, draining: false }
}

function submit(gpus: GpuNeed): Input {
  const files = ['a', 'b', 'c']
  const spec = { ...plainSpec, needs: [{ cpus: 1, gpus }] }
  return { type: 'submit', run: 'r', who: 'x', spec, files, estimates: files.map(() => 1) }
}

function world(...inputs: Input[]): State {
  const state = emptyState()
  for (const input of [{ type: 'raise-format', format: 3 } as const, submit({ count: 1 }), ...inputs])
    advance(state, input, 0)
  return state
}

const give = (state: State, task: number, worker: string, gpu: string) =>
  advance(state, { type: 'assign', run: 'r', worker, tasks: [task], cpus: 1, grant: { gpus: [gpu] }, why: '' }, 1)

/** What the next batch would be given, here and after a restart. */
function free(state: State, worker: string): readonly string[] {
  const again = restore(JSON.parse(JSON.stringify(capture(state))) as SnapshotData, defaultLimits)
  assert.deepEqual(again.cards, state.cards)
  return grantOf(again, again.workers.get(worker)!, { gpus: { count: 1 } })!.gpus!
}

function endAll(state: State): void {
  const how = { exitCode: 1, signal: null, startupMs: 1, wallMs: 1, interrupted: [], timedOut: [], errors: [] }
  for (const { worker, id, token } of state.batches.values())
    advance(state, { type: 'end', worker, batch: id, token, reason: 'crashed', ...how }, 2)
  assert.equal(state.cards.size, 0)
}

test('a card that is cut is offered in slices only, whatever it is called', () => {
  for (const whole of [named('0', 'GPU-a'), card('GPU-a'), named('GPU-a', 'GPU-a')]) {
    const state = world(join('w', [whole, slice('MIG-1', 'GPU-a'), named('1', 'GPU-b')]))
    assert.deepEqual(
      state.workers.get('w')!.capabilities.gpus!.map((gpu) => gpu.id),
      ['MIG-1', '1'],
    )
    assert.throws(() => give(state, 0, 'w', whole.id), Refused)
    assert.deepEqual(advance(state, join('w', [whole, slice('MIG-1', 'GPU-a'), named('1', 'GPU-b')]), 1), [])
  }
})

test('a card that is listed twice is one', () => {
  const listed = [named('0', 'GPU-a'), card('1'), named('0', 'GPU-a'), named('2', 'GPU-a'), card('1')]
  const state = world(join('w', listed))
  assert.deepEqual(
    state.workers.get('w')!.capabilities.gpus!.map((gpu) => gpu.id),
    ['0', '1'],
  )
  assert.deepEqual(advance(state, join('w', listed), 1), [])
})

test('where one worker offers a card and another its slices, not both are given', () => {
  const state = world(
    join('v', [named('0', 'GPU-a')], 'h'),
    join('w', [slice('M1', 'GPU-a'), slice('M2', 'GPU-a')], 'h'),
  )
  give(state, 0, 'v', '0')
  assert.throws(() => give(state, 1, 'w', 'M1'), Refused)
  assert.deepEqual(free(state, 'w'), [])
  endAll(state)
  give(state, 1, 'w', 'M1')
  give(state, 2, 'w', 'M2')
  assert.deepEqual(free(state, 'v'), [])
  assert.throws(() => give(state, 0, 'v', '0'), Refused)
  endAll(state)
  assert.deepEqual(free(state, 'v'), ['0'])
})

test('a card that is called otherwise while a batch holds it is not given again, and comes back', () => {
  const state = world(join('w', [named('0', 'GPU-a'), named('1', 'GPU-b')]))
  give(state, 0, 'w', '0')
  advance(state, join('w', [named('GPU-a', 'GPU-a'), named('GPU-b', 'GPU-b')]), 1)
  assert.throws(() => give(state, 1, 'w', 'GPU-a'), Refused)
  assert.deepEqual(free(state, 'w'), ['GPU-b'])
  // It has been cut meanwhile, and the names have changed places.
  advance(state, join('w', [slice('MIG-1', 'GPU-a'), named('0', 'GPU-b')]), 1)
  assert.deepEqual(free(state, 'w'), ['0'])
  endAll(state)
  assert.deepEqual(free(state, 'w'), ['MIG-1'])
})

test('where nobody knows which card is which, none is given while one is held under a name that is gone', () => {
  const state = world(join('w', [card('0'), card('1')]))
  give(state, 0, 'w', '0')
  assert.deepEqual(free(state, 'w'), ['1'])
  advance(state, join('w', [card('x'), card('y')]), 1)
  assert.deepEqual(free(state, 'w'), [])
  endAll(state)
  assert.deepEqual(free(state, 'w'), ['x'])
})

test('a card with a name is not given twice on a host because the one beside it in the batch has none', () => {
  const both = [named('0', 'A'), card('1', { vendor: 'intel' })]
  const state = emptyState()
  for (const input of [{ type: 'raise-format', format: 3 } as const, submit({ count: 2 })]) advance(state, input, 0)
  for (const worker of ['w1', 'w2']) advance(state, join(worker, both, 'h'), 0)
  const grant = { gpus: ['0', '1'] }
  advance(state, { type: 'assign', run: 'r', worker: 'w1', tasks: [0], cpus: 1, grant, why: '' }, 1)
  assert.deepEqual(free(state, 'w1'), [])
  assert.deepEqual(free(state, 'w2'), [])
})
