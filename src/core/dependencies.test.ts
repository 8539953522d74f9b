import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { advance } from './advance.ts'
import { checkDependencies, dependenciesAmong } from './dependencies.ts'
import type { RunDependency, RunSpec, TaskDependency } from './entities.ts'
import type { Event } from './events.ts'
import { Refused, type Input } from './input.ts'
import { defaultLimits } from './limits.ts'
import { capture, restore, type SnapshotData } from './snapshot.ts'
import { emptyState, type State } from './state.ts'
import { plainSpec } from './transcript.ts'

function world(): State {
  const state = emptyState()
  const capabilities = { os: 'linux', arch: 'x64', cpus: 4, memoryBytes: 1, host: 'h', labels: {}, tools: {} }
  feed(state, { type: 'raise-format', format: 3 })
  feed(state, { type: 'join', worker: 'w', name: 'w', version: '1', capabilities, draining: false })
  return state
}

const feed = (state: State, input: Input): readonly Event[] => advance(state, input, state.atMs + 1)

function submit(
  run: string,
  count: number,
  dependencies: readonly TaskDependency[],
  more: Partial<RunSpec> = {},
): Input {
  const files = Array.from({ length: count }, (_, index) => `f${index}`)
  const spec = { ...plainSpec, ...more }
  return { type: 'submit', run, who: 'x', spec, files, estimates: files.map(() => 1), dependencies }
}

const chain = (count: number): TaskDependency[] =>
  Array.from({ length: count - 1 }, (_, index) => ({ task: index + 1, after: [index] }))

/** Runs tasks of a run as one batch, each with its outcome. */
function play(state: State, run: string, outcomes: Readonly<Record<number, 'passed' | 'failed' | 'skipped'>>): Event[] {
  const tasks = Object.keys(outcomes).map(Number)
  const [assigned] = feed(state, { type: 'assign', run, worker: 'w', tasks, cpus: 1, why: '' })
  assert.ok(assigned?.type === 'batch.assigned')
  const base = { worker: 'w', batch: assigned.batch, token: assigned.token }
  const reports = tasks.map((task) => {
    return { task, outcome: outcomes[task]!, durationMs: 1, counts: [0, 0, 0, 0] as const }
  })
  const events = [...feed(state, { type: 'report', ...base, reports })]
  return [...events, ...feed(state, { ...endOf, ...base })]
}

const endOf = {
  type: 'end',
  reason: 'completed',
  exitCode: 0,
  signal: null,
  startupMs: null,
  wallMs: 1,
  interrupted: [],
  timedOut: [],
  errors: [],
} as const

function refusal(act: () => unknown): string {
  try {
    act()
  } catch (error) {
    assert.ok(error instanceof Refused)
    return error.message
  }
  return 'taken'
}

test('a circle is refused, and its path is named', () => {
  assert.equal(
    refusal(() => feed(world(), submit('r', 4, [{ task: 0, after: [3] }, ...chain(4)]))),
    'dependencies go round in a circle: f0 -> f3 -> f2 -> f1 -> f0',
  )
  const long = [{ task: 0, after: [99_999] }, ...chain(100_000)]
  const files = Array.from({ length: 100_000 }, (_, index) => `f${index}`)
  assert.match(
    refusal(() => checkDependencies(files, long)),
    /^dependencies go round in a circle: f0 -> f99999 -> .* -> f0 -> … \(99990 more\)$/,
  )
})

test('any graph is refused exactly when there is no order for it, and the named path is one of its own', () => {
  const edges = fc.array(fc.tuple(fc.nat({ max: 7 }), fc.nat({ max: 7 })), { maxLength: 14 })
  fc.assert(
    fc.property(edges, (pairs) => {
      const after = new Map<number, number[]>()
      for (const [task, before] of pairs) after.set(task, [...(after.get(task) ?? []), before])
      const files = Array.from({ length: 8 }, (_, index) => `f${index}`)
      const said = refusal(() =>
        checkDependencies(
          files,
          [...after].map(([task, list]) => ({ task, after: list })),
        ),
      )
      // Whatever has nothing left before it goes, again and again; what then remains has a circle.
      const left = new Set(files.keys())
      for (let gone = true; gone;) {
        gone = false
        for (const task of left) {
          if ((after.get(task) ?? []).some((before) => left.has(before))) continue
          left.delete(task)
          gone = true
        }
      }
      assert.equal(said === 'taken', left.size === 0)
      if (said === 'taken') return
      const path = said
        .replace('dependencies go round in a circle: ', '')
        .split(' -> ')
        .map((file) => Number(file[1]))
      assert.equal(path[0], path.at(-1))
      for (let at = 1; at < path.length; at += 1) assert.ok(after.get(path[at - 1]!)?.includes(path[at]!))
    }),
    { numRuns: 300, seed: 5 },
  )
})

test('a chain of 100 000 tasks is skipped as a whole, in one event, when its first fails', () => {
  const state = world()
  feed(state, submit('r', 100_000, chain(100_000)))
  const skipped = play(state, 'r', { 0: 'failed' }).filter(
    (one) => one.type === 'task.ended' && one.state === 'skipped',
  )
  assert.equal(skipped.length, 1)
  assert.equal(state.runs.get('r')!.byState.skipped, 99_999)
  assert.equal(state.runs.get('r')!.verdict, 'failed')
})

test('a chain of 10 000 runs is cancelled when its first fails', () => {
  const state = world()
  const after = (index: number): RunDependency[] => (index === 0 ? [] : [{ run: `r${index - 1}`, when: 'passed' }])
  for (let index = 0; index < 10_000; index += 1) feed(state, submit(`r${index}`, 1, [], { after: after(index) }))
  play(state, 'r0', { 0: 'failed' })
  assert.equal(state.active.size, 0)
  assert.equal(state.runs.get('r9999')!.verdict, 'cancelled')
  assert.match(state.runs.get('r9999')!.why!, /run r9998, which it comes after, was cancelled/)
})

test('one that comes after a good and a bad one, which end at once, never begins', () => {
  for (const first of ['passed', 'failed'] as const) {
    const state = world()
    feed(state, submit('r', 3, [{ task: 2, after: [0, 1] }]))
    const events = play(state, 'r', { 0: first, 1: first === 'passed' ? 'failed' : 'passed' })
    assert.equal(events.filter((one) => one.type === 'task.unblocked').length, 0)
    assert.equal(state.runs.get('r')!.tasks[2]!.state, 'skipped')
  }
})

test('with the policy to run anyway, what comes after a failure runs, once all before it have ended', () => {
  const state = world()
  feed(state, submit('r', 3, [{ task: 2, after: [0, 1] }], { onDependencyFailure: 'run' }))
  play(state, 'r', { 0: 'failed' })
  assert.equal(state.runs.get('r')!.tasks[2]!.state, 'blocked')
  play(state, 'r', { 1: 'passed' })
  assert.equal(state.runs.get('r')!.tasks[2]!.state, 'queued')
})

test('what its framework skipped is no failure for those behind it', () => {
  const state = world()
  feed(state, submit('r', 2, chain(2)))
  play(state, 'r', { 0: 'skipped' })
  assert.equal(state.runs.get('r')!.tasks[1]!.state, 'queued')
})

test('cancelling and abandoning take what is blocked too', () => {
  const state = world()
  feed(state, submit('a', 3, chain(3)))
  feed(state, { type: 'cancel', run: 'a', who: 'x', why: 'x', drain: false })
  assert.equal(state.runs.get('a')!.byState.cancelled, 3)
  feed(state, submit('b', 3, chain(3)))
  feed(state, { type: 'abandon', run: 'b', why: 'x' })
  assert.equal(state.runs.get('b')!.byState.lost, 3)
  assert.deepEqual([...state.active], [])
})

test('when a task is lost for good with its worker, those behind it are skipped', () => {
  const state = world()
  feed(state, submit('r', 2, chain(2), { retry: { lost: { max: 0 } } }))
  feed(state, { type: 'assign', run: 'r', worker: 'w', tasks: [0], cpus: 1, why: '' })
  feed(state, { type: 'start', worker: 'w', batch: 'b1', token: 1, tasks: [0] })
  feed(state, { type: 'leave', worker: 'w', why: 'gone' })
  assert.deepEqual(
    state.runs.get('r')!.tasks.map((task) => task.state),
    ['lost', 'skipped'],
  )
})

test('a run comes after runs that are over, under way, and restored from a snapshot', () => {
  const before = world()
  feed(before, submit('a', 1, []))
  play(before, 'a', { 0: 'failed' })
  feed(before, submit('b', 1, []))
  const after: RunDependency[] = ['a', 'b'].map((run) => ({ run, when: 'finished' }))
  feed(before, submit('c', 1, [], { after }))
  const state = restore(JSON.parse(JSON.stringify(capture(before))) as SnapshotData, defaultLimits)
  assert.deepEqual(state.runs.get('c')!.after, ['b'])
  play(state, 'b', { 0: 'passed' })
  assert.deepEqual(state.runs.get('c')!.after, [])
  feed(state, submit('d', 1, [], { after: [{ run: 'a', when: 'passed' }] }))
  assert.equal(state.runs.get('d')!.verdict, 'cancelled')
})

const asJson = (state: State): unknown => JSON.parse(JSON.stringify(capture(state)))

test('of a finished run only what a repetition needs is kept, in memory and in snapshots', () => {
  const state = world()
  const count = 10_000
  const graph = [...chain(count), { task: 0, after: [] }]
  feed(state, submit('r', count, graph))
  const all = Array.from({ length: count }, (_, index) => index)
  const before = dependenciesAmong(state.runs.get('r')!, all)
  play(state, 'r', { 0: 'failed' })
  const run = state.runs.get('r')!
  assert.equal(run.state, 'finished')
  assert.equal(run.dependencies, undefined)
  assert.deepEqual(dependenciesAmong(run, all), before)
  assert.deepEqual(dependenciesAmong(run, [7, 9, 8]), [
    { task: 2, after: [0] },
    { task: 1, after: [2] },
  ])
  const data = JSON.parse(JSON.stringify(capture(state))) as SnapshotData
  assert.ok(JSON.stringify(data.runs[0]!.pastDependencies).length < 5 * count)
  const again = restore(data, defaultLimits)
  assert.deepEqual(again.runs.get('r')!.pastDependencies, run.pastDependencies)
  assert.deepEqual(asJson(again), asJson(state))
})

test('a snapshot of before dependencies were packed is read', () => {
  const state = world()
  feed(state, submit('r', 3, [{ task: 2, after: [0, 1] }]))
  for (const one of [0, 1, 2]) play(state, 'r', { [one]: 'passed' })
  const data = JSON.parse(JSON.stringify(capture(state))) as { runs: Record<string, unknown>[] }
  const { pastDependencies: _, ...run } = data.runs[0]!
  const dependents = [
    [0, [2]],
    [1, [2]],
  ]
  const old = { ...data, runs: [{ ...run, dependencies: { open: [], dependents } }] }
  const again = restore(old as never, defaultLimits)
  assert.deepEqual(asJson(again), asJson(state))
  assert.deepEqual(dependenciesAmong(again.runs.get('r')!, [0, 1, 2]), [{ task: 2, after: [0, 1] }])
})
