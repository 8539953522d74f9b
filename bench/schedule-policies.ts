/**
 * What a decision costs under each built-in strategy, with weights, quotas, deadlines and an open breaker, where many
 * projects and users wait: the core and the scheduler as in `schedule.ts`, which measures the default strategy alone. Every
 * row has its baseline in the same scene a moment before: the default strategy with none of these. With arguments: only
 * policies with this in their name, only the scene of so many tasks.
 */
import { advance } from '../src/core/advance.ts'
import type { RunSpec } from '../src/core/entities.ts'
import type { Input } from '../src/core/input.ts'
import { defaultLimits } from '../src/core/limits.ts'
import { noShares, type ShareRule, type Shares } from '../src/core/shares.ts'
import { type Batch, emptyState } from '../src/core/state.ts'
import { plainSpec } from '../src/core/transcript.ts'
import { placements } from '../src/scheduling/fixtures/placing.ts'
import { builtinStrategies, defaultStrategy } from '../src/scheduling/strategies/builtin.ts'
import type { Strategy } from '../src/scheduling/strategy.ts'
import { complete, join, needs } from './parts/fleet.ts'
import { formatTable } from './table.ts'

const goalP99Us = 100
const completionsMax = 4000
const perRound = 10
/** So many different pairs of project and user: 200. */
const projects = 40
const users = 50

type Scene = { readonly tasks: number; readonly runs: number; readonly workers: number }

type Policy = {
  readonly name: string
  readonly strategy: Strategy
  readonly shares?: Shares
  readonly spec?: (at: number, nowMs: number) => Partial<RunSpec>
  /** Projects whose suite has failed too often. */
  readonly broken?: number
}

function submit(at: number, count: number, nowMs: number, { spec }: Policy): Input {
  const files = Array.from({ length: count }, (_, index) => `src/part-${at}/unit-${index}.test.ts`)
  const mode = at % 3 === 0 ? 'exclusive' : 'shared'
  const lock = { name: `lock-${at % 50}`, mode } as const
  return {
    type: 'submit',
    run: `r${at}`,
    who: 'client:bench',
    spec: {
      ...plainSpec,
      startupMs: 500,
      project: `p${at % projects}`,
      user: `u${at % users}`,
      priority: at % 3,
      needs: needs.map((need, kind) => (kind === 3 ? { ...need, locks: [lock] } : need)),
      ...spec?.(at, nowMs),
    },
    files,
    estimates: files.map((_, index) => (index % 10 === 0 ? null : 100 + (index % 977))),
    kinds: files.map((_, index) => (index % 20 < 14 ? 0 : (index % 3) + 1)),
  }
}

/** How long rounds took, in microseconds, and what they placed. */
type Rounds = { readonly us: number[]; readonly placed: number[] }

type Figures = { readonly submits: Rounds; readonly completes: Rounds; readonly idle: number }

function play({ tasks, runs, workers }: Scene, policy: Policy): Figures {
  const state = emptyState(defaultLimits, policy.shares ?? noShares)
  const view = { state, available: () => true, availableVersion: 0 }
  let nowMs = 1000
  const round = (given: readonly Input[], rounds?: Rounds): void => {
    for (const input of given) advance(state, input, nowMs)
    const fromMs = performance.now()
    let placed = 0
    for (const next of placements(view, nowMs, policy.strategy)) {
      advance(state, next, nowMs)
      placed += 1
    }
    if (rounds === undefined) return
    rounds.us.push((performance.now() - fromMs) * 1000)
    rounds.placed.push(placed)
  }
  round([{ type: 'raise-format', format: 3 }])
  const perRun = Math.floor(tasks / runs)
  const early = Math.ceil(runs / 2)
  // One every 700 ms, so that some wait for minutes, and many came within one.
  const next = (at: number): Input => {
    nowMs += 700
    return submit(at, perRun, nowMs, policy)
  }
  for (let at = 0; at < early; at += 1) round([next(at)])
  for (let at = 0; at < (policy.broken ?? 0); at += 1)
    round([{ type: 'open-breaker', scope: `class:p${at}/${plainSpec.suite}`, who: 'x', why: 'x' }])
  round(Array.from({ length: workers }, (_, at) => join(at)))
  const submits: Rounds = { us: [], placed: [] }
  for (let at = early; at < runs; at += 1) round([next(at)], submits)
  const idle = state.free.size / workers
  const completes: Rounds = { us: [], placed: [] }
  let completions = 0
  while (completions < completionsMax && state.batches.size > 0) {
    nowMs += 5
    const ended: Batch[] = []
    for (const batch of state.batches.values()) if (ended.push(batch) === perRound) break
    completions += ended.length
    round(
      ended.flatMap((batch) => complete(state, batch)),
      completes,
    )
  }
  return { submits, completes, idle }
}

const sum = (numbers: readonly number[]): number => numbers.reduce((before, one) => before + one, 0)

/** Of rounds, their time over what they placed; one that placed nothing counts as one decision. */
function quantiles({ us, placed }: Rounds): readonly [p50Us: number, p99Us: number] {
  const sorted = us.map((one, at) => one / Math.max(1, placed[at]!)).sort((a, b) => a - b)
  const at = (part: number) => sorted[Math.floor((sorted.length - 1) * part)] ?? 0
  return [at(0.5), at(0.99)]
}

const weights: Shares = new Map<string, ShareRule>([
  ['project:p1', { weight: 3 }],
  ['project:p2', { weight: 2 }],
  ['user:u1', { weight: 2 }],
])
/** For each project so much of the fleet's CPUs, which are 28 on three workers. */
const quotas = (workers: number, part: number): Shares =>
  new Map<string, ShareRule>([
    ['project:*', { cpus: Math.max(2, Math.round((workers * 28 * part) / (3 * projects))) }],
    ['user:u1', { weight: 2 }],
  ])
const deadlineEvery =
  (every: number) =>
  (at: number, nowMs: number): Partial<RunSpec> =>
    at % every === 0 ? { deadlineAtMs: nowMs + 600_000 + (at % 100) * 30_000 } : {}

function policies({ workers }: Scene): readonly Policy[] {
  const strategy = defaultStrategy
  const fair = builtinStrategies.find(({ name }) => name === 'fair-share')!
  const full = quotas(workers, 1.25)
  const idle = quotas(workers, 0.3)
  return [
    ...builtinStrategies.filter((one) => one !== defaultStrategy).map((one) => ({ name: one.name, strategy: one })),
    { name: 'weights', strategy, shares: weights },
    { name: 'quotas, full fleet', strategy, shares: full },
    { name: 'quotas, idle fleet', strategy, shares: idle },
    {
      name: 'fifo, quotas, idle fleet',
      strategy: builtinStrategies.find(({ name }) => name === 'fifo')!,
      shares: idle,
    },
    { name: 'fair-share, weights', strategy: fair, shares: weights },
    { name: 'fair-share, quotas, idle fleet', strategy: fair, shares: idle },
    { name: 'deadlines on 10 %', strategy, spec: deadlineEvery(10) },
    { name: 'deadlines on all', strategy, spec: deadlineEvery(1) },
    { name: 'breakers of 4 projects open', strategy, broken: 4 },
  ]
}

const [wanted, wantedTasks] = process.argv.slice(2)
const scenes: readonly Scene[] = [
  { tasks: 10_000, runs: 100, workers: 100 },
  { tasks: 100_000, runs: 1000, workers: 1000 },
  { tasks: 1_000_000, runs: 1000, workers: 10_000 },
]
// Nobody shall pay for what is compiled on the way.
for (const policy of policies({ tasks: 0, runs: 0, workers: 100 }))
  play({ tasks: 10_000, runs: 50, workers: 100 }, policy)
let met = true
for (const scene of scenes.filter(({ tasks }) => wantedTasks === undefined || String(tasks) === wantedTasks)) {
  const rows: (string | number)[][] = []
  let base: Figures | undefined
  const plain: Policy = { name: 'history, the default', strategy: defaultStrategy }
  for (const policy of [plain, ...policies(scene)]) {
    if (wanted !== undefined && !policy.name.includes(wanted)) continue
    // Filling the largest takes seconds.
    base = policy === plain || (base !== undefined && scene.tasks > 100_000) ? base : play(scene, plain)
    const figures = play(scene, policy)
    const { submits, completes, idle } = figures
    base ??= figures
    const amortisedUs = (one: Rounds) => sum(one.us) / Math.max(1, sum(one.placed))
    const [p50Us, p99Us] = quantiles(completes)
    const [submitP50Us, submitP99Us] = quantiles(submits)
    if (p99Us > goalP99Us || submitP99Us > goalP99Us) met = false
    rows.push([
      policy.name,
      Math.round(100 * idle),
      sum(completes.placed),
      amortisedUs(completes),
      p50Us,
      p99Us,
      amortisedUs(completes) / amortisedUs(base.completes),
      submitP50Us,
      submitP99Us,
    ])
  }
  process.stdout.write(
    `${formatTable({
      title: `Decisions under other policies: ${scene.tasks} tasks in ${scene.runs} runs of 200 projects and users, ${scene.workers} workers`,
      columns: [
        'policy',
        'idle %',
        'placed',
        'amortised µs',
        'p50 µs',
        'p99 µs',
        'of default',
        'run comes p50 µs',
        'p99 µs',
      ],
      rows,
      ...(scene === scenes.at(-1)
        ? {
            note: `Goal: p99 ≤ ${goalP99Us} µs: ${met ? 'met' : 'missed'}. Of rounds that take ${perRound} completions, or one run that comes: their time over what they placed. Amortised: all rounds, also those that place nothing, over all that was placed; of default: the same scene without the policy, measured just before (in the largest scene once).`,
          }
        : {}),
    })}\n`,
  )
}
