/**
 * The order that is kept is the one that sorting would find, with more projects and users than a history of needs has, and
 * at any time: minutes go by in which nothing happens but that somebody has waited for longer, a deadline is nearer, and
 * what was spent an hour ago no longer counts.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { advance } from '../core/advance.ts'
import type { Lock, Need, RunSpec } from '../core/entities.ts'
import { Refused, type Input } from '../core/input.ts'
import { defaultLimits } from '../core/limits.ts'
import type { ShareRule } from '../core/shares.ts'
import { emptyState, type Run } from '../core/state.ts'
import { plainSpec } from '../core/transcript.ts'
import { assertOrderIsKept } from './fixtures/kept-order.ts'
import { join } from './fixtures/needs.ts'
import { placements } from './fixtures/placing.ts'
import type { Ordering } from './ordering.ts'
import { Reservations } from './reservations.ts'
import { builtinStrategies } from './strategies/builtin.ts'
import { orderedStrategy } from './strategy.ts'

const rule: fc.Arbitrary<ShareRule> = fc
  .record(
    { weight: fc.constantFrom(1, 2, 5), cpus: fc.constantFrom(2, 6), cpuHours: fc.constantFrom(0.01, 0.5) },
    { requiredKeys: [] },
  )
  .map((one) => one as ShareRule)

const story = fc.record({
  strategy: fc.constantFrom(...builtinStrategies),
  shares: fc
    .uniqueArray(fc.tuple(fc.constantFrom('project:p1', 'project:*', 'user:u1', 'user:*'), rule), {
      selector: ([scope]) => scope,
    })
    .map((rules) => new Map(rules)),
  steps: fc.array(
    fc.record({
      kind: fc.constantFrom('submit', 'submit', 'submit', 'end', 'end', 'look', 'prioritise', 'join'),
      pick: fc.nat({ max: 100_000 }),
      afterMs: fc.oneof(fc.nat({ max: 100 }), fc.nat({ max: 70_000 }), fc.constant(1_000_000)),
    }),
    { minLength: 20, maxLength: 60 },
  ),
})

function worker(at: number): Input {
  const cpus = 2 + (at % 3)
  const plain = { os: 'linux', arch: 'x64', cpus, memoryBytes: 8, labels: {}, tools: {} }
  return join(`w${at}`, { ...plain, host: `h${at}` })
}

function submit(at: number, pick: number, nowMs: number): Input {
  const files = Array.from({ length: 1 + (pick % 12) }, (_, index) => `f${index}`)
  const spec = {
    ...plainSpec,
    project: `p${pick % 6}`,
    user: `u${(pick >> 3) % 4}`,
    priority: (pick >> 5) % 3,
    needs: [
      { cpus: 1, batchMax: 2 },
      { cpus: 2, batchMax: 2 },
    ],
    ...(pick % 4 === 0 ? { deadlineAtMs: nowMs + (pick % 400_000) } : {}),
  }
  const kinds = files.map((_, index) => (pick + index) % 2)
  return { type: 'submit', run: `r${at}`, who: 'x', spec, files, estimates: files.map(() => 20_000), kinds }
}

test('the order that is kept is what sorting would find, whoever waits, whatever time it is', () => {
  fc.assert(
    fc.property(story, ({ strategy, shares, steps }) => {
      const state = emptyState(defaultLimits, shares)
      let nowMs = 1_700_000_000_000
      const feed = (input: Input) => {
        try {
          advance(state, input, nowMs)
        } catch (error) {
          if (!(error instanceof Refused)) throw error
        }
      }
      feed({ type: 'raise-format', format: 3 })
      for (let at = 0; at < 3; at += 1) feed(worker(at))
      for (const [at, { kind, pick, afterMs }] of steps.entries()) {
        nowMs += afterMs
        const batches = [...state.batches.values()]
        const batch = batches[pick % Math.max(1, batches.length)]
        if (kind === 'submit') feed(submit(at, pick, nowMs))
        else if (kind === 'join') feed(worker(pick % 5))
        else if (kind === 'prioritise') feed({ type: 'prioritise', run: `r${pick % at}`, who: 'x', priority: pick % 4 })
        else if (kind === 'end' && batch !== undefined) {
          const base = { worker: batch.worker, batch: batch.id, token: batch.token }
          const reports = batch.tasks.map(
            (task) => ({ task, outcome: 'passed', durationMs: 1, counts: [1, 0, 0, 0] }) as const,
          )
          feed({ type: 'report', ...base, reports })
          const how = { exitCode: 0, signal: null, startupMs: 5, wallMs: 1, interrupted: [], timedOut: [], errors: [] }
          feed({ type: 'end', ...base, reason: 'completed', ...how })
        }
        assertOrderIsKept(state, nowMs)
        let left = pick % 3
        const view = { state, available: () => true, availableVersion: 0 }
        for (const next of placements(view, nowMs, strategy)) {
          feed(next)
          left -= 1
          if (left <= 0) break
        }
        assertOrderIsKept(state, nowMs)
      }
    }),
    { numRuns: 150, seed: 5 },
  )
})

test('groups of a run that differ in locks have one turn together', () => {
  const state = emptyState()
  const feed = (input: Input) => advance(state, input, 1)
  const lock: Lock = { name: 'db', mode: 'counted', max: 1 }
  const submitted = (run: string, needs: readonly Need[]): Input => {
    const files = needs.map((_, kind) => `f${kind}`)
    const kinds = [...needs.keys()]
    return { type: 'submit', run, who: 'x', spec: { ...plainSpec, needs }, files, estimates: kinds.map(() => 9), kinds }
  }
  feed({ type: 'raise-format', format: 3 })
  feed(join('w', { os: 'linux', arch: 'x64', cpus: 4, memoryBytes: 8, host: 'h', labels: {}, tools: {} }))
  feed(submitted('holder', [{ cpus: 2, locks: [lock] }]))
  feed({ type: 'assign', run: 'holder', worker: 'w', tasks: [0], cpus: 2, why: '' })
  // The first waits for the lock, the second for the whole worker; the third asks for as much as the first, and may begin.
  feed(submitted('run', [{ cpus: 1, locks: [lock] }, { cpus: 3 }, { cpus: 1 }]))
  const view = { state, available: () => true, availableVersion: 0 }
  assertOrderIsKept(state, 2)
  for (const strategy of builtinStrategies) {
    const [first] = placements(view, 2, strategy)
    assert.deepEqual([first?.run, first?.tasks], ['run', [2]], strategy.name)
  }
})

const shared: Need = { cpus: 1, locks: [{ name: 'db', mode: 'shared' }] }
const alone: Need = { cpus: 1, locks: [{ name: 'db', mode: 'exclusive' }] }

/** A worker with CPUs to spare, and a lock that a run shares; `tell` brings those who wait. What is placed then, by each strategy. */
function besideAHolder(tell: (feed: (input: Input) => void) => void): Map<string, string[]> {
  const found = new Map<string, string[]>()
  for (const strategy of builtinStrategies) {
    const state = emptyState()
    const feed = (input: Input) => void advance(state, input, 1)
    feed({ type: 'raise-format', format: 3 })
    feed(join('w', { os: 'linux', arch: 'x64', cpus: 8, memoryBytes: 8, host: 'h', labels: {}, tools: {} }))
    feed(submitNeeds('holder', [shared]))
    feed({ type: 'assign', run: 'holder', worker: 'w', tasks: [0], cpus: 1, why: '' })
    tell(feed)
    const runs: string[] = []
    for (const next of placements({ state, available: () => true, availableVersion: 0 }, 2, strategy)) {
      feed(next)
      runs.push(next.run)
    }
    found.set(strategy.name, runs)
  }
  return found
}

/** A task for each of them. */
function submitNeeds(run: string, needs: readonly Need[], more: Partial<RunSpec> = {}): Input {
  const kinds = [...needs.keys()]
  const spec = { ...plainSpec, needs, ...more }
  return { type: 'submit', run, who: 'x', spec, files: kinds.map(String), estimates: kinds.map(() => 9), kinds }
}

test('who may have no more keeps nothing, so what waits for the same lock behind it does', () => {
  const found = besideAHolder((feed) => {
    feed(submitNeeds('limited', [alone, { cpus: 1 }], { workersMax: 1, priority: 5 }))
    feed({ type: 'assign', run: 'limited', worker: 'w', tasks: [1], cpus: 1, why: '' })
    feed(submitNeeds('next', [alone], { priority: 3 }))
    feed(submitNeeds('sharer', [shared]))
  })
  for (const [strategy, runs] of found) assert.deepEqual(runs, [], strategy)
})

test('a run that is given something in its turn keeps the lock that it waits for before others have theirs', () => {
  const found = besideAHolder((feed) => {
    feed(submitNeeds('first', [alone, { cpus: 1 }], { priority: 5 }))
    feed(submitNeeds('sharer', [shared]))
  })
  for (const [strategy, runs] of found) assert.deepEqual(runs, ['first'], strategy)
})

test('all are sorted again after a batch, also after the last one of a run', () => {
  const state = emptyState()
  const feed = (input: Input) => advance(state, input, 1)
  const ordering: Ordering = {
    turn: 'batch',
    // Whoever has nothing under way first, by their names.
    sort: (_view, waiting) =>
      waiting.sort((a, b) => busyOf(a.spec.project) - busyOf(b.spec.project) || (a.id < b.id ? -1 : 1)),
  }
  const busyOf = (project: string) =>
    [...state.runs.values()].filter((run) => run.spec.project === project && run.batches.size > 0).length
  feed({ type: 'raise-format', format: 3 })
  for (const host of ['h', 'i'])
    feed(join(host, { os: 'linux', arch: 'x64', cpus: 1, memoryBytes: 8, host, labels: {}, tools: {} }))
  for (const [run, project] of [
    ['a', 'p'],
    ['b', 'p'],
    ['c', 'q'],
  ] as const)
    feed({ type: 'submit', run, who: 'x', spec: { ...plainSpec, project }, files: ['f'], estimates: [9] })
  const runs: string[] = []
  for (const next of placements({ state, available: () => true }, 2, orderedStrategy('busy', '', ordering))) {
    feed(next)
    runs.push(next.run)
  }
  assert.deepEqual(runs, ['a', 'c'])
})

test('where strategies share a round, a lock is kept for a run that stands behind one of another strategy', () => {
  const state = emptyState()
  const feed = (input: Input) => advance(state, input, 1)
  const resources = { licence: 1 }
  const locks: readonly Lock[] = [{ name: 'db', mode: 'exclusive' }]
  const submitted = (run: string, project: string, need: Need, priority = 0): Input => {
    const spec = { ...plainSpec, project, priority, needs: [need] }
    return { type: 'submit', run, who: 'x', spec, files: ['f'], estimates: [9], kinds: [0] }
  }
  feed({ type: 'raise-format', format: 3 })
  feed(join('w', { os: 'linux', arch: 'x64', cpus: 4, memoryBytes: 8, host: 'h', labels: {}, tools: {}, resources }))
  feed(submitted('holder', 'p', { cpus: 1, resources }))
  feed({ type: 'assign', run: 'holder', worker: 'w', tasks: [0], cpus: 1, why: '' })
  feed(submitted('a', 'p', { cpus: 1, resources }))
  feed(submitted('b', 'q', { cpus: 1, resources, locks }))
  feed(submitted('c', 'p', { cpus: 1, resources, locks }))
  feed(submitted('d', 'q', { cpus: 1, locks }, 9))
  const view = { state, available: () => true, availableVersion: 0, nowMs: 2 }
  for (const strategy of builtinStrategies) {
    let kept: Reservations | undefined
    for (const project of ['p', 'q']) {
      kept = new Reservations(kept)
      const mine = (run: Run) => run.spec.project === project
      // Run c keeps it.
      const [first] = strategy.place({ ...view, mine, kept }, undefined)
      assert.equal(first?.run, undefined, strategy.name)
    }
  }
})
