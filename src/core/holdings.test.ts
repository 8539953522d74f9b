import assert from 'node:assert/strict'
import { test } from 'node:test'
import { advance } from './advance.ts'
import type { Capabilities, Gpu, Grant, Need } from './entities.ts'
import { cpusOf, quotaInTheWay, scopesOf, slotsOn } from './holdings.ts'
import { Refused, type Input } from './input.ts'
import { defaultLimits } from './limits.ts'
import type { ShareRule } from './shares.ts'
import { capture, restore, type SnapshotData } from './snapshot.ts'
import { spentHoursMs } from './spent.ts'
import { emptyState, type Run, type State } from './state.ts'
import { plainSpec } from './transcript.ts'

const card = (id: string, memoryBytes = 24): Gpu => ({ id, vendor: 'nvidia', name: 'card', memoryBytes })

function join(worker: string, more: Partial<Capabilities> = {}): Input {
  const plain = { os: 'linux', arch: 'x64', cpus: 8, memoryBytes: 100, host: worker, labels: {}, tools: {} }
  return { type: 'join', worker, name: worker, version: '1', capabilities: { ...plain, ...more }, draining: false }
}

function submit(run: string, need?: Need, files: readonly string[] = ['a']): Input {
  const spec = { ...plainSpec, ...(need === undefined ? {} : { needs: [need] }) }
  return { type: 'submit', run, who: 'client:ann', spec, files, estimates: files.map(() => null) }
}

function assign(run: string, worker: string, task: number, cpus: number, grant?: Grant): Input {
  return { type: 'assign', run, worker, tasks: [task], cpus, ...(grant ? { grant } : {}), why: '' }
}

const end = (state: State, batch: string): Input => {
  const { worker, token } = state.batches.get(batch)!
  const how = { exitCode: 1, signal: null, startupMs: 1, wallMs: 1, interrupted: [], timedOut: [], errors: [] }
  return { type: 'end', worker, batch, token, reason: 'crashed', ...how }
}

function world(rules: Readonly<Record<string, ShareRule>>, ...inputs: Input[]): State {
  const state = emptyState(defaultLimits, new Map(Object.entries(rules)))
  for (const input of [{ type: 'raise-format', format: 3 } as const, ...inputs]) advance(state, input, 0)
  return state
}

test('a card is given once, however many workers of its host offer it', () => {
  const gpus = [card('0')]
  const need = { cpus: 1, gpus: { count: 1 } }
  const state = world(
    {},
    join('w1', { host: 'h', gpus }),
    join('w2', { host: 'h', gpus }),
    submit('r', need, ['a', 'b']),
  )
  advance(state, assign('r', 'w1', 0, 1, { gpus: ['0'] }), 1)
  assert.throws(() => advance(state, assign('r', 'w2', 1, 1, { gpus: ['0'] }), 1), Refused)
  advance(state, end(state, 'b1'), 2)
  advance(state, assign('r', 'w2', 1, 1, { gpus: ['0'] }), 3)
  const again = restore(JSON.parse(JSON.stringify(capture(state))) as SnapshotData, defaultLimits)
  assert.deepEqual(again.cards, state.cards)
})

test('a card that is shared leaves CPUs for those that share it', () => {
  const need: Need = { gpus: { count: 1, memoryBytes: 8, exclusive: false } }
  const state = world({}, join('w', { gpus: [card('0')] }), submit('r', need))
  const worker = state.workers.get('w')!
  assert.equal(cpusOf(state.runs.get('r')!, need, worker), 2)
  assert.equal(slotsOn(state.runs.get('r')!, need, worker), 3)
})

test('a quota that is smaller than what one batch needs lets one through', () => {
  const need = { cpus: 2, gpus: { count: 2 } }
  const gpus = [card('0'), card('1'), card('2'), card('3')]
  const state = world({ 'project:*': { gpus: 1, cpus: 1 } }, join('w', { gpus }), submit('r', need, ['a', 'b']))
  advance(state, assign('r', 'w', 0, 2, { gpus: ['0', '1'] }), 1)
  assert.throws(() => advance(state, assign('r', 'w', 1, 2, { gpus: ['2', '3'] }), 1), /project:p has its 1/)
})

test('CPU-hours count what runs, in the hour in which it ran', () => {
  const hourMs = 3_600_000
  const state = world({ 'project:*': { cpuHours: 1 } }, join('w'), submit('r', { cpus: 1 }, ['a', 'b']))
  const startMs = 1_800_000_000_000
  const spent = () => state.spent.get('project:p')!
  advance(state, assign('r', 'w', 0, 1), startMs)
  const run = state.runs.get('r')!
  const stands = (nowMs: number) => quotaInTheWay(state, run, { cpus: 1 }, 1, nowMs)?.of
  assert.equal(spentHoursMs(spent(), startMs + hourMs / 2), hourMs / 2)
  assert.equal(stands(startMs + hourMs / 2), undefined)
  assert.equal(stands(startMs + hourMs), 'cpuHours')
  // Ten hours of one CPU are one CPU-hour in the last hour, and nothing an hour and a slot later.
  advance(state, end(state, 'b1'), startMs + 10 * hourMs)
  assert.equal(spentHoursMs(spent(), startMs + 10 * hourMs), hourMs)
  assert.ok(spentHoursMs(spent(), startMs + 10.5 * hourMs) <= 0.6 * hourMs)
  assert.equal(spentHoursMs(spent(), startMs + 11.1 * hourMs), 0)
})

test('a worker that has less than before keeps what it holds, and is given nothing more than it has', () => {
  const state = world({}, join('w', { gpus: [card('0')] }), submit('r', undefined), submit('s', { cpus: 8 }))
  advance(state, assign('r', 'w', 0, 8), 1)
  advance(state, join('w', { cpus: 4, gpus: [] }), 2)
  assert.equal(state.workers.get('w')!.capabilities.cpus, 4)
  advance(state, end(state, 'b1'), 3)
  assert.throws(() => advance(state, assign('s', 'w', 0, 8), 4), Refused)
})

test('a snapshot of format 2 is what members of that time read', () => {
  const state = emptyState()
  for (const input of [{ type: 'raise-format', format: 2 } as const, join('w'), submit('r', undefined, ['a', 'b'])])
    advance(state, input, 0)
  advance(state, assign('r', 'w', 0, 8), 1)
  const data = JSON.parse(JSON.stringify(capture(state))) as { runs: Record<string, unknown>[] }
  const { queue, queueHead, again, wakes, laterCount, barren, barrenOn } = data.runs[0]!
  assert.deepEqual([queue, queueHead, again, wakes, laterCount, barren, barrenOn], [[1], 0, [], [], 0, 0, []])
  assert.deepEqual(JSON.parse(JSON.stringify(capture(restore(data as never, defaultLimits)))), data)
})

test('what a worker never said it has, it has not', () => {
  const state = world(
    {},
    join('w', { resources: { port: 1 } }),
    submit('r', { cpus: 1, resources: { constructor: 1 } }),
  )
  assert.throws(() => advance(state, assign('r', 'w', 0, 1), 1), /does not fit/)
})

test('scopesOf: of many users and projects it says what is theirs; those that come up again and again are one object', () => {
  const run = (project: string, user: string) =>
    ({ who: 'client:x', spec: { ...plainSpec, project, user } }) as unknown as Run
  const first = scopesOf(run('p', 'ann'))
  assert.deepEqual(first, ['project:p', 'user:ann'])
  for (let at = 0; at < 50_000; at += 1) {
    const [project, user] = [`p${at % 7}`, `u${at}`]
    assert.deepEqual(scopesOf(run(project, user)), [`project:${project}`, `user:${user}`])
    if (at % 1000 === 0) assert.equal(scopesOf(run('p', 'ann')), first)
  }
  // Where one name ends and the next begins is told apart.
  assert.deepEqual(scopesOf(run('bc', 'a')), ['project:bc', 'user:a'])
  assert.deepEqual(scopesOf(run('c', 'ab')), ['project:c', 'user:ab'])
})
