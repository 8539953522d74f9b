/**
 * Random histories of things that keep failing, over the real core and the real placement: workers on
 * which nothing starts, classes that come to nothing everywhere, calls without an answer, people who
 * open, reset, replay and discard. After every input: breakers moved only as they may, for counts that a
 * recount confirms; no more probes than allowed; nobody waits behind breakers for ever; dead letters
 * add up. In the end every run finishes by itself, and the log alone gives the same state.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { advance, apply } from '../core/advance.ts'
import { breakerMoves, thresholdsOf, tickDueMs } from '../core/breaker.ts'
import { classScope, countsOf, scopeKind, workerScope } from '../core/breaker-state.ts'
import { hasReady, nextDueMs } from '../core/due.ts'
import type { BatchAssigned, BreakerMoved, BreakerStand, Event } from '../core/events.ts'
import { fits } from '../core/fit.ts'
import { Refused, type Input } from '../core/input.ts'
import { defaultLimits, type Limits } from '../core/limits.ts'
import { capture, restore, type SnapshotData } from '../core/snapshot.ts'
import { accounted, emptyState, type Batch, type Run, type State } from '../core/state.ts'
import { isTerminal } from '../core/task-state.ts'
import { plainSpec } from '../core/transcript.ts'
import { earlyProbes } from './early-probe.ts'
import { place } from './fixtures/placing.ts'

const limits: Limits = {
  ...defaultLimits,
  deadLettersMax: 12,
  deadLetterAgeMaxMs: 60_000,
  finishedRunsMax: 4,
  breakerProbesMax: 2,
  breakerProbeTasksMax: 2,
  classBreakerFailuresMin: 4,
  classBreakerWaitMaxMs: 120_000,
}

/** What a recount of the log says. */
type Counted = { readonly slot: number; readonly ok: number; readonly failed: number }
type World = {
  readonly state: State
  atMs: number
  readonly log: { readonly atMs: number; readonly events: readonly Event[] }[]
  readonly stands: Map<string, BreakerStand>
  readonly outcomes: Map<string, Counted[]>
  readonly probes: Map<string, Set<string>>
  readonly batches: Map<
    string,
    { readonly worker: string; readonly scope: string; readonly size: number; begun: boolean }
  >
  readonly letters: Map<string, string>
  dropped: number
  readonly seen: Set<string>
}

function newWorld(): World {
  return {
    state: emptyState(limits),
    atMs: 0,
    log: [],
    stands: new Map(),
    outcomes: new Map(),
    probes: new Map(),
    batches: new Map(),
    letters: new Map(),
    dropped: 0,
    seen: new Set(),
  }
}

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

const view = (world: World) => ({ state: world.state, available: () => true })

/** As the leader does. */
function placeAll(world: World): void {
  if ((tickDueMs(world.state) ?? Infinity) <= world.atMs)
    record(world, advance(world.state, { type: 'tick' }, world.atMs))
  for (const probe of earlyProbes(view(world), world.atMs)) {
    record(world, advance(world.state, probe, world.atMs))
    world.seen.add('early probe')
  }
  for (let next = place(view(world), world.atMs); next; next = place(view(world), world.atMs))
    record(world, advance(world.state, next, world.atMs))
  checkNobodyStranded(world)
  checkLetters(world)
}

function wait(world: World, byMs: number): void {
  const due = Math.min(nextDueMs(world.state, world.atMs) ?? Infinity, tickDueMs(world.state) ?? Infinity)
  world.atMs = Math.max(world.atMs, Math.min(due, world.atMs + byMs))
  placeAll(world)
}

// ---- what is checked ----

function record(world: World, events: readonly Event[]): void {
  if (events.length === 0) return
  world.log.push({ atMs: world.atMs, events })
  for (const event of events) {
    switch (event.type) {
      case 'batch.assigned':
        checkAssigned(world, event)
        break
      case 'task.started':
      case 'task.reported':
        world.batches.get(event.batch)!.begun = true
        break
      case 'batch.ended':
        recount(world, event)
        break
      case 'breaker.counted':
        addOutcome(world, event.scope, event.ok, event.failed)
        break
      case 'breaker.moved':
        checkMoved(world, event)
        break
      case 'dead-letter.added':
        for (const { letter } of event.letters) {
          assert.ok(!world.letters.has(letter))
          world.letters.set(letter, event.run)
          world.seen.add(`letter ${event.cause}`)
        }
        break
      case 'dead-letter.settled':
        if (event.removed) for (const letter of event.letters) assert.ok(world.letters.delete(letter))
        world.seen.add(event.removed ? 'settled' : 'still there')
        break
      case 'dead-letter.dropped':
        world.dropped += event.count
        for (const letter of event.letters) assert.ok(world.letters.delete(letter))
        world.seen.add(event.why)
        break
      case 'dead-letter.discarded':
        for (const letter of event.letters) assert.ok(world.letters.delete(letter))
        break
      default:
    }
  }
}

function addOutcome(world: World, scope: string, ok: number, failed: number): void {
  const list = world.outcomes.get(scope) ?? []
  list.push({ slot: Math.floor(world.atMs / 10_000), ok, failed })
  world.outcomes.set(scope, list)
}

function recount(world: World, event: Extract<Event, { type: 'batch.ended' }>): void {
  const batch = world.batches.get(event.batch)!
  for (const probes of world.probes.values()) probes.delete(event.batch)
  // Cancelled runs are out of this test.
  const alone = event.reason === 'crashed' && batch.begun && batch.size === 1
  if (event.reason === 'cancelled' || alone) return
  const good = batch.begun && (event.reason === 'completed' || event.reason === 'timed-out')
  addOutcome(world, workerScope(event.worker), good ? 1 : 0, good ? 0 : 1)
  if (event.reason !== 'lost' && event.reason !== 'fenced') addOutcome(world, batch.scope, good ? 1 : 0, good ? 0 : 1)
}

function checkAssigned(world: World, event: BatchAssigned): void {
  const scope = classScope(world.state.runs.get(event.run)!.spec)
  world.batches.set(event.batch, { worker: event.worker, scope, size: event.tasks.length, begun: false })
  for (const one of [scope, workerScope(event.worker)]) {
    const stand = world.stands.get(one) ?? 'closed'
    assert.notEqual(stand, 'open', `${one} is open and gets nothing`)
    if (stand === 'closed') continue
    const probes = world.probes.get(one)!
    probes.add(event.batch)
    assert.ok(probes.size <= limits.breakerProbesMax, 'no more probes than allowed')
    assert.ok(event.tasks.length <= limits.breakerProbeTasksMax, 'probes are small')
    world.seen.add('probe')
  }
}

function checkMoved(world: World, event: BreakerMoved): void {
  const { scope, from, to, who, counts } = event
  assert.equal(from, world.stands.get(scope) ?? 'closed')
  assert.ok(breakerMoves[from].includes(to))
  const kind = scopeKind(scope)!
  const { failuresMin, ratePercent, windowMs, workersMin } = thresholdsOf(limits, kind)
  if (who === 'coordinator') {
    const first = Math.floor((world.atMs - windowMs) / 10_000) + 1
    const recent = (world.outcomes.get(scope) ?? []).filter(({ slot }) => slot >= first)
    assert.equal(
      counts.ok,
      recent.reduce((sum, one) => sum + one.ok, 0),
      `${scope} ok`,
    )
    assert.equal(
      counts.failed,
      recent.reduce((sum, one) => sum + one.failed, 0),
      `${scope} failed`,
    )
  }
  if (who === 'coordinator' && from === 'closed') {
    assert.ok(counts.failed >= failuresMin)
    assert.ok(counts.failed * 100 >= (counts.ok + counts.failed) * ratePercent)
    assert.ok(counts.workers >= workersMin)
  }
  if (to === 'open' && who === 'coordinator') {
    assert.ok(event.untilMs! > world.atMs && event.untilMs! <= world.atMs + limits.breakerCoolDownMaxMs)
  }
  world.seen.add(`${kind} ${from} -> ${to}${who === 'coordinator' ? '' : ' by hand'}`)
  world.stands.set(scope, to)
  world.probes.set(scope, new Set())
  if (to !== 'open') world.outcomes.delete(scope)
}

/** A run that could have work done is never behind open breakers of all its workers, unless a person holds one. */
function checkNobodyStranded(world: World): void {
  const { state } = world
  for (const id of state.active) {
    const run = state.runs.get(id)!
    if (run.state === 'paused' || !hasReady(run, world.atMs)) continue
    const breakers = [...state.workers.values()]
      .filter((worker) => fits(run, run.groups[0]!, worker))
      .map((worker) => state.breakers.byScope.get(workerScope(worker.id)))
    if (breakers.length === 0 || breakers.some((breaker) => breaker?.stand !== 'open')) continue
    assert.ok(
      breakers.every((breaker) => breaker!.untilMs === undefined),
      `${id} waits behind breakers that could be tried`,
    )
  }
}

function checkLetters({ state, letters, dropped }: World): void {
  assert.deepEqual([...state.letters.byId.keys()].sort(), [...letters.keys()].sort())
  assert.ok(letters.size <= limits.deadLettersMax)
  assert.equal(state.letters.dropped, dropped)
  let sum = 0
  for (const source of state.letters.sources.values()) sum += source.letters.size
  assert.equal(sum, letters.size)
  for (const [run, tasks] of state.letters.replays) {
    for (const [task, letter] of tasks) {
      assert.deepEqual(state.letters.byId.get(letter)!.replay, { run, task, who: 'x' })
      assert.ok(!isTerminal(state.runs.get(run)!.tasks[task]!.state), 'a replay that is over is settled')
    }
  }
}

// ---- what happens ----

function join(worker: string, cpus: number): Input {
  const capabilities = { os: 'linux', arch: 'x64', cpus, memoryBytes: 1, host: worker, labels: {}, tools: {} }
  return { type: 'join', worker, name: worker, version: '1', capabilities, draining: false }
}

function submit(run: string, suite: string, count: number): Input {
  const files = Array.from({ length: count }, (_, index) => `f${index}`)
  const spec = { ...plainSpec, suite, startupMs: 10 }
  return { type: 'submit', run, who: 'x', spec, files, estimates: files.map(() => 100) }
}

const openTasks = (run: Run, batch: Batch): number[] =>
  batch.tasks.filter((index) => {
    const task = run.tasks[index]!
    return task.batch === batch.id && !isTerminal(task.state) && task.state !== 'queued'
  })

/** Worker w0 is always bad, suite `broken` everywhere; the rest is by chance. */
function endBatch(world: World, batch: Batch, pick: number): void {
  const run = world.state.runs.get(batch.run)!
  const open = openTasks(run, batch)
  const base = { worker: batch.worker, batch: batch.id, token: batch.token }
  const bad = batch.worker === 'w0' || run.spec.suite === 'broken' || pick % 5 === 0
  if (!bad || pick % 7 === 0) {
    const failed = pick % 13 === 0
    const report = (task: number) => ({
      task,
      outcome: failed ? ('failed' as const) : ('passed' as const),
      durationMs: 1,
      counts: failed ? ([0, 1, 0, 0] as const) : ([1, 0, 0, 0] as const),
    })
    const reports = open.slice(0, bad ? 1 : open.length).map(report)
    if (reports.length > 0) feed(world, { type: 'report', ...base, reports })
  }
  const left = openTasks(run, batch)
  const reason =
    left.length === 0 ? 'completed' : (['failed-to-start', 'crashed', 'fenced', 'completed'] as const)[pick % 4]!
  feed(world, {
    type: 'end',
    ...base,
    reason,
    exitCode: pick % 3 === 0 ? 0 : 1,
    signal: null,
    startupMs: 1,
    wallMs: 1,
    interrupted: reason === 'crashed' && pick % 2 === 0 ? left.slice(0, 1) : [],
    timedOut: [],
    errors: [],
  })
}

function happen(world: World, pick: number): void {
  const { state } = world
  const kind = Math.floor(pick / 11) % 18
  const scopes = [...state.breakers.byScope.keys()]
  const letters = [...state.letters.byId.values()]
  const letter = letters[pick % Math.max(1, letters.length)]
  if (kind === 0) return feed(world, join(`w${pick % 4}`, 1 + (pick % 2)))
  if (kind === 1 && pick % 3 === 0) return feed(world, { type: 'leave', worker: `w${pick % 4}`, why: 'gone' })
  if (kind === 2) return feed(world, submit(`r${pick % 10_000}`, pick % 3 === 0 ? 'broken' : 'fine', 1 + (pick % 9)))
  if (kind === 3) return wait(world, pick % 60_000)
  if (kind === 4 && letter) {
    const { run } = letter
    const these = letters.filter((one) => one.run === run && one.id !== letter.id).slice(0, pick % 3)
    return feed(world, {
      type: 'replay',
      letters: [letter.id, ...these.map((one) => one.id)],
      run: `p${world.atMs}`,
      who: 'x',
      again: pick % 2 === 0,
      context: '',
      estimates: [letter, ...these].map(() => null),
      startupMs: 0,
    })
  }
  if (kind === 5 && letter && pick % 4 === 0)
    return feed(world, { type: 'discard', letters: [letter.id], who: 'x', why: 'x' })
  if (kind === 6) return feed(world, { type: 'prune' })
  if (kind === 7)
    return feed(world, { type: 'observe', scope: 'integration:x', ok: pick % 3, failed: pick % 5, why: 'x' })
  const scope = scopes[pick % Math.max(1, scopes.length)] ?? 'worker:w1'
  if (kind === 8 && pick % 5 === 0) return feed(world, { type: 'open-breaker', scope, who: 'client:x', why: 'x' })
  if (kind === 9 && pick % 3 === 0)
    return feed(world, { type: 'reset-breakers', scopes: [scope], who: 'client:x', why: 'x' })
  const batches = [...state.batches.values()]
  const batch = batches[pick % Math.max(1, batches.length)]
  if (!batch) return wait(world, 1_000 + (pick % 9_000))
  if (kind < 12) {
    const open = openTasks(state.runs.get(batch.run)!, batch)
    const base = { worker: batch.worker, batch: batch.id, token: batch.token }
    return feed(world, { type: 'start', ...base, tasks: open.slice(0, 1) })
  }
  endBatch(world, batch, pick)
}

const plain = (state: State): unknown => JSON.parse(JSON.stringify(capture(state)))

/** What people hold is reset; nothing else is helped along. */
function heal(world: World): void {
  const held = [...world.state.breakers.byScope.values()].filter(
    (breaker) => breaker.stand === 'open' && breaker.untilMs === undefined,
  )
  for (const { scope } of held)
    feed(world, { type: 'reset-breakers', scopes: [scope], who: 'client:x', why: 'healing' })
  feed(world, join('healthy', 2))
  for (let round = 0; world.state.active.size > 0; round += 1) {
    assert.ok(round < 20_000, 'the runs come to an end')
    const batch = [...world.state.batches.values()][round % Math.max(1, world.state.batches.size)]
    if (batch) endBatch(world, batch, 7 * round + 1)
    else {
      const beforeMs = world.atMs
      wait(world, 3_600_000)
      assert.ok(
        world.atMs > beforeMs || world.state.batches.size > 0 || world.state.active.size === 0,
        'time is of help',
      )
      assert.ok(world.atMs - beforeMs <= limits.breakerCoolDownMaxMs, 'nobody waits longer than the longest cool-down')
    }
  }
}

test('random failures: breakers move as they may, nobody is stranded, letters add up, and the log is the truth', () => {
  const seen = new Set<string>()
  const picks = fc.array(fc.nat({ max: 10_000_000 }), { minLength: 50, maxLength: 400 })
  fc.assert(
    fc.property(picks, (numbers) => {
      const world = newWorld()
      feed(world, { type: 'raise-format', format: 2 })
      for (const worker of ['w0', 'w1', 'w2']) feed(world, join(worker, 1))
      feed(world, submit('first', 'fine', 12))
      for (const pick of numbers) happen(world, pick)
      const middle = plain(world.state)
      const again = restore(middle as SnapshotData, limits)
      assert.deepEqual(plain(again), middle, 'a snapshot holds everything')
      assert.deepEqual(again.letters, world.state.letters)
      assert.deepEqual(again.breakers.notClosed.size, world.state.breakers.notClosed.size)
      heal(world)
      for (const run of world.state.runs.values()) assert.equal(accounted(run), run.tasks.length)
      const replayed = emptyState(limits)
      for (const entry of world.log) for (const event of entry.events) apply(replayed, event, entry.atMs)
      assert.deepEqual(plain(replayed), plain(world.state), 'the log is the truth')
      for (const what of world.seen) seen.add(what)
    }),
    { numRuns: 200, seed: 11 },
  )
  for (const rare of [
    'probe',
    'early probe',
    'worker closed -> open',
    'worker open -> half-open',
    'worker half-open -> closed',
    'worker half-open -> open',
    'class closed -> open',
    'class half-open -> closed',
    'class half-open -> open',
    'integration closed -> open',
    'integration half-open -> closed',
    'worker closed -> open by hand',
    'worker half-open -> closed by hand',
    'settled',
    'still there',
    'too old',
    'more than 12 dead letters',
    'letter breaker',
    'letter lost',
    'letter fenced',
    'letter crashed',
    'letter failed-to-start',
    'letter unreported',
  ]) {
    assert.ok(seen.has(rare), `${rare} was reached; reached: ${[...seen].sort().join(', ')}`)
  }
})

test('countsOf: what is older than the window does not count', () => {
  const state = emptyState(limits)
  const observe = (failed: number, atMs: number) =>
    advance(state, { type: 'observe', scope: 'integration:x', ok: 1, failed, why: 'x' }, atMs)
  advance(state, { type: 'raise-format', format: 2 }, 1)
  observe(2, 5_000)
  observe(1, 55_000)
  const breaker = state.breakers.byScope.get('integration:x')!
  assert.deepEqual(countsOf(breaker, 59_000, 60_000), { ok: 2, failed: 3, workers: 0 })
  assert.deepEqual(countsOf(breaker, 70_000, 60_000), { ok: 1, failed: 1, workers: 0 })
  assert.deepEqual(countsOf(breaker, 700_000, 60_000), { ok: 0, failed: 0, workers: 0 })
})
