/**
 * What the boundary of plugins costs: the same order of runs as a built-in strategy on state itself, and as a plugin's, which
 * sees a view of it and is called under guard. Both place the same rounds of the same state, one after the other in turns;
 * a round is what becomes one entry of the log. The order does what `history` does: urgency of every run, then age.
 */
import assert from 'node:assert/strict'
import { advance } from '../src/core/advance.ts'
import { readableFormat } from '../src/core/format.ts'
import { emptyState, type State } from '../src/core/state.ts'
import { plainSpec } from '../src/core/transcript.ts'
import { prepareGuard } from '../src/plugins/guard.ts'
import { definePlugin, largestFirst, orderedStrategy, placingStrategy } from '../src/plugins/plugin.ts'
import { Registry } from '../src/plugins/registry.ts'
import { SchedulerHost } from '../src/plugins/scheduler-host.ts'
import { formatTable } from './table.ts'

const roundPlacementsMax = 500
const repeats = 25

const twins = definePlugin({
  name: 'twins',
  schedulers: [
    orderedStrategy({
      name: 'history-twin',
      description: 'history without shares, as a plugin',
      order: (runs) => largestFirst(runs, (run) => run.urgency),
    }),
    placingStrategy({
      name: 'placing-twin',
      description: 'the same, choosing every worker itself',
      *place(view) {
        for (const run of largestFirst(view.runs, (one) => one.urgency))
          for (const group of run.groups)
            for (const worker of group.free) {
              const batch = group.batchOn(worker)
              if (batch === undefined) break
              yield batch
            }
      },
    }),
  ],
})

type Size = { readonly workers: number; readonly runs: number; readonly tasks: number }

function stateOf({ workers, runs, tasks }: Size): State {
  const state = emptyState()
  advance(state, { type: 'raise-format', format: readableFormat }, 0)
  for (let at = 0; at < runs; at += 1) {
    const files = Array.from({ length: tasks }, (_, file) => `f${file}`)
    const spec = { ...plainSpec, priority: at % 7, project: `p${at % 10}`, cpus: 1 }
    const estimates = files.map((_, file) => 100 + ((file * 37) % 1000))
    advance(state, { type: 'submit', run: `r${at}`, who: 'x', spec, files, estimates }, at)
  }
  for (let at = 0; at < workers; at += 1) {
    const name = `w${at}`
    const capabilities = { os: 'linux', arch: 'x64', cpus: 4, memoryBytes: 1, host: name, labels: {}, tools: {} }
    advance(state, { type: 'join', worker: name, name, version: '1', capabilities, draining: false }, runs)
  }
  return state
}

/** Time to decide one round, without applying it: the leader does that whoever decided. */
function round(
  size: Size,
  strategy: string,
): { readonly decideMs: number; readonly placed: number; readonly chosen: string } {
  const registry = new Registry()
  registry.add('bench', twins)
  const host = new SchedulerHost({
    registry,
    roundMs: 60_000,
    onFault: (name, kind) => assert.fail(`${name}: ${kind}`),
  })
  const state = stateOf(size)
  advance(state, { type: 'choose-scheduler', who: 'x', strategy }, size.runs)
  const nowMs = size.runs + 1
  let placed = 0
  let decideMs = 0
  let chosen = ''
  let sinceMs = performance.now()
  for (const placement of host.place({ state, available: () => true, nowMs })) {
    decideMs += performance.now() - sinceMs
    advance(state, { type: 'assign', ...placement }, nowMs)
    placed += 1
    chosen += `${placement.run}>${placement.worker} `
    if (placed === roundPlacementsMax) break
    sinceMs = performance.now()
  }
  return { decideMs, placed, chosen }
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)]!
}

await prepareGuard()
const sizes: readonly Size[] = [
  { workers: 4, runs: 3, tasks: 20 },
  { workers: 50, runs: 20, tasks: 200 },
  { workers: 1000, runs: 100, tasks: 1000 },
  { workers: 1000, runs: 1000, tasks: 100 },
]
const rows: (string | number)[][] = []
for (const size of sizes) {
  const strategies = ['history', 'history-twin', 'placing-twin']
  const times = new Map<string, number[]>(strategies.map((name) => [name, []]))
  let placed = 0
  for (let at = 0; at < repeats; at += 1) {
    const seen = new Set<string>()
    for (const name of at % 2 === 0 ? strategies : [...strategies].reverse()) {
      const result = round(size, name)
      if (name !== 'placing-twin') seen.add(result.chosen)
      if (name === 'history') placed = result.placed
      if (at >= 3) times.get(name)!.push(result.decideMs)
    }
    assert.equal(seen.size, 1, 'both decide the same')
  }
  const [builtIn, ordered, placing] = strategies.map((name) => median(times.get(name)!)) as [number, number, number]
  rows.push([
    `${size.workers} workers, ${size.runs} runs × ${size.tasks}`,
    placed,
    Math.round(builtIn * 1000),
    Math.round(ordered * 1000),
    Math.round((ordered - builtIn) * 1000),
    `${(ordered / builtIn).toFixed(2)} ×`,
    `${(placing / builtIn).toFixed(1)} ×`,
  ])
}
const columns = ['one round', 'batches', 'built-in µs', 'plugin µs', 'more µs', 'ratio', 'place() ratio']
console.log(
  formatTable({
    title: 'deciding one round: built-in, the same order as a plugin, and a plugin that chooses every worker',
    columns,
    rows,
    note: `median of ${repeats - 3}; batches placed in a round: ${roundPlacementsMax} at most`,
  }),
)
