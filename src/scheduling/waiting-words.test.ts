import assert from 'node:assert/strict'
import { test } from 'node:test'
import { advance } from '../core/advance.ts'
import type { Input } from '../core/input.ts'
import { emptyState } from '../core/state.ts'
import { plainSpec } from '../core/transcript.ts'
import { nobodyReason } from './reasons.ts'
import { behindClassWords, reasonWords } from './waiting-words.ts'

const who = 'client:x'
const capabilities = { os: 'linux', arch: 'x64', cpus: 1, memoryBytes: 1, host: 'h', labels: {}, tools: {} }

function world(...inputs: readonly Input[]) {
  const state = emptyState()
  const submit = { type: 'submit', run: 'R', who, spec: plainSpec, files: ['a'], estimates: [null] } as const
  for (const input of [{ type: 'raise-format', format: 2 } as const, submit, ...inputs]) advance(state, input, 1000)
  const run = state.runs.get('R')!
  const view = { state, available: () => true }
  return { state, run, view, nobody: () => reasonWords(nobodyReason(view, run, run.groups[0]!), 1000) }
}

const join = (worker: string): Input => ({
  type: 'join',
  worker,
  name: worker,
  version: '1',
  capabilities,
  draining: false,
})
const open = (scope: string): Input => ({ type: 'open-breaker', scope, who, why: 'asked' })

test('reasonWords: nobody there, nobody that fits, or breakers in between', () => {
  assert.equal(world().nobody(), 'no worker is connected')
  const drained = world(join('w'), { type: 'drain', worker: 'w', who, why: 'x' })
  assert.equal(
    drained.nobody(),
    'the only connected worker does not fit: needs a worker that takes work; nearest: worker w is draining',
  )
  assert.match(world(join('w'), open('worker:w')).nobody(), /^the breaker of the only worker that fits is open/)
  const two = world(join('w'), join('v'), open('worker:w'), open('worker:v'))
  assert.match(two.nobody(), /^the breaker of all 2 workers that fit is open/)
})

test('behindClassWords: why its files wait, until when, and how to end that', () => {
  const { state, run, view } = world(open('class:p/unit'))
  assert.equal(
    behindClassWords(view, run, 1000),
    "class:p/unit waits behind its breaker until it is reset (asked); 'muster breakers reset class:p/unit' ends that",
  )
  state.breakers.byScope.get('class:p/unit')!.untilMs = 13_000
  assert.match(behindClassWords(view, run, 1000)!, /for another 12\.0 s \(asked\)/)
  assert.equal(behindClassWords(world().view, world().run, 1000), undefined)
})
