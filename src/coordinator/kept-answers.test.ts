import assert from 'node:assert/strict'
import { beforeEach, describe, test } from 'node:test'
import { advance } from '../core/advance.ts'
import { defaultLimits } from '../core/limits.ts'
import type { Input } from '../core/input.ts'
import { emptyState, type State } from '../core/state.ts'
import { plainSpec } from '../core/transcript.ts'
import { KeptAnswers } from './kept-answers.ts'

describe('kept answers', () => {
  let state: State
  let position: number
  let nowMs: number
  let answers: KeptAnswers

  function commit(input: Input): void {
    const events = advance(state, input, 1000)
    position += 1
    answers.committed({ position, atMs: 1000, events, bytes: new Uint8Array() })
  }
  const submit = (run: string, files: readonly string[]): void =>
    commit({ type: 'submit', run, who: 'w', spec: plainSpec, files, estimates: files.map(() => null) })
  const cancel = (run: string): void => commit({ type: 'cancel', run, who: 'w', why: 'enough', drain: false })
  const run = (id: string) => state.runs.get(id)!

  beforeEach(() => {
    state = emptyState({ ...defaultLimits, finishedRunsMax: 1 })
    position = 0
    nowMs = 0
    answers = new KeptAnswers(() => position, { monotonicMs: () => nowMs })
    submit('a', ['x'])
    submit('b', ['y'])
  })

  test('stand until an entry concerns their run, and no longer', () => {
    cancel('a')
    cancel('b')
    answers.keep('/a', { run: 'a' }, { runs: [run('a')], version: 3 })
    nowMs += 60_000
    submit('c', ['z'])
    const { text, bytes, version } = answers.find('/a')!
    assert.deepEqual({ text, bytes, version }, { text: '{"run":"a"}', bytes: 11, version: 3 })
    answers.keep('/ab', [], { runs: [run('a'), run('b')] })
    answers.keep('/b', [], { runs: [run('b')] })
    commit({ type: 'prune' })
    assert.equal(answers.find('/a'), undefined, 'the run was forgotten')
    assert.equal(answers.find('/ab'), undefined)
    assert.ok(answers.find('/b'))
  })

  test('about runs that go on stand for a moment, and only while nothing else changes', () => {
    answers.keep('/a', {}, { runs: [run('a')] })
    nowMs += 50
    cancel('b')
    assert.ok(answers.find('/a'), 'another run is none of its business')
    nowMs += 100
    assert.equal(answers.find('/a'), undefined, 'clocks have moved on')
    answers.keep('/a', {}, { runs: [run('a')] })
    const capabilities = {
      os: 'linux',
      arch: 'x64',
      cpus: 1,
      memoryBytes: 1,
      host: 'h',
      labels: {},
      tools: {},
    } as const
    commit({ type: 'join', worker: 'w', name: 'w', version: '1', capabilities, draining: false })
    assert.equal(answers.find('/a'), undefined, 'a worker that joins changes what is said of waiting')
    answers.keep('/a', {}, { runs: [run('a')] })
    cancel('a')
    assert.equal(answers.find('/a'), undefined)
  })

  test('that list runs stand until one comes', () => {
    cancel('a')
    cancel('b')
    answers.keep('/runs', '{"runs":[]}', { runs: [run('a'), run('b')], lists: true })
    assert.equal(answers.find('/runs')?.text, '{"runs":[]}')
    submit('c', [])
    assert.equal(answers.find('/runs'), undefined)
  })

  test('are all void once state was read anew', () => {
    cancel('a')
    answers.keep('/a', {}, { runs: [run('a')] })
    answers.reset()
    assert.equal(answers.find('/a'), undefined)
  })

  test('are bounded in number and in bytes, the oldest go first', () => {
    cancel('a')
    for (let at = 0; at < 2100; at += 1) answers.keep(`/${at}`, '', { runs: [run('a')] })
    assert.equal(answers.find('/0'), undefined)
    assert.ok(answers.find('/2099'))
    for (let at = 0; at < 10; at += 1) answers.keep(`/long/${at}`, 'x'.repeat(8 * 1024 * 1024), { runs: [run('a')] })
    assert.ok(answers.find('/2099') === undefined)
    assert.ok(answers.find('/long/5') === undefined)
    assert.ok(answers.find('/long/9')?.text instanceof Buffer, 'a long one is encoded once')
  })
})
