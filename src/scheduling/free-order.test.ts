/**
 * Workers that are kept in order are those that looking at each of them finds, in the order that sorting them finds:
 * whatever was given to whom or given back meanwhile, with several workers on a host, and with what is kept for others in the
 * round. And a round ends only when nobody could be given anything.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { advance } from '../core/advance.ts'
import { fits } from '../core/fit.ts'
import { cpusOf, grantOf, obstacleOn } from '../core/holdings.ts'
import { Refused, type Input } from '../core/input.ts'
import { defaultLimits } from '../core/limits.ts'
import { emptyState, type Group, type Run, type State, type Worker } from '../core/state.ts'
import { plainSpec } from '../core/transcript.ts'
import { Fleets, measuredSpeed } from './fleet.ts'
import { capabilities, join, needs, shares } from './fixtures/needs.ts'
import { Reservations } from './reservations.ts'
import { beginRound, freeWorkers, isAllGiven, type Round } from './round.ts'

const story = fc.record({
  shares,
  fleet: fc.array(capabilities, { minLength: 4, maxLength: 24 }),
  tables: fc.array(needs, { minLength: 2, maxLength: 4 }),
  steps: fc.array(
    fc.record({
      kind: fc.constantFrom(
        'assign',
        'assign',
        'assign',
        'assign',
        'end',
        'end',
        'join',
        'leave',
        'recycle',
        'keep',
        'keep',
        'keep',
        'begin',
      ),
      pick: fc.nat({ max: 1_000_000 }),
      look: fc.boolean(),
    }),
    { minLength: 20, maxLength: 80 },
  ),
})

const nowMs = 1_700_000_000_000

test('workers that are kept in order are those that looking at each of them finds', () => {
  const seen = { filtered: 0, mates: 0, ended: 0, several: 0 }
  fc.assert(
    fc.property(story, (told) => {
      const state = emptyState(defaultLimits, told.shares)
      const feed = (input: Input) => {
        try {
          advance(state, input, nowMs)
        } catch (error) {
          if (!(error instanceof Refused)) throw error
        }
      }
      feed({ type: 'raise-format', format: 3 })
      for (const [at, one] of told.fleet.entries()) feed(join(`w${at}`, one))
      for (const [at, table] of told.tables.entries()) {
        const kinds = Array.from({ length: 40 }, (_, file) => file % table.length)
        const spec = { ...plainSpec, needs: table, ...(at % 2 === 0 ? {} : { cpus: 2 }) }
        const files = kinds.map((_, file) => `f${file}`)
        feed({ type: 'submit', run: `r${at}`, who: 'x', spec, files, estimates: files.map(() => 9), kinds })
      }
      let round = begin(state)
      /** Whoever was given a list may hold it for as long as it likes. */
      const lists = new Map<readonly Worker[], readonly Worker[]>()
      for (const { kind, pick, look } of told.steps) {
        const run = state.runs.get(`r${pick % told.tables.length}`)!
        const group = run.groups[(pick >> 3) % run.groups.length]!
        const workers = [...state.workers.values()]
        const worker = workers[(pick >> 6) % Math.max(1, workers.length)]
        if (kind === 'assign' && worker !== undefined) {
          const wasOpen = round.open.has(worker)
          const before = state.lastToken
          assign(state, feed, run, group, worker)
          if (wasOpen && state.lastToken > before) round.open.note(worker)
          assert.equal(round.open.has(worker), wasOpen, 'who was open when the round began is so until it ends')
        } else if (kind === 'keep' && worker !== undefined) {
          const obstacle = obstacleOn(state, run, group.need, worker)
          if (obstacle !== undefined && round.open.has(worker)) round.kept.keepWorker(run, worker, group.need, obstacle)
        } else if (kind !== 'assign' && kind !== 'keep') {
          // Within a round there is only ever less.
          happen(state, feed, told.fleet.length, kind, pick)
          round = begin(state)
        }
        if (!look) continue
        const found: (readonly Worker[])[] = []
        for (const of of state.runs.values()) for (const each of of.groups) found.push(compare(round, of, each, seen))
        for (const list of found) if (!lists.has(list)) lists.set(list, [...list])
        if (isAllGiven(round)) {
          seen.ended += 1
          for (const one of state.workers.values())
            for (const of of state.runs.values())
              for (const each of of.groups) assert.ok(!mayTake(round, of, each, one), `${of.id} on ${one.id}`)
        }
      }
      for (const [list, was] of lists) assert.ok(list.every((one, at) => one === was[at]) && list.length === was.length)
    }),
    { numRuns: 150, seed: 3 },
  )
  for (const [what, times] of Object.entries(seen)) assert.ok(times > 20, `${what}: ${times}`)
})

function begin(state: State): Round {
  const view = { state, available: (worker: Worker) => worker.id !== 'w1', availableVersion: 0, nowMs }
  return beginRound(view, {
    fleets: new Fleets(view),
    speed: measuredSpeed,
    kept: new Reservations(new Reservations()),
  })
}

function assign(state: State, feed: (input: Input) => void, run: Run, group: Group, worker: Worker): void {
  const task = run.tasks.findIndex((one) => one.state === 'queued' && one.kind === group.kind)
  if (task < 0) return
  const cpus = cpusOf(run, group.need, worker)
  const grant = grantOf(state, worker, group.need)
  const given = grant === undefined ? {} : { grant }
  feed({ type: 'assign', run: run.id, worker: worker.id, tasks: [task], cpus, ...given, why: '' })
}

function happen(state: State, feed: (input: Input) => void, fleet: number, kind: string, pick: number): void {
  const worker = `w${pick % fleet}`
  if (kind === 'leave') feed({ type: 'leave', worker, why: 'x' })
  else if (kind === 'join') {
    const hosts = [...state.workers.values()].map((one) => one.capabilities)
    const other = hosts[pick % Math.max(1, hosts.length)]
    if (other !== undefined) feed(join(worker, { ...other, cpus: 1 + (pick % 7) }))
  } else if (kind === 'recycle') {
    const one = state.workers.get(worker)
    if (one === undefined) return
    one.recycling = { id: 1, sinceMs: nowMs, untilMs: nowMs + (pick % 2) * 1000 }
    state.recycling.add(worker)
  } else if (kind === 'end') {
    const batches = [...state.batches.values()]
    const batch = batches[pick % Math.max(1, batches.length)]
    if (batch === undefined) return
    const base = { worker: batch.worker, batch: batch.id, token: batch.token }
    const reports = batch.tasks.map(
      (task) => ({ task, outcome: 'passed', durationMs: 1, counts: [1, 0, 0, 0] }) as const,
    )
    feed({ type: 'report', ...base, reports })
    const how = { exitCode: 0, signal: null, startupMs: 5, wallMs: 1, interrupted: [], timedOut: [], errors: [] }
    feed({ type: 'end', ...base, reason: 'completed', ...how })
  }
}

/** By what it is and nothing that is kept in order. */
function mayTake({ view, kept }: Round, run: Run, group: Group, worker: Worker): boolean {
  if (!view.available(worker) || (worker.recycling?.untilMs ?? 0) > nowMs || !fits(run, group, worker)) return false
  return kept.mayUse(worker, group.need) && obstacleOn(view.state, run, group.need, worker) === undefined
}

function compare(round: Round, run: Run, group: Group, seen: Record<string, number>): readonly Worker[] {
  const fitting = round.fleets.of(run, group).workers
  const found = freeWorkers(round, run, group, fitting)
  // Somebody who looks at all of them: nobody has said when availability changes, and nothing has been found before.
  const { availableVersion: _, ...view } = round.view
  const asked = freeWorkers({ ...round, view, rooms: new Map() }, run, group, fitting)
  const names = (workers: readonly Worker[]) => workers.map((worker) => worker.id)
  assert.deepEqual(names(found), names(asked))
  for (const worker of found) assert.ok(mayTake(round, run, group, worker))
  const may = [...round.view.state.workers.values()].filter((worker) => mayTake(round, run, group, worker))
  if (group.need.cpus !== undefined) assert.equal(found.length, may.length)
  if (found.length > 1) seen['several']! += 1
  if (!round.kept.leavesAll(group.need)) seen['filtered']! += 1
  if (new Set(found.map((worker) => worker.capabilities.host)).size < found.length) seen['mates']! += 1
  return found
}
