/**
 * The order that is kept is the one that sorting would find, with more projects and users than a history of needs has, and
 * at any time: minutes go by in which nothing happens but that somebody has waited for longer, a deadline is nearer, and
 * what was spent an hour ago no longer counts.
 */
import { test } from 'node:test'
import fc from 'fast-check'
import { advance } from '../core/advance.ts'
import { Refused, type Input } from '../core/input.ts'
import { defaultLimits } from '../core/limits.ts'
import type { ShareRule } from '../core/shares.ts'
import { emptyState } from '../core/state.ts'
import { plainSpec } from '../core/transcript.ts'
import { assertOrderIsKept } from './fixtures/kept-order.ts'
import { join } from './fixtures/needs.ts'
import { placements } from './fixtures/placing.ts'
import { builtinStrategies } from './strategies/builtin.ts'

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
