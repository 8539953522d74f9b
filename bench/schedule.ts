/**
 * What placement costs in a large cluster: the core and the default strategy with up to 10 000 workers and 1 000 000
 * queued tasks, in one run and in a thousand that need four kinds of things and share locks; workers report, get more, and
 * new runs come. No network and no disk: only what decides. Baseline: the very same inputs with the decisions already
 * made, so that the difference is what deciding costs. Then how it grows, and many runs that no worker can take.
 */
import { advance } from '../src/core/advance.ts'
import type { Need } from '../src/core/entities.ts'
import type { Input } from '../src/core/input.ts'
import { emptyState, type Batch, type State } from '../src/core/state.ts'
import { plainSpec } from '../src/core/transcript.ts'
import { placements } from '../src/scheduling/fixtures/placing.ts'
import { formatTable } from './table.ts'

const goalP99Us = 100
const goalRatio = 0.7
const completionsMax = 4000
const inputsPerRound = 10

const collect = (globalThis as { gc?: () => void }).gc
const heapBytes = (): number => {
  collect?.()
  return process.memoryUsage().heapUsed
}

const needs: readonly Need[] = [
  { cpus: 1, batchMax: 50 },
  { cpus: 2, memoryBytes: 4, where: 'os == linux and cpus >= 4' },
  { cpus: 1, gpus: { count: 1, memoryBytes: 8 } },
  { cpus: 1, resources: { licence: 1 }, batchMax: 20 },
]

type Scene = { readonly tasks: number; readonly runs: number; readonly workers: number; readonly needy: boolean }

function join(at: number): Input {
  const cpus = 4 << (at % 3)
  const gpu = (id: number) => ({ id: String(id), vendor: 'nvidia', name: 'card', memoryBytes: 16 }) as const
  const capabilities = {
    os: 'linux',
    arch: 'x64',
    cpus,
    memoryBytes: 64,
    host: `host-${at}`,
    labels: {},
    tools: {},
    speed: 1 << (at % 3),
    ...(at % 4 === 0 ? { gpus: [gpu(0), gpu(1)] } : {}),
    ...(at % 8 === 0 ? { resources: { licence: 4 } } : {}),
  }
  return { type: 'join', worker: `w${at}`, name: `w${at}`, version: '1', capabilities, draining: false }
}

function submit(at: number, count: number, needy: boolean): Input {
  const files = Array.from({ length: count }, (_, index) => `src/part-${at}/unit-${index}.test.ts`)
  const locked = needs.map((need, kind): Need => {
    return kind === 3
      ? { ...need, locks: [{ name: `lock-${at % 50}`, mode: at % 2 === 0 ? 'shared' : 'exclusive' }] }
      : need
  })
  return {
    type: 'submit',
    run: `r${at}`,
    who: 'client:bench',
    spec: {
      ...plainSpec,
      startupMs: 500,
      project: `p${at % 40}`,
      priority: at % 3,
      ...(needy ? { needs: locked } : {}),
    },
    files,
    estimates: files.map((_, index) => (index % 10 === 0 ? null : 100 + (index % 977))),
    ...(needy ? { kinds: files.map((_, index) => (index % 20 < 14 ? 0 : (index % 3) + 1)) } : {}),
  }
}

function complete(state: State, batch: Batch): Input[] {
  const base = { worker: batch.worker, batch: batch.id, token: batch.token }
  const { tasks } = state.runs.get(batch.run)!
  const reports = batch.tasks
    .filter((index) => tasks[index]!.batch === batch.id)
    .map((task) => ({ task, outcome: 'passed', durationMs: 100, counts: [1, 0, 0, 0] }) as const)
  const end = { exitCode: 0, signal: null, startupMs: 400, wallMs: 1, interrupted: [], timedOut: [], errors: [] }
  return [
    { type: 'report', ...base, reports },
    { type: 'end', ...base, reason: 'completed', ...end },
  ]
}

type Spent = { submitMs: number; fillMs: number; completeMs: number }
type Figures = Spent & {
  readonly placed: number
  readonly completions: number
  readonly bytesPerTask: number
  readonly decisionsUs: number[]
  /** All inputs in their order, decisions included, for the baseline. */
  readonly inputs: { readonly part: keyof Spent; readonly input: Input; readonly nowMs: number }[]
}

/** The whole scene, with the scheduler deciding after every round of inputs. */
function decided({ tasks, runs, workers, needy }: Scene): Figures {
  const state = emptyState()
  const view = { state, available: () => true }
  const figures: Figures = { ...none(), placed: 0, completions: 0, bytesPerTask: 0, decisionsUs: [], inputs: [] }
  const counts = { placed: 0, completions: 0, bytesPerTask: 0 }
  let nowMs = 1000
  const take = (part: keyof Spent, input: Input): void => {
    figures.inputs.push({ part, input, nowMs })
    const startMs = performance.now()
    advance(state, input, nowMs)
    figures[part] += performance.now() - startMs
  }
  const round = (part: keyof Spent): void => {
    let fromMs = performance.now()
    for (const next of placements(view, nowMs)) {
      advance(state, next, nowMs)
      const nowAtMs = performance.now()
      figures.decisionsUs.push((nowAtMs - fromMs) * 1000)
      figures[part] += nowAtMs - fromMs
      figures.inputs.push({ part, input: next, nowMs })
      counts.placed += 1
      fromMs = performance.now()
    }
    figures[part] += performance.now() - fromMs
  }
  advance(state, { type: 'raise-format', format: 3 }, nowMs)
  // Half of the runs find nobody to run them yet; the others find the fleet.
  const perRun = Math.floor(tasks / runs)
  const beforeBytes = heapBytes()
  for (let at = 0; at < runs; at += 1) {
    take('submitMs', submit(at, perRun, needy))
    round('submitMs')
  }
  counts.bytesPerTask = (heapBytes() - beforeBytes) / (perRun * runs)
  for (let at = 0; at < workers; at += 1) take('fillMs', join(at))
  round('fillMs')
  const order = [...state.batches.keys()]
  for (let at = 0; at < order.length && counts.completions < completionsMax;) {
    nowMs += 1
    for (let some = 0; some < inputsPerRound && at < order.length; some += 1, at += 1) {
      for (const input of complete(state, state.batches.get(order[at]!)!)) take('completeMs', input)
      counts.completions += 1
    }
    round('completeMs')
  }
  return { ...figures, ...counts }
}

const none = (): Spent => ({ submitMs: 0, fillMs: 0, completeMs: 0 })

/** The same inputs and nothing to decide. */
function replayed({ inputs }: Figures): Spent {
  const state = emptyState()
  advance(state, { type: 'raise-format', format: 3 }, 0)
  const spent = none()
  for (const { part, input, nowMs } of inputs) {
    const startMs = performance.now()
    advance(state, input, nowMs)
    spent[part] += performance.now() - startMs
  }
  return spent
}

const quantile = (sorted: readonly number[], part: number): number =>
  sorted[Math.floor((sorted.length - 1) * part)] ?? 0

/** Exponent of growth between two sizes. */
const exponent = (a: number, b: number, ratio: number): number => Math.log(b / a) / Math.log(ratio)

const rows: (string | number)[][] = []
const growth: (string | number)[][] = []
let met = true
for (const needy of [false, true]) {
  let before: Figures | undefined
  for (const tasks of [10_000, 100_000, 1_000_000]) {
    const scene = { tasks, runs: needy ? tasks / 1000 : 1, workers: tasks / 100, needy }
    const on = decided(scene)
    const off = replayed(on)
    const sorted = on.decisionsUs.toSorted((a, b) => a - b)
    const amortisedUs = (on.fillMs + on.completeMs - off.fillMs - off.completeMs) * (1000 / on.placed)
    const p99Us = quantile(sorted, 0.99)
    const submitRatio = off.submitMs / on.submitMs
    const completeRatio = off.completeMs / on.completeMs
    if (p99Us > goalP99Us || submitRatio < goalRatio || completeRatio < goalRatio) met = false
    rows.push([
      tasks,
      scene.runs,
      scene.workers,
      Math.round(on.bytesPerTask),
      on.placed,
      amortisedUs,
      quantile(sorted, 0.5),
      p99Us,
      (1000 * tasks) / on.submitMs,
      submitRatio,
      (1000 * on.completions) / on.completeMs,
      completeRatio,
    ])
    if (before) {
      const perBefore = (before.fillMs + before.completeMs) / before.placed
      const per = (on.fillMs + on.completeMs) / on.placed
      growth.push([
        needy ? '4 needs, locks' : 'one run',
        `${tasks / 10} to ${tasks}`,
        exponent(before.submitMs, on.submitMs, 10),
        exponent(perBefore, per, 10) + 1,
      ])
    }
    before = { ...on, inputs: [], decisionsUs: [] }
  }
}
process.stdout.write(
  `${formatTable({
    title: 'Placement: decisions, and what comes through beside them',
    columns: [
      'tasks',
      'runs',
      'workers',
      'B/task',
      'placed',
      'amortised µs',
      'p50 µs',
      'p99 µs',
      'tasks/s in',
      'of off',
      'batches/s',
      'of off',
    ],
    rows,
    note: `Goals: p99 ≤ ${goalP99Us} µs, ≥ ${goalRatio} of the same with the decisions already made: ${met ? 'met' : 'missed'}. p99 counts the look at all runs that each round of ${inputsPerRound} completions begins with.`,
  })}\n`,
)
process.stdout.write(
  `${formatTable({
    title: 'Growth: exponent of n, 1 = in proportion (n·log n is 1.07 to 1.09 here)',
    columns: ['what', 'tasks, workers and runs', 'submitting', 'placing all'],
    rows: growth,
  })}\n`,
)
