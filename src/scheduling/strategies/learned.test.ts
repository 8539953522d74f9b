import assert from 'node:assert/strict'
import { test } from 'node:test'
import { advance } from '../../core/advance.ts'
import { aptitudeOf } from '../../core/aptitude.ts'
import type { Input } from '../../core/input.ts'
import { emptyState, type State } from '../../core/state.ts'
import { plainSpec } from '../../core/transcript.ts'
import { place } from '../fixtures/placing.ts'
import { history, learned } from './builtin.ts'

function join(worker: string, speed: number): Input {
  const plain = { os: 'linux', arch: 'x64', cpus: 4, memoryBytes: 1, labels: {}, tools: {} }
  const capabilities = { ...plain, host: worker, fingerprint: `f-${worker}`, speed }
  return { type: 'join', worker, name: worker, version: '1', capabilities, draining: false }
}

/** A file of a minute runs on the worker, and takes so long. */
function run(state: State, id: string, suite: string, worker: string, tookMs: number): void {
  const now = state.atMs + 1
  const spec = { ...plainSpec, suite }
  advance(state, { type: 'submit', run: id, who: 'x', spec, files: ['a'], estimates: [60_000] }, now)
  advance(state, { type: 'assign', run: id, worker, tasks: [0], cpus: 4, why: '' }, now)
  const base = { worker, batch: `b${state.lastToken}`, token: state.lastToken }
  const reports = [{ task: 0, outcome: 'passed', durationMs: tookMs, counts: [1, 0, 0, 0] }] as const
  advance(state, { type: 'report', ...base, reports }, now + tookMs)
  const how = { exitCode: 0, signal: null, startupMs: 1, wallMs: tookMs, interrupted: [], timedOut: [], errors: [] }
  advance(state, { type: 'end', ...base, reason: 'completed', ...how }, now + tookMs)
}

test('learned: a suite goes to the machine that did best with it, whatever that machine’s speed is with others', () => {
  const state = emptyState()
  advance(state, join('fast', 2), 1)
  advance(state, join('slow', 1), 1)
  // The disk of the fast one is bad.
  for (const [at, id] of ['q1', 'q2', 'q3', 'q4'].entries())
    run(state, id, 'disk', at % 2 ? 'slow' : 'fast', at % 2 ? 30_000 : 150_000)
  const submit = (id: string, suite: string): Input => {
    const spec = { ...plainSpec, suite }
    return { type: 'submit', run: id, who: 'x', spec, files: ['a'], estimates: [60_000] }
  }
  advance(state, submit('disk', 'disk'), state.atMs + 1)
  const view = { state, available: () => true }
  assert.equal(place(view, state.atMs, history)?.worker, 'fast')
  assert.equal(place(view, state.atMs, learned)?.worker, 'slow')
  advance(state, { type: 'cancel', run: 'disk', who: 'x', why: 'x', drain: false }, state.atMs + 1)
  advance(state, submit('cpu', 'cpu'), state.atMs + 1)
  assert.equal(place(view, state.atMs, learned)?.worker, 'fast')
})

test('learned: what is known of a machine outlives its name, and follows what changes', () => {
  const state = emptyState()
  advance(state, join('w', 1), 1)
  const aptitude = (worker: string) => aptitudeOf(state, state.runs.get('q0')!, state.workers.get(worker)!)
  run(state, 'q0', 's', 'w', 240_000)
  assert.ok(aptitude('w') < 0.5)
  advance(state, { type: 'leave', worker: 'w', why: 'gone' }, state.atMs + 1)
  const again = join('w', 1)
  assert.ok(again.type === 'join')
  advance(state, { ...again, worker: 'other' }, state.atMs + 1)
  assert.ok(aptitude('other') < 0.5)
  for (let at = 1; at < 400; at += 1) run(state, `q${at}`, 's', 'other', 60_000)
  assert.ok(aptitude('other') > 0.9)
})
