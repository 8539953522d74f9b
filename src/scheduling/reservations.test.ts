import assert from 'node:assert/strict'
import { test } from 'node:test'
import { advance } from '../core/advance.ts'
import type { Capabilities, Need } from '../core/entities.ts'
import type { Input } from '../core/input.ts'
import { emptyState, type State } from '../core/state.ts'
import { plainSpec } from '../core/transcript.ts'
import { placements } from './fixtures/placing.ts'

const gpu = (id: string) => ({ id, vendor: 'nvidia', name: 'card', memoryBytes: 8 }) as const

function join(worker: string, cpus: number, more: Partial<Capabilities> = {}): Input {
  const plain = { os: 'linux', arch: 'x64', memoryBytes: 100, labels: {}, tools: {} }
  const capabilities = { ...plain, host: worker, cpus, ...more }
  return { type: 'join', worker, name: worker, version: '1', capabilities, draining: false }
}

function submit(run: string, need: Need, count = 1): Input {
  const files = Array.from({ length: count }, (_, at) => `${run}${at}`)
  const spec = { ...plainSpec, needs: [{ ...need, batchMax: 1 }] }
  return { type: 'submit', run, who: 'x', spec, files, estimates: files.map(() => 1) }
}

/** A moment later for each: the first submitted is the first in line. */
function world(...inputs: Input[]): State {
  const state = emptyState()
  for (const input of [{ type: 'raise-format', format: 3 } as const, ...inputs]) advance(state, input, state.atMs + 1)
  return state
}

/** Places all that can be placed; which batch is of which run. */
function placeAll(state: State): string[] {
  const placed: string[] = []
  for (const next of placements({ state, available: () => true }, state.atMs)) {
    advance(state, next, state.atMs)
    placed.push(`${next.run} on ${next.worker}`)
  }
  return placed
}

function endFirstOf(state: State, run: string): void {
  const [id] = state.runs.get(run)!.batches
  const batch = state.batches.get(id!)!
  const base = { worker: batch.worker, batch: batch.id, token: batch.token }
  const reports = batch.tasks.map((task) => ({ task, outcome: 'passed', durationMs: 1, counts: [1, 0, 0, 0] }) as const)
  advance(state, { type: 'report', ...base, reports }, state.atMs + 1)
  const how = { exitCode: 0, signal: null, startupMs: 1, wallMs: 1, interrupted: [], timedOut: [], errors: [] }
  advance(state, { type: 'end', ...base, reason: 'completed', ...how }, state.atMs)
}

test('a run that wants a lock for itself is not passed by for ever by those that share it', () => {
  const shared = { cpus: 1, locks: [{ name: 'db', mode: 'shared' }] } as const
  const state = world(join('W', 9), submit('early', shared, 2))
  assert.equal(placeAll(state).length, 2)
  advance(state, submit('alone', { cpus: 1, locks: [{ name: 'db', mode: 'exclusive' }] }), state.atMs + 1)
  advance(state, submit('late', shared, 5), state.atMs + 1)
  assert.deepEqual(placeAll(state), [])
  endFirstOf(state, 'early')
  assert.deepEqual(placeAll(state), [])
  endFirstOf(state, 'early')
  assert.deepEqual(placeAll(state), ['alone on W'])
  endFirstOf(state, 'alone')
  assert.equal(placeAll(state).length, 5)
})

test('a run that wants two cards is not passed by for ever by those that want one', () => {
  const state = world(join('W', 9, { gpus: [gpu('0'), gpu('1')] }), submit('early', { cpus: 1, gpus: { count: 1 } }, 2))
  assert.equal(placeAll(state).length, 2)
  advance(state, submit('both', { cpus: 1, gpus: { count: 2 } }), state.atMs + 1)
  advance(state, submit('late', { cpus: 1, gpus: { count: 1 } }, 2), state.atMs + 1)
  endFirstOf(state, 'early')
  assert.deepEqual(placeAll(state), [])
  endFirstOf(state, 'early')
  assert.deepEqual(placeAll(state), ['both on W'])
})

test('while cards or licences are waited for, the CPUs beside them are used', () => {
  const state = world(
    join('W', 2, { gpus: [gpu('0')], resources: { licence: 1 } }),
    submit('card', { cpus: 1, gpus: { count: 1 }, resources: { licence: 1 } }, 2),
    submit('licence', { cpus: 1, resources: { licence: 1 } }),
    submit('plain', { cpus: 1 }),
  )
  assert.deepEqual(placeAll(state), ['card on W', 'plain on W'])
})

test('a run that wants the host for itself gets it once it is empty', () => {
  const state = world(join('W', 2), submit('early', { cpus: 1 }, 2))
  assert.equal(placeAll(state).length, 2)
  advance(state, submit('alone', { cpus: 1, exclusive: true }), state.atMs + 1)
  advance(state, submit('late', { cpus: 1 }, 3), state.atMs + 1)
  endFirstOf(state, 'early')
  assert.deepEqual(placeAll(state), [])
  endFirstOf(state, 'early')
  assert.deepEqual(placeAll(state), ['alone on W'])
})

test('of several runs that want whole hosts each has one kept for it, and hosts that none of them needs are used', () => {
  const hosts = ['A', 'B', 'C']
  const state = world(...hosts.map((host) => join(host, 2)), submit('early', { cpus: 1, antiAffinity: 'x' }, 3))
  assert.equal(placeAll(state).length, 3)
  // One CPU of each is busy.
  assert.deepEqual(
    hosts.map((host) => state.workers.get(host)!.cpusUsed),
    [1, 1, 1],
  )
  for (const run of ['first', 'second']) advance(state, submit(run, { cpus: 2 }), state.atMs + 1)
  advance(state, submit('late', { cpus: 1 }, 5), state.atMs + 1)
  assert.deepEqual(placeAll(state), ['late on C'])
  for (let at = 0; at < 3; at += 1) endFirstOf(state, 'early')
  assert.deepEqual(placeAll(state).slice(0, 2).sort(), ['first on A', 'second on B'])
})

test('of a counted lock, a run that waits for something else has no more places kept than it can use', () => {
  const counted = { locks: [{ name: 'db', mode: 'counted', max: 3 }] } as const
  const state = world(
    join('W', 9, { gpus: [gpu('0')] }),
    submit('long', { cpus: 1, gpus: { count: 1 } }),
    submit('card', { cpus: 1, gpus: { count: 1 }, ...counted }),
    submit('late', { cpus: 1, ...counted }, 5),
  )
  // One place stays for the run that waits for the card, so two are left.
  assert.deepEqual(placeAll(state), ['long on W', 'late on W', 'late on W'])
  endFirstOf(state, 'late')
  assert.deepEqual(placeAll(state), ['late on W'])
  endFirstOf(state, 'long')
  assert.deepEqual(placeAll(state), ['card on W'])
})

test('a place of a counted lock is kept for a run that allows fewer holders than those after it', () => {
  const counted = (max: number) => ({ cpus: 1, locks: [{ name: 'db', mode: 'counted', max }] }) as const
  const state = world(join('W', 9), submit('early', counted(5), 3))
  assert.equal(placeAll(state).length, 3)
  advance(state, submit('two', counted(2)), state.atMs + 1)
  advance(state, submit('late', counted(5), 5), state.atMs + 1)
  assert.deepEqual(placeAll(state), [])
  for (let at = 0; at < 2; at += 1) endFirstOf(state, 'early')
  assert.deepEqual(placeAll(state), ['two on W'])
})

test('a host on which a run waits for its own batch is not kept from others', () => {
  const spec = { ...plainSpec, cpus: 1 }
  const state = world(join('W', 2), {
    type: 'submit',
    run: 'own',
    who: 'x',
    spec: { ...spec, needs: [{ batchMax: 1 }] },
    files: ['a', 'b'],
    estimates: [1, 1],
  })
  // It has one batch of a host at a time.
  assert.deepEqual(placeAll(state), ['own on W'])
  advance(state, submit('late', { cpus: 1 }, 2), state.atMs + 1)
  assert.deepEqual(placeAll(state), ['late on W'])
  endFirstOf(state, 'own')
  assert.deepEqual(placeAll(state), ['own on W'])
})

test('a run that wants the whole host leaves the rest of it to others while its own batch is there, and has it kept then', () => {
  const needs = [{ cpus: 1 }, { cpus: 2 }]
  const files = ['small', 'large']
  const own = { ...plainSpec, needs }
  const state = world(join('W', 2))
  advance(state, { type: 'submit', run: 'own', who: 'x', spec: own, files, estimates: [1, 1], kinds: [0, 1] }, 1)
  advance(state, { type: 'assign', run: 'own', worker: 'W', tasks: [0], cpus: 1, why: '' }, 2)
  advance(state, submit('late', { cpus: 1 }, 3), 3)
  assert.deepEqual(placeAll(state), ['late on W'])
  endFirstOf(state, 'own')
  assert.deepEqual(placeAll(state), [], 'now only others are in its way')
  endFirstOf(state, 'late')
  assert.deepEqual(placeAll(state), ['own on W'])
})

test('a lock is used by others while no worker could take who waits for it soon, but not for ever', () => {
  const minute = 60_000
  const locks = [{ name: 'db', mode: 'exclusive' }] as const
  const after = (longMs: number, waitedMs: number): string[] => {
    const spec = { ...plainSpec, needs: [{ cpus: 1, gpus: { count: 1 } }] }
    const long: Input = { type: 'submit', run: 'long', who: 'x', spec, files: ['f'], estimates: [longMs] }
    const state = world(join('W', 9, { gpus: [gpu('0')] }), long)
    assert.deepEqual(placeAll(state), ['long on W'])
    advance(state, submit('card', { cpus: 1, gpus: { count: 1 }, locks }), state.atMs + 1)
    advance(state, submit('late', { cpus: 1, locks }, 2), state.atMs + waitedMs)
    return placeAll(state)
  }
  assert.deepEqual(after(120 * minute, 1), ['late on W'])
  assert.deepEqual(after(120 * minute, 49 * minute), ['late on W'])
  assert.deepEqual(after(120 * minute, 50 * minute), [], 'it has waited for long enough')
  assert.deepEqual(after(20 * minute, 14 * minute), ['late on W'])
  assert.deepEqual(after(20 * minute, 19 * minute), [], 'the card may be free within a minute')
})
