/**
 * Nothing waits longer than urgency.ts says: a run that needs much, or what is nearly always taken, while smaller and
 * more important ones come without end that leave it no gap. It is ahead of all that came so many minutes after it as
 * their priority is worth; from then on what it needs is kept for it, and it begins as soon as what is under way
 * has ended. `docs/internals/scheduling.md` has the argument.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Need } from '../core/entities.ts'
import type { Input } from '../core/input.ts'
import { plainSpec } from '../core/transcript.ts'
import { play } from './player.ts'
import { builtinStrategies, history } from './strategies/builtin.ts'
import { ageingMsPerPoint } from './urgency.ts'

const streamPriority = 3
const taskMs = 7000
const streamMs = 6 * 60_000
/** Of the stream before the one that waits, so that everything is taken when it comes. */
const submittedAtMs = 30_000
/** Waiting for locks, then for cards and resources, then for CPUs: each time for what is under way. */
const boundMs = (streamPriority + 1) * ageingMsPerPoint + 3 * taskMs

const cards = (count: number) => ({ cpus: 1, gpus: { count } })
const lock = (mode: 'exclusive' | 'shared') => ({ cpus: 1, locks: [{ name: 'db', mode }] })
const licences = (count: number) => ({ cpus: 1, resources: { licence: count } })

/** What waits, what comes without end, and how often. */
const contests: readonly (readonly [name: string, waits: Need, comes: Need, everyMs: number])[] = [
  ['all CPUs of a worker', { cpus: 2 }, { cpus: 1 }, 1700],
  ['a host for itself', { cpus: 1, exclusive: true }, { cpus: 1 }, 1700],
  ['both cards', cards(2), cards(1), 1700],
  ['both licences', licences(2), licences(1), 1700],
  ['a lock for itself', lock('exclusive'), lock('shared'), 2000],
  ['a place apart', { cpus: 2, antiAffinity: 'x' }, { cpus: 1, antiAffinity: 'x' }, 3400],
  [
    'all of it at once',
    { ...licences(2), cpus: 2, gpus: { count: 2 }, locks: lock('exclusive').locks },
    { ...cards(1), ...licences(1), locks: lock('shared').locks },
    1700,
  ],
]

function submit(run: string, need: Need, priority: number): Input {
  const spec = { ...plainSpec, needs: [need], priority }
  return { type: 'submit', run, who: 'x', spec, files: ['f'], estimates: [taskMs] }
}

function join(worker: string): Input {
  const gpu = (id: string) => ({ id, vendor: 'nvidia', name: 'card', memoryBytes: 8 }) as const
  const plain = { os: 'linux', arch: 'x64', cpus: 2, memoryBytes: 8, labels: {}, tools: {} }
  const capabilities = { ...plain, host: worker, gpus: [gpu('0'), gpu('1')], resources: { licence: 2 } }
  return { type: 'join', worker, name: worker, version: '1', capabilities, draining: false }
}

for (const strategy of builtinStrategies) {
  test(`${strategy.name}: what needs much begins within ${boundMs / 1000} s, whatever comes`, () => {
    for (const [name, waits, comes, everyMs] of contests) {
      const stream = Array.from({ length: Math.floor(streamMs / everyMs) }, (_, at) => {
        return { atMs: at * everyMs, input: submit(`s${at}`, comes, streamPriority) }
      })
      const { runs } = play({
        strategy,
        inputs: [
          { atMs: 0, input: join('w0') },
          { atMs: 0, input: join('w1') },
          { atMs: submittedAtMs, input: submit('waits', waits, 0) },
          ...stream,
        ],
        taskMs: () => taskMs,
        startupMs: () => 0,
      })
      const { startedAtMs } = runs.find(({ run }) => run === 'waits')!
      assert.ok(startedAtMs !== undefined, name)
      assert.ok(startedAtMs - submittedAtMs <= boundMs, `${name}: began after ${startedAtMs - submittedAtMs} ms`)
      assert.ok(
        runs.every(({ endedAtMs }) => endedAtMs !== undefined),
        `${name}: everything else ends, too`,
      )
    }
  })
}

/** By turns: the quota is spent when what else it needs is free, and that is taken when the quota isn't spent. */
const turns: readonly (readonly [name: string, locks: Pick<Need, 'locks'>])[] = [
  ['a worker', {}],
  ['a lock', { locks: [{ name: 'db', mode: 'exclusive' }] }],
]
const patienceMs = 50 * ageingMsPerPoint
const otherMs = 6900

for (const [name, locks] of turns) {
  test(`who waits for a quota and ${name} that others take by turns begins once its patience is over`, () => {
    const inputs: { atMs: number; input: Input }[] = ['big', 'small', 'other'].map((worker) => {
      const capabilities = { os: 'linux', arch: 'x64', cpus: 2, memoryBytes: 8, host: worker, labels: {}, tools: {} }
      return { atMs: 0, input: { type: 'join', worker, name: worker, version: '1', capabilities, draining: false } }
    })
    const add = (atMs: number, run: string, user: string, on: string, more: Pick<Need, 'locks'>) => {
      const needs = [{ cpus: 2, where: `host == ${on}`, ...more }]
      const spec = { ...plainSpec, needs, user }
      inputs.push({ atMs, input: { type: 'submit', run, who: 'x', spec, files: ['f'], estimates: [taskMs] } })
    }
    for (let atMs = 0; atMs < patienceMs + 3 * 60_000; atMs += otherMs) {
      add(atMs, `theirs${atMs}`, 'them', locks.locks === undefined ? 'big' : 'other', locks)
      add(atMs + otherMs / 2, `ours${atMs}`, 'us', 'small', {})
    }
    add(submittedAtMs, 'waits', 'us', 'big', locks)
    const shares = new Map([['user:us', { cpus: 2 }]])
    const { runs } = play({ strategy: history, inputs, taskMs: () => taskMs, startupMs: () => 0, shares })
    const { startedAtMs } = runs.find(({ run }) => run === 'waits')!
    assert.ok(startedAtMs !== undefined)
    assert.ok(startedAtMs - submittedAtMs <= patienceMs + 3 * taskMs, `began after ${startedAtMs - submittedAtMs} ms`)
  })
}
