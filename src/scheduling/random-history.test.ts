/**
 * Random histories over the real core and the real placement: workers come and go, processes crash,
 * time out, exit without a word, reports repeat and arrive late. After every input the books must
 * balance; in the end, with a healthy worker, every run must finish with every task accounted for,
 * and the log alone must give the same state.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { advance, apply } from '../core/advance.ts'
import { nextDueMs } from '../core/due.ts'
import type { RetryCause, RetryPolicy } from '../core/entities.ts'
import type { BatchAssigned, Event, TaskRequeued } from '../core/events.ts'
import { avoids, fits } from '../core/fit.ts'
import { formatOf } from '../core/format.ts'
import { Refused, type Input } from '../core/input.ts'
import { defaultLimits } from '../core/limits.ts'
import { countsOnce, recoveryLevels } from '../core/recovery-table.ts'
import { capture, restore, type SnapshotData } from '../core/snapshot.ts'
import { accounted, emptyState, type Batch, type Run, type State } from '../core/state.ts'
import { isTerminal } from '../core/task-state.ts'
import { plainSpec } from '../core/transcript.ts'
import { place, placements } from './fixtures/placing.ts'

type World = {
  state: State
  atMs: number
  log: { atMs: number; events: readonly Event[] }[]
  ended: Map<string, number>
  /** Of the history: what it may hold. */
  format: number
  /** What each task that was put back may do next, and what it has been through. */
  again: Map<string, { last: TaskRequeued; counts: Map<string, number>; level: number }>
}

const picks = fc.array(fc.nat({ max: 1_000_000 }), { minLength: 20, maxLength: 200 })

function feed(world: World, input: Input): void {
  world.atMs += 1
  try {
    record(world, advance(world.state, input, world.atMs))
  } catch (error) {
    if (!(error instanceof Refused)) throw error
    return
  }
  placeAll(world)
}

/** Nothing happens but that time goes by, to the next moment that somebody waits for or by so much. */
function wait(world: World, byMs: number): void {
  world.atMs = Math.max(world.atMs, Math.min(nextDueMs(world.state, world.atMs) ?? Infinity, world.atMs + byMs))
  placeAll(world)
}

function placeAll(world: World): void {
  const view = { state: world.state, available: () => true }
  for (const next of placements(view, world.atMs)) {
    assert.deepEqual(place(view, world.atMs), next, 'all at once is the same as one by one')
    record(world, advance(world.state, next, world.atMs))
  }
  assert.equal(place(view, world.atMs), undefined)
  checkBooks(world.state)
}

function record(world: World, events: readonly Event[]): void {
  if (events.length === 0) return
  world.log.push({ atMs: world.atMs, events })
  for (const event of events) {
    assert.ok(formatOf(event) <= world.format, `${event.type} is no event of format ${world.format}`)
    if (event.type === 'task.requeued') checkRequeued(world, event)
    if (event.type === 'batch.assigned') checkAssigned(world, event)
    if (event.type !== 'task.ended') continue
    for (const index of event.tasks) {
      const id: string = `${event.run}/${index}`
      world.ended.set(id, (world.ended.get(id) ?? 0) + 1)
      assert.equal(world.ended.get(id), 1, `${id} ends once`)
    }
  }
}

/** No more often than the policy says, never at a lower level than before. */
function checkRequeued(world: World, event: TaskRequeued): void {
  if (event.cause === 'unstarted') return
  const { spec, tasks } = world.state.runs.get(event.run)!
  for (const index of event.tasks) {
    const known = world.again.get(`${event.run}/${index}`) ?? { last: event, counts: new Map(), level: 0 }
    const level = event.level === undefined ? known.level : recoveryLevels.indexOf(event.level)
    assert.ok(level >= known.level, 'levels only rise')
    const count: number = (known.counts.get(event.cause) ?? 0) + 1
    known.counts.set(event.cause, count)
    const max: number | undefined = spec.retry?.[event.cause]?.max
    // Among others, nobody knows yet which of them it is.
    const among: number = event.cause === 'crashed' ? 1 : 0
    if (max !== undefined && world.format > 1)
      assert.ok(count <= Math.max(max, among), `${event.cause} ${count} times, at most ${max}`)
    world.again.set(`${event.run}/${index}`, { last: event, counts: known.counts, level })
    assert.ok(tasks[index]!.attempts > 0)
  }
}

/** Not before its time, not where it should not run, not on a worker that is being recycled. */
function checkAssigned(world: World, event: BatchAssigned): void {
  const { state, atMs } = world
  const run = state.runs.get(event.run)!
  const worker = state.workers.get(event.worker)!
  assert.ok((worker.recycling?.untilMs ?? 0) <= atMs, 'a worker that is recycled takes nothing')
  // It may have less later than what it holds.
  assert.ok(worker.cpusUsed <= worker.capabilities.cpus, 'never over-committed')
  for (const index of event.tasks) {
    const last = world.again.get(`${event.run}/${index}`)?.last
    if (!last) continue
    assert.ok((last.notBeforeMs ?? 0) <= atMs, 'back-off is kept')
    const { avoid, on } = last
    if (avoid && avoids(avoid, worker)) {
      assert.ok(avoid.untilMs <= atMs, 'it waits for somewhere else')
      for (const other of state.workers.values())
        assert.ok(!fits(run, run.groups[0]!, other) || avoids(avoid, other), 'somewhere else is there')
      assert.match(event.why, /should run elsewhere/)
    }
    if (on && on.worker !== worker.id)
      assert.ok(on.untilMs <= atMs || !state.workers.has(on.worker), 'it waits for its worker')
  }
}

/** What the log says of recoveries is what the table counts. */
function checkTable(world: World): void {
  const tried: Record<string, number> = {}
  for (const { events } of world.log) {
    for (const event of events) {
      if (event.type !== 'batch.ended') continue
      for (const { kind, level, tasks } of event.recoveries ?? []) {
        const cause = kind.split(' ')[0] as RetryCause
        tried[`${kind} ${level}`] = (tried[`${kind} ${level}`] ?? 0) + (countsOnce(cause) ? 1 : tasks.length)
      }
    }
  }
  const counted: Record<string, number> = {}
  for (const { kind, levels } of world.state.recoveries.values()) {
    for (const counts of levels) {
      assert.ok(counts.worked <= counts.tried)
      if (counts.level !== 'isolate') counted[`${kind} ${counts.level}`] = counts.tried
    }
  }
  assert.deepEqual(counted, tried)
}

function checkBooks(state: State): void {
  let queued = 0
  for (const run of state.runs.values()) {
    const by: Record<string, number> = {}
    for (const task of run.tasks) by[task.state] = (by[task.state] ?? 0) + 1
    for (const [name, count] of Object.entries(run.byState))
      assert.equal(count, by[name] ?? 0, `${run.id} counts ${name}`)
    assert.equal(run.queuedCount, by['queued'] ?? 0)
    for (const group of run.groups) {
      const own = run.tasks.filter((task) => task.kind === group.kind)
      assert.equal(group.queuedCount, own.filter((task) => task.state === 'queued').length)
      assert.equal(group.laterCount, own.filter((task) => task.again?.later).length, 'those that wait are counted')
    }
    queued += run.queuedCount
    assert.ok(run.tests.passed >= 0 && run.tests.failed >= 0)
    if (run.state === 'finished') assert.ok(run.tasks.every((task) => isTerminal(task.state)))
  }
  assert.equal(state.queuedCount, queued)
  for (const worker of state.workers.values()) {
    let used = 0
    for (const id of worker.batches) used += state.batches.get(id)!.cpus
    assert.equal(worker.cpusUsed, used)
  }
}

const openTasks = (run: Run, batch: Batch): number[] =>
  batch.tasks.filter(
    (index) =>
      run.tasks[index]!.batch === batch.id &&
      !isTerminal(run.tasks[index]!.state) &&
      run.tasks[index]!.state !== 'queued',
  )

function join(worker: string, cpus: number): Input {
  const host = `h${worker.at(-1)! < '2' ? 0 : 1}`
  const capabilities = { os: 'linux', arch: 'x64', cpus, memoryBytes: 1, host, labels: {}, tools: {} }
  return { type: 'join', worker, name: worker, version: '1', capabilities, draining: false }
}

/** One thing that happens, chosen by a number. */
function happen(world: World, pick: number): void {
  const { state } = world
  const batches = [...state.batches.values()]
  const batch = batches[pick % Math.max(1, batches.length)]
  const kind = Math.floor(pick / 7) % 18
  const runs = [...state.runs.keys()]
  const someRun = runs[pick % Math.max(1, runs.length)] ?? 'none'
  if (kind === 0) return feed(world, join(`w${pick % 4}`, 1 + (pick % 3)))
  if (kind === 1) return feed(world, { type: 'leave', worker: `w${pick % 4}`, why: 'gone' })
  if (kind === 2) return feed(world, submit(`r${pick % 1000}`, 1 + (pick % 12), pick % 3, pick % 5 === 0 ? 2 : 0, pick))
  if (kind === 3) return feed(world, { type: 'pause', run: someRun, who: 'x', why: 'x' })
  if (kind === 4) return feed(world, { type: 'resume', run: someRun, who: 'x' })
  if (kind === 5 && pick % 4 === 0)
    return feed(world, { type: 'cancel', run: someRun, who: 'x', why: 'x', drain: pick % 8 === 0 })
  if (kind === 16) return wait(world, pick % 2 === 0 ? 40_000 : 50)
  if (kind === 17) {
    const worker = [...state.workers.values()].find((one) => one.recycling !== undefined)
    if (worker) feed(world, { type: 'recycled', worker: worker.id, id: worker.recycling!.id })
    return
  }
  if (!batch) return
  const run = state.runs.get(batch.run)!
  const open = openTasks(run, batch)
  const base = { worker: batch.worker, batch: batch.id, token: kind === 6 ? batch.token - 1 : batch.token }
  if (kind < 9) return feed(world, { type: 'start', ...base, tasks: open.slice(0, 1 + (pick % 3)) })
  if (kind < 13) {
    const outcome = (['passed', 'failed', 'skipped', 'passed'] as const)[pick % 4]!
    const report = (task: number) => ({
      task,
      outcome,
      durationMs: pick % 50,
      counts: [1, outcome === 'failed' ? 1 : 0, 0, 0] as const,
    })
    const input = { type: 'report', ...base, reports: open.slice(0, 1 + (pick % 4)).map(report) } as const
    feed(world, input)
    return feed(world, input)
  }
  const reason =
    open.length === 0
      ? 'completed'
      : (['crashed', 'timed-out', 'cancelled', 'failed-to-start', 'fenced'] as const)[pick % 5]!
  const running = open.filter((index) => run.tasks[index]!.state === 'running')
  feed(world, {
    type: 'end',
    ...base,
    reason,
    exitCode: pick % 3 === 0 ? 0 : 1,
    signal: null,
    startupMs: 1,
    wallMs: 1,
    interrupted: running,
    timedOut: reason === 'timed-out' ? running.slice(0, 1) : [],
    errors: pick % 11 === 0 ? ['outside'] : [],
    ...(pick % 2 === 0 ? { usage: { cpuMs: pick % 100, memoryBytesMax: 1000 } } : {}),
  })
}

/** As it would lie on disk. */
function plain(state: State): unknown {
  return JSON.parse(JSON.stringify(capture(state)))
}

const causes: readonly RetryCause[] = ['failed', 'timed-out', 'lost', 'crashed', 'infrastructure']

function policy(pick: number): { readonly retry?: RetryPolicy } {
  if (pick % 3 === 0) return {}
  const where = (['any', 'other-worker', 'other-host', 'other-class'] as const)[pick % 4]!
  const rule = { max: pick % 5, backoffMs: (pick % 7) * 20, backoffMaxMs: 500, where }
  const chosen = causes.filter((_, at) => (pick >> at) % 2 === 1)
  return { retry: Object.fromEntries(chosen.map((cause, at) => [cause, { ...rule, max: (rule.max + at) % 5 }])) }
}

function submit(run: string, count: number, retries: number, maxFailures: number, pick: number): Input {
  const files = Array.from({ length: count }, (_, index) => `f${index}`)
  const estimates = files.map((_, index) => (index % 3 === 0 ? null : index * 10))
  return {
    type: 'submit',
    run,
    who: 'x',
    spec: { ...plainSpec, retries, maxFailures, ...policy(pick) },
    files,
    estimates,
  }
}

/** Everybody is well: every batch reports all it has. */
function heal(world: World): void {
  for (const id of Array.from(world.state.workers.keys())) feed(world, { type: 'leave', worker: id, why: 'healing' })
  for (const id of Array.from(world.state.active)) feed(world, { type: 'resume', run: id, who: 'x' })
  feed(world, join('healthy', 2))
  for (let round = 0; world.state.active.size > 0; round += 1) {
    assert.ok(round < 10_000, 'the runs come to an end')
    if (world.state.batches.size === 0) wait(world, Infinity)
    const [batch] = world.state.batches.values()
    if (!batch && nextDueMs(world.state, world.atMs) !== undefined) continue
    assert.ok(batch, 'active runs have work under way')
    const run = world.state.runs.get(batch.run)!
    const base = { worker: batch.worker, batch: batch.id, token: batch.token }
    const reports = openTasks(run, batch).map((task) => ({
      task,
      outcome: 'passed' as const,
      durationMs: 1,
      counts: [1, 0, 0, 0] as const,
    }))
    if (reports.length > 0) feed(world, { type: 'report', ...base, reports })
    feed(world, {
      type: 'end',
      ...base,
      reason: 'completed',
      exitCode: 0,
      signal: null,
      startupMs: 1,
      wallMs: 1,
      interrupted: [],
      timedOut: [],
      errors: [],
    })
  }
}

test('random histories balance, finish, and replay to the same state', () => {
  const seen = new Set<string>()
  fc.assert(
    fc.property(picks, fc.constantFrom(1, 2), (numbers, format) => {
      const world: World = { state: emptyState(), atMs: 0, log: [], ended: new Map(), format, again: new Map() }
      if (format > 1) feed(world, { type: 'raise-format', format })
      feed(world, join('w0', 2))
      feed(world, submit('first', 6, 1, 0, numbers[0]!))
      for (const pick of numbers) happen(world, pick)
      const middle = plain(world.state)
      assert.deepEqual(plain(restore(middle as SnapshotData, defaultLimits)), middle, 'a snapshot holds everything')
      // Half of them go on from the snapshot.
      if (numbers.length % 2 === 0) world.state = restore(middle as SnapshotData, defaultLimits)
      heal(world)
      for (const run of world.state.runs.values()) assert.equal(accounted(run), run.tasks.length)
      const replayed = emptyState()
      for (const entry of world.log) for (const event of entry.events) apply(replayed, event, entry.atMs)
      assert.deepEqual(plain(replayed), plain(world.state), 'the log is the truth')
      checkTable(world)
      for (const { events } of world.log)
        for (const event of events) {
          if (event.type === 'task.requeued' && event.level) seen.add(event.level)
          if (event.type === 'batch.assigned' && event.why.includes('elsewhere')) seen.add('nowhere else')
          seen.add(
            event.type === 'task.ended' ? event.state : event.type === 'task.requeued' ? event.cause : event.type,
          )
        }
    }),
    { numRuns: 300, seed: 7 },
  )
  // The rare things really happened.
  for (const rare of [
    'in-place',
    'fresh-process',
    'other-worker',
    'recycle-worker',
    'worker.recycled',
    'nowhere else',
    'infrastructure',
    'lost',
    'crashed',
    'timed-out',
    'unstarted',
    'failed',
    'flaky',
    'cancelled',
    'skipped',
    'run.paused',
  ]) {
    assert.ok(seen.has(rare), `${rare} was reached`)
  }
})
