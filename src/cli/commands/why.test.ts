import assert from 'node:assert/strict'
import { test } from 'node:test'
import { advance } from '../../core/advance.ts'
import type { Input } from '../../core/input.ts'
import { emptyState } from '../../core/state.ts'
import { plainSpec } from '../../core/transcript.ts'
import { placements } from '../../scheduling/fixtures/placing.ts'
import { history } from '../../scheduling/strategies/builtin.ts'
import { explain } from '../../scheduling/why.ts'
import { whyText } from './why.ts'

test('whyText: fits its columns, names what waits once, and says when nobody can say', () => {
  const state = emptyState()
  const view = { state, available: () => true }
  const nowMs = Date.parse('2026-11-22T14:00:00Z')
  const feed = (input: Input) => {
    advance(state, input, nowMs)
    for (const next of placements(view, nowMs)) advance(state, next, nowMs)
  }
  const capabilities = { os: 'linux', arch: 'x64', cpus: 4, memoryBytes: 2 ** 33, host: 'h', labels: {}, tools: {} }
  feed({ type: 'raise-format', format: 3 })
  feed({ type: 'join', worker: 'w', name: 'build-1', version: '1', draining: false, capabilities })
  const db = { cpus: 2, locks: [{ name: 'db', mode: 'exclusive' as const }] }
  const gpu = { gpus: { count: 1, memoryBytes: 24 * 2 ** 30 } }
  const submit = (run: string, files: readonly string[], kinds: readonly number[]) =>
    feed({
      type: 'submit',
      run,
      who: 'client:ann',
      spec: { ...plainSpec, needs: [db, gpu] },
      files,
      estimates: files.map(() => 60_000),
      kinds,
    })
  submit('r00000001abcdefgh', ['a'], [0])
  submit(
    'r00000002abcdefgh',
    ['a', 'a/long/path/to/some/directory/of/tests/that/are/about/money/total.test.ts'],
    [0, 1],
  )
  const text = (index?: number, columns = 80) =>
    whyText(
      explain(view, state.runs.get('r00000002abcdefgh')!, index, { strategy: history, config: undefined }, nowMs),
      columns,
    )
  assert.equal(
    text(),
    `run r00000002abcdefgh · queued
0 of 2 done, nothing under way
waiting  1 file: 2 CPUs · lock db
because  - waits for lock 'db', held by run r00000001abcdefgh on build-1 for 0
           ms and another 51.0 s to 69.0 s
waiting  1 file: 1 GPU (24GiB)
because  - the only connected worker does not fit: needs gpu.count >= 1 and
           gpu.memory >= 24GiB; nearest: worker build-1 has gpu.count 0,
           gpu.memory none
queue    number 1 of 1 that wait for workers (history)
ends     nobody can say while this is so
sooner   - run r00000001abcdefgh holds the lock for another 51.0 s to 69.0 s
         - a worker like build-1 with gpu.count >= 1 and gpu.memory >= 24GiB
           would start it now
`,
  )
  for (const columns of [80, 90, 100])
    for (const index of [undefined, 0, 1])
      for (const line of text(index, columns).split('\n')) assert.ok(line.length <= columns, line)
})

test('whyText: what a worker calls itself does nothing to a terminal', () => {
  const state = emptyState()
  const capabilities = { os: 'linux', arch: 'x64', cpus: 1, memoryBytes: 8, host: 'h', labels: {}, tools: {} }
  for (const input of [
    { type: 'join', worker: 'w', name: 'a\u001b[2J\nb', version: '1', draining: false, capabilities },
    { type: 'submit', run: 'r1', who: 'x', spec: plainSpec, files: ['f'], estimates: [1] },
    { type: 'assign', run: 'r1', worker: 'w', tasks: [0], cpus: 1, why: '' },
    { type: 'submit', run: 'r2', who: 'x', spec: plainSpec, files: ['f'], estimates: [1] },
  ] as const)
    advance(state, input, 1)
  const view = { state, available: () => true }
  const said = (run: string, task?: number) =>
    whyText(explain(view, state.runs.get(run)!, task, { strategy: history, config: undefined }, 2), 100)
  for (const text of [said('r1', 0), said('r2')]) {
    assert.match(text, /a b/)
    assert.ok(!text.includes('\u001b'))
  }
})

test('whyText: in place of a position, why there is none', () => {
  const why = { run: 'r', state: 'queued', words: 'nothing under way', waits: [], sooner: [], nowMs: 0, strategy: 'x' }
  assert.match(whyText({ ...why, queueWords: 'nobody tells' }, 80), /^queue {4}nobody tells$/m)
})

test('whyText: a line end in the name of a file is written out', () => {
  const why = {
    run: 'r1',
    task: 'r1/0',
    file: 'a\n\u001b[2Jb',
    state: 'queued',
    words: '',
    waits: [],
    sooner: [],
    nowMs: 0,
  }
  assert.equal(whyText(why, 100).split('\n')[0], 'r1/0 · a\\n\\u001b[2Jb · queued')
})
