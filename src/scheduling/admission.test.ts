import assert from 'node:assert/strict'
import { test } from 'node:test'
import { advance } from '../core/advance.ts'
import type { RunSpec } from '../core/entities.ts'
import { readableFormat } from '../core/format.ts'
import { emptyState, Task, type State } from '../core/state.ts'
import { latenessOf, latenessWords, noFitWords } from './admission.ts'
import { Fleets } from './fleet.ts'

const minute = 60_000

function stateWith(workers: readonly { readonly cpus: number; readonly speed?: number }[]): State {
  const state = emptyState()
  advance(state, { type: 'lead', epoch: 1, owner: 'x', version: '1' }, 0)
  advance(state, { type: 'raise-format', format: readableFormat }, 0)
  workers.forEach((more, at) => {
    const worker = `w${at}`
    const capabilities = { os: 'linux', arch: 'x64', memoryBytes: 1, host: worker, labels: {}, tools: {}, ...more }
    advance(state, { type: 'join', worker, name: worker, version: '1', capabilities, draining: false }, 0)
  })
  return state
}

function submitted(state: State, more: Partial<RunSpec>, estimates: readonly (number | null)[]) {
  const spec: RunSpec = {
    framework: 'command',
    frameworkVersion: '',
    suite: 's',
    project: 'p',
    cwd: '',
    workspace: { type: 'none' },
    paths: [],
    args: [],
    complete: false,
    context: '',
    retries: 0,
    taskTimeoutMs: 1,
    maxFailures: 0,
    priority: 0,
    labels: {},
    startupMs: 0,
    open: false,
    noWorkerTimeoutMs: 1,
    ...more,
  }
  const run = `r${state.runs.size}`
  advance(state, { type: 'submit', run, who: 'x', spec, files: estimates.map((_, at) => `f${at}`), estimates }, 0)
  const view = { state, available: () => true }
  return { run: state.runs.get(run)!, view, fleets: new Fleets(view) }
}

const four = [10, 10, 10, 10].map((minutes) => minutes * minute)

test('latenessOf: what cannot be done by all that fit together', () => {
  const state = stateWith([{ cpus: 1 }, { cpus: 1, speed: 3 }, { cpus: 8 }])
  const needs = [{ where: 'cpus == 1' }]
  const { run, fleets } = submitted(state, { needs, deadlineAtMs: 9 * minute }, four)
  const lateness = latenessOf(state, run, fleets, undefined, 0)
  assert.deepEqual(lateness, { type: 'impossible', needMs: 10 * minute, leftMs: 9 * minute, workers: 2 })
  assert.equal(
    latenessWords(lateness, '14:00'),
    "can't finish by 14:00: needs about 10 m 00 s on the 2 workers that fit, and 9 m 00 s are left",
  )
  assert.equal(
    latenessOf(state, submitted(state, { needs, deadlineAtMs: 11 * minute }, four).run, fleets, undefined, 0),
    undefined,
  )
  assert.deepEqual(latenessOf(state, run, fleets, undefined, 10 * minute), { type: 'missed', sinceMs: minute })
})

test('latenessOf: the longest file is a bound of its own; of what nobody has timed nothing is said', () => {
  const state = stateWith([{ cpus: 8 }])
  const long = submitted(state, { deadlineAtMs: 5 * minute }, [9 * minute, 1])
  assert.equal(latenessOf(state, long.run, long.fleets, undefined, 0)?.type, 'impossible')
  const unknown = submitted(state, { deadlineAtMs: 1 }, [null, null])
  assert.equal(latenessOf(state, unknown.run, unknown.fleets, undefined, 0), undefined)
})

test('latenessOf: others that come first make it likely', () => {
  const state = stateWith([{ cpus: 1 }])
  const { run, fleets } = submitted(state, { deadlineAtMs: 60 * minute }, four)
  const forecast = { durationMs: 40 * minute, queuePosition: 2, startsInMs: 30 * minute }
  const lateness = latenessOf(state, run, fleets, forecast, 0)!
  assert.equal(
    latenessWords(lateness, '15:00'),
    'is likely to miss 15:00: waits about 30 m 00 s first, then needs about 40 m 00 s, and 1 h 00 m are left',
  )
})

test('noFitWords: the nearest miss, as soon as anybody is connected', () => {
  const needs = [{}, { where: 'cpus >= 4' }]
  const none = submitted(stateWith([]), { needs }, [null])
  assert.equal(noFitWords(none.view, none.run, none.fleets, 0), undefined)
  const state = stateWith([{ cpus: 1 }, { cpus: 2 }])
  const fine = submitted(state, { needs }, [null])
  assert.equal(noFitWords(fine.view, fine.run, fine.fleets, 0), undefined)
  const { view, run, fleets } = submitted(state, { needs: [needs[1]!] }, [null])
  assert.match(noFitWords(view, run, fleets, 0)!, /needs cpus >= 4; nearest: worker w1 has 2/)
})

test('noFitWords: of many groups whose tasks are all blocked, each task is looked at once', () => {
  const groups = 200
  const needs = [{}, ...Array.from({ length: groups }, (_, at) => ({ where: `cpus > ${at + 10}` }))]
  const state = stateWith([{ cpus: 1 }])
  const { view, run, fleets } = submitted(state, { needs }, [null])
  let looks = 0
  const watched = (task: Task) =>
    new Proxy(task, {
      get: (target, name) => {
        if (name === 'state') looks += 1
        return Reflect.get(target, name) as unknown
      },
    })
  // Blocked tasks of the first group only, so that no group that fits nobody waits.
  for (let at = 0; at < 1000; at += 1) {
    const task = new Task(`b${at}`, -1, 0)
    task.state = 'blocked'
    run.tasks.push(watched(task))
    run.byState.blocked += 1
  }
  for (let round = 0; round < 3; round += 1) assert.equal(noFitWords(view, run, fleets, 0), undefined)
  assert.equal(looks, 1000)
})

test('latenessOf: files that come one after another take their time, however many workers there are', () => {
  const state = stateWith([{ cpus: 8, speed: 2 }, { cpus: 8 }])
  const submit = (deadlineAtMs: number) => {
    const { run: like } = submitted(state, {}, [])
    const run = `c${deadlineAtMs}`
    const dependencies = [
      { task: 1, after: [0] },
      { task: 2, after: [1] },
    ]
    const files = ['a', 'b', 'c', 'd']
    const spec = { ...like.spec, deadlineAtMs }
    advance(state, { type: 'submit', run, who: 'x', spec, files, estimates: four, dependencies }, 0)
    const view = { state, available: () => true }
    return latenessOf(state, state.runs.get(run)!, new Fleets(view), undefined, 0)
  }
  // By the faster one alone: 3 x 10 minutes at speed 2.
  assert.deepEqual(submit(14 * minute), { type: 'impossible', needMs: 15 * minute, leftMs: 14 * minute, workers: 2 })
  assert.equal(submit(15 * minute), undefined)
})
