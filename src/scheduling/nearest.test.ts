/** What a worker lacks is empty exactly when it fits, and the nearest is the one that lacks least. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { advance } from '../core/advance.ts'
import type { Capabilities, Gpu, Need } from '../core/entities.ts'
import { fits } from '../core/fit.ts'
import { emptyState } from '../core/state.ts'
import { plainSpec } from '../core/transcript.ts'
import { lacksOf, nearestOf } from './nearest.ts'

const GiB = 2 ** 30

function world(need: Need, machines: readonly Partial<Capabilities>[], labels: Record<string, string> = {}) {
  const state = emptyState()
  advance(state, { type: 'raise-format', format: 3 }, 0)
  machines.forEach((more, at) => {
    const capabilities = {
      os: 'linux',
      arch: 'x64',
      cpus: 2,
      memoryBytes: 4 * GiB,
      host: `h${at}`,
      labels: {},
      tools: {},
      ...more,
    }
    advance(state, { type: 'join', worker: `w${at}`, name: `w${at}`, version: '1', capabilities, draining: false }, 0)
  })
  const spec = { ...plainSpec, labels, needs: [need] }
  advance(state, { type: 'submit', run: 'R', who: 'client:x', spec, files: ['a'], estimates: [null] }, 0)
  const run = state.runs.get('R')!
  return { run, group: run.groups[0]!, workers: [...state.workers.values()] }
}

const gpu = fc.record({
  vendor: fc.constantFrom('nvidia' as const, 'amd' as const),
  memoryBytes: fc.constantFrom(8 * GiB, 16 * GiB, 24 * GiB),
})
const machine = fc.record({
  cpus: fc.integer({ min: 1, max: 8 }),
  memoryBytes: fc.constantFrom(GiB, 8 * GiB),
  labels: fc.constantFrom<Record<string, string>>({}, { zone: 'eu' }),
  resources: fc.constantFrom<Record<string, number>>({}, { phone: 1 }),
  gpus: fc
    .array(gpu, { maxLength: 3 })
    .map((list) => list.map((one, at): Gpu => ({ ...one, id: String(at), name: 'x' }))),
})
const need = fc.record(
  {
    cpus: fc.integer({ min: 1, max: 8 }),
    memoryBytes: fc.constantFrom(2 * GiB, 16 * GiB),
    resources: fc.constantFrom({ phone: 1 }, { phone: 2 }),
    where: fc.constantFrom('label.zone == eu', 'gpu.memory >= 16GiB or cpus >= 6', 'not (os == linux)'),
    gpus: fc.record(
      {
        count: fc.integer({ min: 1, max: 2 }),
        vendor: fc.constantFrom('nvidia', 'amd'),
        memoryBytes: fc.constantFrom(8 * GiB, 24 * GiB),
      },
      { requiredKeys: ['count'] },
    ),
  },
  { requiredKeys: [] },
)

test('lacksOf: nothing exactly when the worker fits; nearestOf: nobody lacks less', () => {
  fc.assert(
    fc.property(need, fc.array(machine, { minLength: 1, maxLength: 4 }), fc.boolean(), (wanted, machines, labelled) => {
      const { run, group, workers } = world(wanted, machines, labelled ? { zone: 'eu' } : {})
      for (const worker of workers)
        assert.equal(lacksOf(run, group.need, worker).length === 0, fits(run, group, worker))
      const { lacks } = nearestOf(run, group.need, workers)!
      for (const worker of workers) assert.ok(lacks.length <= lacksOf(run, group.need, worker).length)
    }),
  )
})

test('lacksOf: cards that are too few, too small, or from somebody else', () => {
  const card = (vendor: Gpu['vendor'], gib: number): Gpu => ({
    id: `${vendor}${gib}`,
    vendor,
    name: 'x',
    memoryBytes: gib * GiB,
  })
  const words = (wanted: Need['gpus'], ...gpus: Gpu[]) => {
    const { run, group, workers } = world({ gpus: wanted! }, [{ gpus }])
    return lacksOf(run, group.need, workers[0]!).map((lack) => `${lack.wanted}: ${lack.found ?? 'none'}`)
  }
  assert.deepEqual(words({ count: 1, memoryBytes: 24 * GiB }), ['gpu.count >= 1: 0', 'gpu.memory >= 24GiB: none'])
  assert.deepEqual(words({ count: 2 }, card('nvidia', 8)), ['gpu.count >= 2: 1'])
  assert.deepEqual(words({ count: 1, vendor: 'amd' }, card('nvidia', 8)), ['gpu.vendor == amd: nvidia'])
  assert.deepEqual(words({ count: 2, memoryBytes: 16 * GiB }, card('nvidia', 8), card('nvidia', 16)), [
    '2 GPUs with gpu.memory >= 16GiB: 8 GiB',
  ])
})

test('nearestOf: of two that lack one thing, the one whose number is nearer', () => {
  const { run, group, workers } = world({ cpus: 8 }, [{ cpus: 2 }, { cpus: 6 }, { cpus: 4 }])
  assert.equal(nearestOf(run, group.need, workers)!.worker.id, 'w1')
  assert.equal(nearestOf(run, group.need, []), undefined)
})
