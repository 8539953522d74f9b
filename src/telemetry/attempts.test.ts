import assert from 'node:assert/strict'
import { test } from 'node:test'
import { advance } from '../core/advance.ts'
import type { Input } from '../core/input.ts'
import { emptyState } from '../core/state.ts'
import { plainSpec } from '../core/transcript.ts'
import { AttemptBook, type CommittedEntry } from './attempts.ts'

const capabilities = { os: 'linux', arch: 'x64', cpus: 4, memoryBytes: 1, host: 'h', labels: {}, tools: {} }

/** A leader without a log: each input is an entry, ten milliseconds apart. */
function history() {
  const state = emptyState()
  let position = 0
  const book = new AttemptBook(state, 0)
  const commit = (input: Input): CommittedEntry => {
    position += 1
    const atMs = position * 10
    return { position, atMs, events: advance(state, input, atMs) }
  }
  const told = (input: Input, by = book): string[] =>
    by
      .entry(commit(input), state)
      .map((step) =>
        step.type === 'assigned'
          ? `${step.attempt.task}#${step.attempt.attempt} assigned to ${step.attempt.batch} at ${step.attempt.assignedAtMs}`
          : `${step.attempt.task}#${step.attempt.attempt} ${step.attempt.outcome} ${step.attempt.startedAtMs}-${step.attempt.endedAtMs}`,
      )
  return { state, book, commit, told }
}

const join = (worker: string): Input => ({
  type: 'join',
  worker,
  name: worker,
  version: '1',
  capabilities,
  draining: false,
})
const submit = (files: readonly string[], retries = 0): Input => {
  const estimates = files.map(() => null)
  return { type: 'submit', run: 'r', who: 'client:x', spec: { ...plainSpec, retries }, files, estimates }
}
const assign = (worker: string, ...tasks: number[]): Input => ({
  type: 'assign',
  run: 'r',
  worker,
  tasks,
  cpus: 1,
  why: '',
})
const start = (worker: string, batch: string, ...tasks: number[]): Input => {
  return { type: 'start', worker, batch, token: Number(batch.slice(1)), tasks }
}
const report = (worker: string, batch: string, task: number, outcome: 'passed' | 'failed', durationMs = 5): Input => ({
  type: 'report',
  worker,
  batch,
  token: Number(batch.slice(1)),
  reports: [{ task, outcome, durationMs, counts: [0, 0, 0, 0] }],
})
const end = (worker: string, batch: string, reason: 'completed' | 'crashed', interrupted: number[] = []): Input => {
  const how = { exitCode: reason === 'crashed' ? 1 : 0, signal: null, startupMs: 1, wallMs: 1 }
  const rest = { interrupted, timedOut: [], errors: [] }
  return { type: 'end', worker, batch, token: Number(batch.slice(1)), reason, ...how, ...rest }
}

test('an attempt is assigned, begins and ends; a failed one is followed by the next', () => {
  const { told } = history()
  told(join('w'))
  told(submit(['a', 'b'], 1))
  assert.deepEqual(told(assign('w', 0, 1)), ['0#1 assigned to b1 at 30', '1#1 assigned to b1 at 30'])
  assert.deepEqual(told(start('w', 'b1', 0)), [])
  assert.deepEqual(told(report('w', 'b1', 0, 'failed')), ['0#1 failed 40-50'])
  assert.deepEqual(told(report('w', 'b1', 1, 'passed', 5)), ['1#1 passed 55-60'], 'nobody said when it began')
  assert.deepEqual(told(end('w', 'b1', 'completed')), [])
  assert.deepEqual(told(assign('w', 0)), ['0#2 assigned to b2 at 80'])
  assert.deepEqual(told(report('w', 'b2', 0, 'passed', 500)), ['0#2 passed 80-90'], 'not before it was assigned')
})

test('what ends without a report: crashed, not begun, lost with its worker, cancelled', () => {
  const { told } = history()
  told(join('w'))
  told(join('v'))
  told(submit(['a', 'b', 'c', 'd']))
  told(assign('w', 0, 1))
  told(assign('v', 2))
  told(start('w', 'b1', 0))
  told(start('v', 'b2', 2))
  assert.deepEqual(told(end('w', 'b1', 'crashed', [0])), ['0#1 crashed 60-80', '1#1 unstarted 40-80'])
  assert.deepEqual(told({ type: 'leave', worker: 'v', why: 'gone' }), ['2#1 lost 70-90'])
  told(assign('w', 1))
  told({ type: 'cancel', run: 'r', who: 'client:x', why: 'stop', drain: false })
  assert.deepEqual(told(end('w', 'b3', 'crashed')), ['1#2 cancelled 100-120'])
})

test('a book that begins in the middle knows what is held, from state', () => {
  const { state, told } = history()
  told(join('w'))
  told(submit(['a', 'b']))
  told(assign('w', 0, 1))
  told(start('w', 'b1', 0))
  told(report('w', 'b1', 1, 'passed'))
  const late = new AttemptBook(state, 5)
  assert.deepEqual(
    [...late.held('r').values()].map((one) => [one.task, one.attempt, one.startedAtMs]),
    [[0, 1, undefined]],
  )
  assert.deepEqual(told(report('w', 'b1', 0, 'passed', 20), late), ['0#1 passed 40-60'])
})

test('a book that missed entries holds what state holds, and still knows what it saw', () => {
  const { state, book, commit, told } = history()
  told(join('w'))
  told(submit(['a', 'b', 'c']))
  told(assign('w', 0, 1))
  told(start('w', 'b1', 0))
  commit(report('w', 'b1', 1, 'passed'))
  commit(assign('w', 2))
  assert.deepEqual(told(report('w', 'b2', 2, 'passed')), [], 'its end was in the entry that came after the gap')
  assert.deepEqual([...book.held('r').keys()], [0])
  assert.equal(book.held('r').get(0)!.startedAtMs, 40)
  assert.deepEqual(told(report('w', 'b1', 0, 'passed', 5)), ['0#1 passed 40-80'])
  assert.equal(state.runs.get('r')!.state, 'running')
})
