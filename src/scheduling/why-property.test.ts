/**
 * `explain` and the strategies agree, over random fleets, needs, locks, quotas, dependencies, failures and breakers:
 * nothing is in the way of what is placed next, and something is in the way of whatever is not placed.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { advance } from '../core/advance.ts'
import type { Need, RunSpec } from '../core/entities.ts'
import { Refused, type Input } from '../core/input.ts'
import { defaultLimits } from '../core/limits.ts'
import type { Shares } from '../core/shares.ts'
import { emptyState, type State } from '../core/state.ts'
import { plainSpec } from '../core/transcript.ts'
import { earlyProbes } from './early-probe.ts'
import { place } from './fixtures/placing.ts'
import { reasonsOf } from './reasons.ts'
import { builtinStrategies } from './strategies/builtin.ts'
import type { Strategy } from './strategy.ts'
import { explain, situationOf } from './why.ts'

const GiB = 2 ** 30
const who = 'client:ann'

type World = { readonly state: State; readonly strategy: Strategy; nowMs: number; readonly seen: Set<string> }

const needs: readonly Need[] = [
  {},
  { cpus: 1 },
  { cpus: 2, locks: [{ name: 'a', mode: 'exclusive' }] },
  { cpus: 1, locks: [{ name: 'a', mode: 'shared' }] },
  { cpus: 1, locks: [{ name: 'b', mode: 'counted', max: 2 }], batchMax: 1 },
  { gpus: { count: 1 } },
  { gpus: { count: 1, memoryBytes: 8 * GiB, exclusive: false } },
  { cpus: 1, memoryBytes: 2 * GiB },
  { cpus: 1, resources: { phone: 1 } },
  { cpus: 1, where: 'label.zone == eu' },
  { exclusive: true },
  { cpus: 1, antiAffinity: 'x', batchMax: 2 },
  { cpus: 1, spread: 'y', affinity: 'z', batchMax: 2 },
]

function join(pick: number): Input {
  const worker = `w${pick % 5}`
  const gpus = pick % 2 === 0 ? [] : [{ id: '0', vendor: 'nvidia' as const, name: 'g', memoryBytes: 12 * GiB }]
  const capabilities = {
    os: 'linux',
    arch: 'x64',
    cpus: 1 + (pick % 4),
    memoryBytes: (1 + (pick % 3)) * GiB,
    host: `h${pick % 3}`,
    labels: (pick % 3 === 0 ? { zone: 'eu' } : {}) as Record<string, string>,
    tools: {},
    gpus,
    resources: { phone: pick % 2 },
    speed: [1, 4, 16][pick % 3]!,
  }
  return { type: 'join', worker, name: worker, version: '1', capabilities, draining: false }
}

function submit(world: World, pick: number): Input {
  const files = Array.from({ length: 1 + (pick % 6) }, (_, index) => `f${index}`)
  const own = [needs[pick % needs.length]!, needs[Math.floor(pick / 13) % needs.length]!]
  const runs = [...world.state.runs.keys()]
  const spec: RunSpec = {
    ...plainSpec,
    project: `p${pick % 2}`,
    needs: own,
    priority: (pick % 7) - 3,
    retries: pick % 3,
    ...(pick % 5 === 0 ? { workersMax: 1 } : {}),
    ...(pick % 4 === 0
      ? {
          retry: {
            failed: { max: 2, where: 'other-worker' as const, backoffMs: 200 },
            lost: { max: 2, backoffMs: 50 },
          },
        }
      : {}),
    ...(pick % 11 === 0 && runs.length > 0
      ? { after: [{ run: runs[pick % runs.length]!, when: 'finished' as const }] }
      : {}),
  }
  return {
    type: 'submit',
    run: `r${pick}`,
    who,
    spec,
    files,
    estimates: files.map((_, index) => (pick % 2 === 0 ? null : 100 * (index + 1))),
    kinds: files.map((_, index) => (pick + index) % 2),
    ...(pick % 6 === 5 && files.length > 2 ? { dependencies: [{ task: files.length - 1, after: [0] }] } : {}),
  }
}

function happen(world: World, pick: number): Input | undefined {
  const { state } = world
  const batches = [...state.batches.values()]
  const batch = batches[pick % Math.max(1, batches.length)]
  const runs = [...state.runs.keys()]
  const run = runs[pick % Math.max(1, runs.length)] ?? 'none'
  switch (Math.floor(pick / 7) % 14) {
    case 0:
    case 1:
      return join(pick)
    case 2:
    case 3:
    case 4:
      return submit(world, pick)
    case 5:
      return { type: 'leave', worker: `w${pick % 5}`, why: 'gone' }
    case 6:
      return pick % 2 === 0
        ? { type: 'pause', run, who, why: 'x' }
        : { type: 'drain', worker: `w${pick % 5}`, who, why: 'x' }
    case 7:
      return { type: 'resume', run, who }
    case 8:
      return pick % 2 === 0
        ? { type: 'open-breaker', scope: pick % 4 === 0 ? `worker:w${pick % 5}` : 'class:p0/unit', who, why: 'x' }
        : { type: 'reset-breakers', who, why: 'x' }
    case 9:
      world.nowMs += 1 + (pick % 40_000)
      return undefined
    default: {
      if (!batch) return undefined
      const open = batch.tasks.filter((index) => state.runs.get(batch.run)!.tasks[index]!.batch === batch.id)
      if (pick % 3 === 0) {
        const reason = pick % 2 === 0 ? ('crashed' as const) : ('completed' as const)
        const rest = { exitCode: 1, signal: null, startupMs: 1, wallMs: 1, timedOut: [], errors: [] }
        return {
          type: 'end',
          worker: batch.worker,
          batch: batch.id,
          token: batch.token,
          reason,
          interrupted: open.slice(0, 1),
          ...rest,
        }
      }
      const reports = open.map((task) => ({
        task,
        outcome: (pick + task) % 3 === 0 ? ('failed' as const) : ('passed' as const),
        durationMs: 5,
        counts: [1, 0, 0, 0] as const,
      }))
      return { type: 'report', worker: batch.worker, batch: batch.id, token: batch.token, reports }
    }
  }
}

function take(world: World, input: Input): void {
  try {
    advance(world.state, input, world.nowMs)
  } catch (error) {
    if (!(error instanceof Refused)) throw error
  }
}

function check(world: World): void {
  const { state, strategy, nowMs } = world
  const view = { state, available: () => true }
  const chosen = { strategy, config: undefined }
  for (const probe of earlyProbes(view, nowMs)) take(world, probe)
  for (;;) {
    const next = place(view, nowMs, strategy)
    if (!next) break
    const run = state.runs.get(next.run)!
    const situation = situationOf(view, chosen, nowMs)
    for (const index of next.tasks) {
      const reasons = reasonsOf(situation, run, run.groups[run.tasks[index]!.kind]!, index)
      assert.deepEqual(reasons, [], `nothing is in the way of ${run.id}/${index}, which is placed next`)
    }
    advance(state, next, nowMs)
  }
  const situation = situationOf(view, chosen, nowMs)
  for (const id of state.active) {
    const run = state.runs.get(id)!
    run.tasks.forEach((task, index) => {
      if (task.state !== 'queued' && task.state !== 'blocked') return
      const reasons = reasonsOf(situation, run, run.groups[task.kind]!, index)
      assert.ok(reasons.length > 0, `something is in the way of ${id}/${index}, which is not placed`)
      for (const { type } of reasons) world.seen.add(type)
    })
    // Its groups as a whole, and all that is said of them, can be worked out too.
    for (const wait of explain(view, run, undefined, chosen, nowMs).waits) assert.ok(wait.words.length > 0)
    const why = explain(view, run, run.tasks.length - 1, chosen, nowMs)
    if (why.starts) assert.ok(why.starts.fromMs <= why.starts.toMs && why.starts.toMs <= why.finishes!.toMs)
    JSON.stringify(why)
  }
}

test('reasonsOf: nothing is in the way of what is placed next, and something of all that is not', () => {
  const seen = new Set<string>()
  const shares: Shares = new Map([['project:p1', { cpus: 3, gpus: 1 }]])
  fc.assert(
    fc.property(
      fc.nat({ max: builtinStrategies.length - 1 }),
      fc.boolean(),
      fc.array(fc.nat({ max: 1_000_000 }), { minLength: 20, maxLength: 80 }),
      (which, quotas, picks) => {
        const state = emptyState({ ...defaultLimits, avoidWaitMs: 1000 }, quotas ? shares : new Map())
        const world: World = { state, strategy: builtinStrategies[which]!, nowMs: 1000, seen }
        take(world, { type: 'raise-format', format: 3 })
        for (const pick of picks) {
          world.nowMs += 1
          const input = happen(world, pick)
          if (input) take(world, input)
          check(world)
        }
      },
    ),
    { numRuns: 150, seed: 5 },
  )
  const expected = [
    'paused',
    'after-runs',
    'after-tasks',
    'back-off',
    'class-breaker',
    'workers-max',
    'lock',
    'no-fit',
    'busy',
    'reserved',
    'quota',
    'sooner-elsewhere',
  ]
  for (const type of expected) assert.ok(seen.has(type), `some history had the reason ${type}`)
})
