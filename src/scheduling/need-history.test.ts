/**
 * Random histories of runs that need something: every built-in strategy, also two in one round, random fleets, needs, dependencies and quotas,
 * while workers come, go and change, batches crash, and runs are cancelled, extended and paused. Of each history an audit
 * that knows nothing but the log says whether anything was over-committed, a lock or a quota broken, or something run
 * before what it comes after. Then the fleet is made well: everything that is left must be placed and must end. The same
 * history again, from a snapshot of its middle too, must give the same decisions, and the log alone the same state.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { advance, apply } from '../core/advance.ts'
import { tickDueMs } from '../core/breaker.ts'
import { nextDueMs } from '../core/due.ts'
import type { Capabilities, Need, RunDependency, RunSpec } from '../core/entities.ts'
import type { Event } from '../core/events.ts'
import { type Assign, Refused, type Input } from '../core/input.ts'
import { defaultLimits } from '../core/limits.ts'
import type { Shares } from '../core/shares.ts'
import { capture, restore, type SnapshotData } from '../core/snapshot.ts'
import { accounted, emptyState, type Batch, type Run, type State } from '../core/state.ts'
import { plainSpec } from '../core/transcript.ts'
import { Audit } from './fixtures/audit.ts'
import { earlyProbes } from './early-probe.ts'
import type { View } from './fleet.ts'
import { capabilities, dependenciesOf, healthyFleet, join, needs, shares } from './fixtures/needs.ts'
import { assertOrderIsKept } from './fixtures/kept-order.ts'
import { placements } from './fixtures/placing.ts'
import { type Ordering, sorted } from './ordering.ts'
import { Reservations } from './reservations.ts'
import { builtinOrderings, builtinStrategies } from './strategies/builtin.ts'
import { orderedStrategy, type Strategy } from './strategy.ts'

type Story = {
  readonly strategy: Strategy
  /** Places the runs of project q, after the other has placed those of p; absent = there is only the other. */
  readonly second: Strategy | undefined
  readonly shares: Shares
  readonly fleet: readonly Capabilities[]
  readonly tables: readonly (readonly Need[])[]
  readonly picks: readonly number[]
}

const story: fc.Arbitrary<Story> = fc.record({
  strategy: fc.constantFrom(...builtinStrategies),
  second: fc.option(fc.constantFrom(...builtinStrategies), { nil: undefined, freq: 2 }),
  shares,
  fleet: fc.array(capabilities, { minLength: 1, maxLength: 5 }),
  tables: fc.array(needs, { minLength: 1, maxLength: 3 }),
  picks: fc.array(fc.nat({ max: 1_000_000 }), { minLength: 10, maxLength: 80 }),
})

class World {
  state: State
  atMs = 1000
  readonly story: Story
  readonly audit: Audit
  readonly log: { atMs: number; events: readonly Event[] }[] = []

  /** Whether every decision is compared with what others would decide. */
  readonly #looks: boolean

  constructor(told: Story, looks: boolean) {
    this.story = told
    this.#looks = looks
    this.state = emptyState(defaultLimits, told.shares)
    this.audit = new Audit(told.shares)
    this.feed({ type: 'raise-format', format: 3 })
  }

  feed(input: Input): void {
    this.atMs += 1
    try {
      this.#record(advance(this.state, input, this.atMs))
    } catch (error) {
      if (!(error instanceof Refused)) throw error
      return
    }
    this.placeAll()
  }

  /** Nothing happens but that time goes by, to the next moment that somebody waits for or by so much. */
  wait(byMs: number): void {
    const dueMs = Math.min(nextDueMs(this.state, this.atMs) ?? Infinity, tickDueMs(this.state) ?? Infinity)
    this.atMs = Math.max(this.atMs, Math.min(dueMs, this.atMs + byMs))
    this.placeAll()
  }

  placeAll(): void {
    const view = { state: this.state, available: () => true, availableVersion: 0 }
    if (this.#looks) assertOrderIsKept(this.state, this.atMs)
    if ((tickDueMs(this.state) ?? Infinity) <= this.atMs) this.#record(advance(this.state, { type: 'tick' }, this.atMs))
    for (const probe of earlyProbes(view, this.atMs)) this.#record(advance(this.state, probe, this.atMs))
    for (let look = 1, placed = 1; placed > 0; look += 1) {
      // With less to do, a run with a deadline may be less urgent than it was; then another one's turn comes. Whoever
      // made that one wait is under way, so that somebody will look again.
      const underWay = this.state.batches.size
      placed = 0
      // The one now, the other then: it takes most of this test's time.
      const strategies = strategiesOf(this.story)
      const other = this.#looks
        ? anew(this.state, this.atMs, this.atMs % 2 === 0 ? strategies : strategies.map(plainly))
        : undefined
      const given: Input[] = []
      for (const next of placementsOf(view, this.atMs, strategies)) {
        given.push(next)
        this.#record(advance(this.state, next, this.atMs))
        placed += 1
      }
      if (other !== undefined) assert.deepEqual(given, other)
      assert.ok(look === 1 || placed === 0 || underWay > 0, 'all that can be placed is found at the first look')
    }
  }

  #record(events: readonly Event[]): void {
    if (events.length === 0) return
    this.log.push({ atMs: this.atMs, events })
    this.audit.take(events, this.atMs)
    assert.deepEqual(this.audit.violations, [])
  }
}

function strategiesOf({ strategy, second }: Story): readonly Strategy[] {
  return second === undefined ? [strategy] : [strategy, second]
}

/** Of several, each places the runs of its own project, and what those before it keep is kept from it, too. */
function* placementsOf(view: View, nowMs: number, strategies: readonly Strategy[]): Generator<Assign, undefined> {
  if (strategies.length === 1) return yield* placements(view, nowMs, strategies[0]!)
  let kept: Reservations | undefined
  for (const [at, strategy] of strategies.entries()) {
    kept = new Reservations(kept)
    const mine = (run: Run) => (run.spec.project === 'p') === (at === 0)
    for (const placement of strategy.place({ ...view, nowMs, mine, kept }, undefined))
      yield { type: 'assign', ...placement }
  }
  return undefined
}

/** What is decided by who has kept nothing. */
function anew(state: State, atMs: number, strategies: readonly Strategy[]): Input[] {
  const fresh = restore(plain(state) as SnapshotData, defaultLimits, state.shares)
  const given: Input[] = []
  for (const next of placementsOf({ state: fresh, available: () => true }, atMs, strategies)) {
    given.push(next)
    advance(fresh, next, atMs)
  }
  return given
}

/** The same strategy, which sorts all runs and asks each of them, and passes over nobody. */
function plainly({ name }: Strategy): Strategy {
  const ordering: Ordering = builtinOrderings[name as keyof typeof builtinOrderings]
  const { keyed, ...rest } = ordering
  return orderedStrategy(name, '', {
    ...rest,
    sort: (view, waiting, fleets, nowMs) => sorted({ keyed: keyed!, turn: 'run' }, view, waiting, fleets, nowMs),
  })
}

function submit(world: World, pick: number): Input {
  const { tables } = world.story
  const table = tables[pick % tables.length]!
  const count = 1 + (pick % 9)
  const files = Array.from({ length: count }, (_, index) => `f${index}`)
  const runs = [...world.state.runs.keys()]
  const before = runs[pick % Math.max(1, runs.length)]
  const after: RunDependency[] =
    before === undefined || pick % 4 > 0 ? [] : [{ run: before, when: pick % 8 === 0 ? 'passed' : 'finished' }]
  const dependencies = dependenciesOf(count, pick >> 2)
  const spec: RunSpec = {
    ...plainSpec,
    needs: table,
    project: pick % 2 === 0 ? 'p' : 'q',
    retries: pick % 2,
    priority: pick % 5,
    open: pick % 6 === 0,
    startupMs: (pick % 3) * 50,
    ...(pick % 3 === 0 ? { user: 'u' } : {}),
    ...(pick % 5 === 0 ? { cpus: 1 + (pick % 4) } : {}),
    ...(pick % 7 === 0 ? { workersMax: 1 + (pick % 2) } : {}),
    ...(pick % 3 === 1 ? { deadlineAtMs: world.atMs + (pick % (pick % 2 === 0 ? 100_000 : 3000)) } : {}),
    ...(pick % 11 < 4 ? { onDependencyFailure: 'run' as const } : {}),
    ...(after.length === 0 ? {} : { after }),
  }
  return {
    type: 'submit',
    run: `r${pick % 100_000}`,
    who: 'client:x',
    spec,
    files,
    estimates: files.map((_, index) => ((pick + index) % 3 === 0 ? null : ((pick + index) % 10) * 20)),
    kinds: files.map((_, index) => (pick + index * 7) % table.length),
    ...(dependencies === undefined ? {} : { dependencies }),
  }
}

function openTasks(state: State, batch: Batch): number[] {
  const { tasks } = state.runs.get(batch.run)!
  return batch.tasks.filter((index) => {
    const task = tasks[index]!
    return task.batch === batch.id && (task.state === 'assigned' || task.state === 'running')
  })
}

/** One thing that happens, chosen by a number. */
function happen(world: World, pick: number): void {
  const { state, story: told } = world
  const batches = [...state.batches.values()]
  const batch = batches[pick % Math.max(1, batches.length)]
  const active = [...state.active]
  const run = active[pick % Math.max(1, active.length)] ?? 'none'
  const kind = Math.floor(pick / 7) % 24
  const worker = `w${pick % told.fleet.length}`
  if (kind < 2) return world.feed(join(worker, told.fleet[(pick >> 4) % told.fleet.length]!))
  if (kind === 2) return world.feed({ type: 'leave', worker, why: 'gone' })
  if (kind === 3 && pick % 3 === 0) return world.feed({ type: 'drain', worker, who: 'x', why: 'x' })
  if (kind < 8) return world.feed(submit(world, pick))
  if (kind === 8) return world.feed({ type: 'pause', run, who: 'x', why: 'x' })
  if (kind === 9) return world.feed({ type: 'resume', run, who: 'x' })
  if (kind === 10) return world.feed({ type: 'cancel', run, who: 'x', why: 'x', drain: pick % 2 === 0 })
  if (kind === 11) return world.feed({ type: 'seal', run, who: 'x' })
  if (kind === 12) {
    const kinds = (state.runs.get(run)?.groups.length ?? 1) - 1
    return world.feed({ type: 'extend', run, who: 'x', files: ['x', 'y'], estimates: [null, 7], kinds: [0, kinds] })
  }
  if (kind === 13) return world.feed({ type: 'prioritise', run, who: 'x', priority: pick % 9 })
  if (kind === 14) return world.wait([400_000, 50, 25_000, 400, 45_000][pick % 5]!)
  if (kind === 15 && pick % 4 === 0) return world.feed({ type: 'abandon', run, kinds: [0], why: 'x' })
  if (!batch) return
  const open = openTasks(state, batch)
  const base = { worker: batch.worker, batch: batch.id, token: batch.token }
  if (kind < 17) return world.feed({ type: 'start', ...base, tasks: open })
  if (kind < 20) {
    const outcome = (['passed', 'passed', 'failed', 'skipped', 'passed'] as const)[pick % 5]!
    const counts = [1, outcome === 'failed' ? 1 : 0, 0, 0] as const
    return world.feed({
      type: 'report',
      ...base,
      reports: open.slice(0, 1 + (pick % 4)).map((task) => ({ task, outcome, durationMs: pick % 50, counts })),
    })
  }
  end(world, batch, open.length === 0 ? 'completed' : pick % 3 === 0 ? 'crashed' : 'failed-to-start')
}

function end(world: World, batch: Batch, reason: 'completed' | 'crashed' | 'failed-to-start'): void {
  world.feed({
    type: 'end',
    worker: batch.worker,
    batch: batch.id,
    token: batch.token,
    reason,
    exitCode: reason === 'completed' ? 0 : 1,
    signal: null,
    startupMs: 1,
    wallMs: 1,
    interrupted: openTasks(world.state, batch).slice(0, 1),
    timedOut: [],
    errors: [],
  })
}

/** Everybody is well, and every batch reports all that it has. */
function heal(world: World): void {
  for (const id of Array.from(world.state.workers.keys())) world.feed({ type: 'leave', worker: id, why: 'healing' })
  for (const worker of healthyFleet()) world.feed(worker)
  for (const run of Array.from(world.state.active)) {
    world.feed({ type: 'resume', run, who: 'x' })
    world.feed({ type: 'seal', run, who: 'x' })
  }
  while (world.state.active.size > 0) {
    const [batch] = world.state.batches.values()
    if (!batch) {
      const due = nextDueMs(world.state, world.atMs) ?? tickDueMs(world.state)
      assert.ok(due !== undefined, `${waiting(world.state)} can be placed`)
      world.wait(Infinity)
      continue
    }
    const reports = openTasks(world.state, batch).map((task) => {
      return { task, outcome: 'passed' as const, durationMs: 1, counts: [1, 0, 0, 0] as const }
    })
    const { worker, token } = batch
    if (reports.length > 0) world.feed({ type: 'report', worker, batch: batch.id, token, reports })
    if (world.state.batches.has(batch.id)) end(world, batch, 'completed')
  }
}

function waiting(state: State): string {
  const runs = [...state.active].map((id) => state.runs.get(id)!)
  return JSON.stringify(
    runs.map((run) => ({ run: run.id, state: run.state, after: run.after, open: run.open, by: run.byState })),
  )
}

/** As it would lie on disk. */
function plain(state: State): unknown {
  return JSON.parse(JSON.stringify(capture(state)))
}

function tell(told: Story, restoreAt: number | undefined): World {
  const world = new World(told, restoreAt === undefined)
  told.fleet.forEach((one, at) => world.feed(join(`w${at}`, one)))
  told.picks.forEach((pick, at) => {
    if (at === restoreAt) {
      const data = plain(world.state) as SnapshotData
      world.state = restore(data, defaultLimits, told.shares)
      assert.deepEqual(plain(world.state), data, 'a snapshot holds everything')
    }
    happen(world, pick)
  })
  heal(world)
  return world
}

test('whatever runs need: nothing is over-committed or broken, all of it is placed, and all of it again', () => {
  const seen = new Map<string, number>()
  const see = (what: string) => seen.set(what, (seen.get(what) ?? 0) + 1)
  fc.assert(
    fc.property(story, (told) => {
      const world = tell(told, undefined)
      for (const run of world.state.runs.values()) assert.equal(accounted(run), run.tasks.length)
      const again = tell(told, told.picks.length >> 1)
      assert.deepEqual(again.log, world.log, 'the same decisions, from a snapshot too')
      const replayed = emptyState(defaultLimits, told.shares)
      for (const entry of world.log) for (const event of entry.events) apply(replayed, event, entry.atMs)
      assert.deepEqual(plain(replayed), plain(world.state), 'the log is the truth')
      const { locks, placed, batches } = world.state
      assert.deepEqual([locks.size, placed.size, batches.size], [0, 0, 0], 'everything is given back')
      for (const worker of world.state.workers.values())
        assert.deepEqual([worker.cpusUsed, worker.held.memoryBytes, world.state.cards.size], [0, 0, 0])
      for (const { name } of strategiesOf(told)) see(name)
      if (told.second !== undefined) see('two strategies')
      for (const { events } of world.log) for (const event of events) for (const what of rare(world, event)) see(what)
    }),
    { numRuns: 120, seed: 11 },
  )
  for (const what of ['locks', 'gpus', 'shared gpus', 'memory', 'resources', 'exclusive', 'antiAffinity', 'where'])
    assert.ok((seen.get(what) ?? 0) > 50, `${what}: ${seen.get(what) ?? 0} placements`)
  for (const what of ['task.unblocked', 'dependency skipped', 'lost', 'run cancelled by a run', 'two strategies'])
    assert.ok((seen.get(what) ?? 0) > 5, `${what}: ${seen.get(what) ?? 0} times`)
  for (const { name } of builtinStrategies) assert.ok((seen.get(name) ?? 0) > 5, name)
})

/** What of interest an event is, so that the test knows that it has looked. */
function rare(world: World, event: Event): string[] {
  if (event.type === 'task.unblocked') return [event.type]
  if (event.type === 'run.cancelled' && event.who === 'coordinator') return ['run cancelled by a run']
  if (event.type === 'task.ended' && event.why.includes('comes after')) return ['dependency skipped']
  if (event.type === 'batch.ended' && event.reason === 'lost') return ['lost']
  if (event.type !== 'batch.assigned') return []
  const run = world.state.runs.get(event.run)!
  const need = run.spec.needs![run.tasks[event.tasks[0]!]!.kind]!
  const words = []
  if (need.locks) words.push('locks')
  if (need.gpus) words.push(need.gpus.exclusive === false ? 'shared gpus' : 'gpus')
  if (need.memoryBytes) words.push('memory')
  if (need.resources) words.push('resources')
  if (need.exclusive) words.push('exclusive')
  if (need.antiAffinity) words.push('antiAffinity')
  if (need.where) words.push('where')
  return words
}
