import assert from 'node:assert/strict'
import { test } from 'node:test'
import { advance } from '../core/advance.ts'
import type { Input } from '../core/input.ts'
import { emptyState } from '../core/state.ts'
import { plainSpec } from '../core/transcript.ts'
import { classWords, noWorkerWords } from './waiting-words.ts'

const who = 'client:x'
const capabilities = { os: 'linux', arch: 'x64', cpus: 1, memoryBytes: 1, host: 'h', labels: {}, tools: {} }

function world(...inputs: readonly Input[]) {
  const state = emptyState()
  const submit = { type: 'submit', run: 'R', who, spec: plainSpec, files: ['a'], estimates: [null] } as const
  for (const input of [{ type: 'raise-format', format: 2 } as const, submit, ...inputs]) advance(state, input, 1000)
  return { state, run: state.runs.get('R')!, view: { state, available: () => true } }
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

test('noWorkerWords: nobody there, nobody that fits, or breakers in between', () => {
  const nobody = world()
  assert.equal(noWorkerWords(nobody.view, nobody.run, nobody.run.groups[0]!), 'no worker is connected')
  const drained = world(join('w'), { type: 'drain', worker: 'w', who, why: 'x' })
  assert.equal(
    noWorkerWords(drained.view, drained.run, drained.run.groups[0]!),
    'none of the 1 connected workers fits (host, labels or needs)',
  )
  const one = world(join('w'), open('worker:w'))
  assert.match(
    noWorkerWords(one.view, one.run, one.run.groups[0]!),
    /^the breaker of the only worker that fits is open/,
  )
  const two = world(join('w'), join('v'), open('worker:w'), open('worker:v'))
  assert.match(noWorkerWords(two.view, two.run, two.run.groups[0]!), /^the breaker of all 2 workers that fit is open/)
})

test('classWords: why its files wait, until when, and how to end that', () => {
  const { state, run } = world(open('class:p/unit'))
  assert.equal(
    classWords(state, run, 1000),
    "class:p/unit waits behind its breaker until it is reset (asked); 'muster breakers reset class:p/unit' ends that",
  )
  state.breakers.byScope.get('class:p/unit')!.untilMs = 13_000
  assert.match(classWords(state, run, 1000)!, /for another 12\.0 s \(asked\)/)
  assert.equal(classWords(world().state, world().run, 1000), undefined)
})
