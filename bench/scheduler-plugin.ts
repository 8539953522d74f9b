/**
 * What the boundary of plugins costs. The same order of runs three times: by a strategy on state itself, as a plugin's that
 * sees a view of it and is called under guard, and by `history`, whose order is kept from round to round and not sorted
 * anew. Plugin against the first is the boundary; against the last, what somebody pays who replaces the default. All place
 * the same rounds of the same state, in turns; a round is what becomes one entry of the log.
 */
import assert from 'node:assert/strict'
import { advance } from '../src/core/advance.ts'
import { readableFormat } from '../src/core/format.ts'
import { emptyState, type State } from '../src/core/state.ts'
import { plainSpec } from '../src/core/transcript.ts'
import { prepareGuard } from '../src/plugins/guard.ts'
import { definePlugin, largestFirst, orderedStrategy, placingStrategy } from '../src/plugins/plugin.ts'
import { Registry } from '../src/plugins/registry.ts'
import { builtinStrategies } from '../src/scheduling/strategies/builtin.ts'
import { orderedStrategy as strategyOf } from '../src/scheduling/strategy.ts'
import { urgency } from '../src/scheduling/urgency.ts'
import { SchedulerHost } from '../src/plugins/scheduler-host.ts'
import { formatTable } from './table.ts'

const roundPlacementsMax = 500
const repeats = 13
const warmUps = 2

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

/** The twin without a boundary. */
const direct = strategyOf('history-direct', 'history without shares, sorted at every round', {
  turn: 'run',
  sort: (_view, waiting, fleets, nowMs) =>
    waiting
      .map((run) => ({ run, key: urgency(run, fleets, nowMs) }))
      .sort((a, b) => b.key - a.key || a.run.createdAtMs - b.run.createdAtMs || (a.run.id < b.run.id ? -1 : 1))
      .map((one) => one.run),
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

/** Rounds follow each other as in a coordinator whose log takes 2 ms; after each, a quarter of the batches end, the oldest first. */
const betweenMs = 2
const roundsInRow = 26

/** One strategy at its state, round after round. */
class Player {
  readonly #host: SchedulerHost
  readonly #state: State
  #nowMs: number
  chosen = ''

  constructor(size: Size, strategy: string) {
    const registry = new Registry([...builtinStrategies, direct])
    registry.add('bench', twins)
    const onFault = (name: string, kind: string) => assert.fail(`${name}: ${kind}`)
    this.#host = new SchedulerHost({ registry, roundMs: 60_000, onFault })
    this.#state = stateOf(size)
    advance(this.#state, { type: 'choose-scheduler', who: 'x', strategy }, size.runs)
    this.#nowMs = size.runs
  }

  /** Time to decide, without applying: the leader does that whoever decided. */
  round(): number {
    endSome(this.#state, this.#nowMs)
    this.#nowMs += betweenMs
    const state = this.#state
    const nowMs = this.#nowMs
    let placed = 0
    let decideMs = 0
    let sinceMs = performance.now()
    for (const placement of this.#host.place({ state, available: () => true, nowMs })) {
      decideMs += performance.now() - sinceMs
      advance(state, { type: 'assign', ...placement }, nowMs)
      placed += 1
      this.chosen += `${placement.run}>${placement.worker} `
      if (placed === roundPlacementsMax) return decideMs
      sinceMs = performance.now()
    }
    return decideMs + performance.now() - sinceMs
  }
}

function endSome(state: State, nowMs: number): void {
  let left = Math.ceil(state.batches.size / 4)
  for (const { id, worker, token, tasks } of state.batches.values()) {
    if (left === 0) return
    left -= 1
    const about = { worker, batch: id, token } as const
    const reports = tasks.map((task) => ({
      task,
      outcome: 'passed' as const,
      durationMs: 1,
      counts: [1, 0, 0, 0] as const,
    }))
    advance(state, { type: 'report', ...about, reports }, nowMs)
    const nothing = { exitCode: 0, signal: null, startupMs: 0, wallMs: 1, interrupted: [], timedOut: [], errors: [] }
    advance(state, { type: 'end', ...about, reason: 'completed', ...nothing }, nowMs)
  }
}

/** The lower quartile: whoever else uses the machine only adds to it. */
function quartile(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 4)]!
}

await prepareGuard()
const sizes: readonly Size[] = [
  { workers: 4, runs: 3, tasks: 20 },
  { workers: 50, runs: 20, tasks: 200 },
  { workers: 1000, runs: 100, tasks: 500 },
  { workers: 1000, runs: 1000, tasks: 50 },
]
const strategies = ['history', 'history-twin', 'placing-twin', 'history-direct'] as const
const rows: (string | number)[][] = []
for (const size of sizes) {
  /** By strategy and number of the round: what it took each time. The same happens in it each time. */
  const times = strategies.map(() => Array.from({ length: roundsInRow }, (): number[] => []))
  for (let at = 0; at < repeats; at += 1) {
    const players = strategies.map((name) => new Player(size, name))
    global.gc?.()
    for (let round = 0; round < roundsInRow; round += 1) {
      for (let turn = 0; turn < players.length; turn += 1) {
        const which = (turn + round + at) % players.length
        const tookMs = players[which]!.round()
        if (at >= warmUps) times[which]![round]!.push(tookMs)
      }
    }
    for (const other of [1, 3]) assert.equal(players[0]!.chosen, players[other]!.chosen, 'all decide the same')
  }
  const us = times.map((rounds) => rounds.map((took) => quartile(took) * 1000))
  const first = us.map((rounds) => rounds[0]!)
  const rest = us.map((rounds) => rounds.slice(1).reduce((sum, one) => sum + one, 0) / (roundsInRow - 1))
  for (const [which, [builtIn, ordered, placing, plain]] of [
    ['alone', first as [number, number, number, number]],
    ['in a row', rest as [number, number, number, number]],
  ] as const) {
    rows.push([
      `${size.workers} workers, ${size.runs} runs × ${size.tasks}`,
      which,
      Math.round(builtIn),
      Math.round(plain),
      Math.round(ordered),
      `${(ordered / plain).toFixed(2)} ×`,
      `${(ordered / builtIn).toFixed(2)} ×`,
      `${(placing / plain).toFixed(1)} ×`,
    ])
  }
}
console.log(
  formatTable({
    title: 'deciding one round: built-in, the same order as a plugin, and a plugin that chooses every worker',
    columns: [
      'fleet and queue',
      'round',
      'history µs',
      'direct µs',
      'plugin µs',
      'to direct',
      'to history',
      'place() to direct',
    ],
    rows,
    note: `each round's lower quartile of ${repeats - warmUps}; in a row: the mean of ${roundsInRow - 1} rounds, ${betweenMs} ms apart`,
  }),
)
