/**
 * What the boundary of plugins costs, for each kind of scheduler: the same code once on state itself, called as it is, and
 * once as a plugin's, which sees a view, is called under guard, and whose every answer is checked. Both decide the same,
 * round for round, on states that are alike, in turns; a round is what becomes one entry of the log. Each kind has a process
 * of its own, as a coordinator has one scheduler: code that several kinds have called is compiled for all of them.
 *
 * Two times of each round are compared. Choosing: from asking the scheduler to its last answer, without what the leader does
 * with the answers. The whole decision: that, and each placement checked by the core and applied, which the next one builds on;
 * it is what `npm run bench -- schedule` calls a decision, too. The boundary is in both, in the same number of microseconds.
 *
 * An order is given twice: as it is against the same order sorted at every round, and against `history`, whose order is kept
 * up to date: what somebody pays who replaces the default.
 */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { advance } from '../src/core/advance.ts'
import { readableFormat } from '../src/core/format.ts'
import { emptyState, type State } from '../src/core/state.ts'
import { plainSpec } from '../src/core/transcript.ts'
import type { Run, Worker } from '../src/core/state.ts'
import { prepareGuard } from '../src/plugins/guard.ts'
import {
  definePlugin,
  largestFirst,
  orderedStrategy,
  placingStrategy,
  type Placement as PluginPlacement,
  type PluginRun,
  type PluginView,
} from '../src/plugins/plugin.ts'
import { choicesOf, type Choices } from '../src/scheduling/choices.ts'
import { Fleets, speedOf } from '../src/scheduling/fleet.ts'
import { type Placement, type StrategyView, waitingRuns } from '../src/scheduling/ordering.ts'
import { freeCpus } from '../src/scheduling/round.ts'
import { Registry } from '../src/plugins/registry.ts'
import { builtinStrategies } from '../src/scheduling/strategies/builtin.ts'
import { orderedStrategy as strategyOf, type Strategy } from '../src/scheduling/strategy.ts'
import { urgency } from '../src/scheduling/urgency.ts'
import { SchedulerHost } from '../src/plugins/scheduler-host.ts'
import { formatTable } from './table.ts'

const roundPlacementsMax = 500
const repeatsMin = 7
/** Small rounds are played more often: what is compiled after some thousand calls is what a coordinator runs. */
const playsOfWorkers = 1600

const byUrgency = (runs: readonly PluginRun[]) => largestFirst(runs, (run) => run.urgency)
const description = 'for the benchmark'

/** One batch of each group at most, each on a worker of its own: as a list needs it. */
function* firstOfEach(view: PluginView): Generator<PluginPlacement> {
  const taken = new Set<string>()
  for (const run of byUrgency(view.runs))
    for (const group of run.groups) {
      const worker = group.free.find((one) => !taken.has(one.id))
      const batch = worker && group.batchOn(worker)
      if (batch === undefined) continue
      taken.add(batch.worker)
      yield batch
    }
}

const plugin = definePlugin({
  name: 'twins',
  schedulers: [
    orderedStrategy({ name: 'order', description, order: byUrgency }),
    orderedStrategy({
      name: 'rank',
      description,
      order: byUrgency,
      rank: (_run, _group, worker) => worker.cpusFree * worker.speed,
    }),
    orderedStrategy({ name: 'batch', description, turn: 'batch', order: byUrgency }),
    placingStrategy({
      name: 'generator',
      description,
      *place(view) {
        for (const run of byUrgency(view.runs))
          for (const group of run.groups)
            for (const worker of group.free) {
              const batch = group.batchOn(worker)
              if (batch === undefined) break
              yield batch
            }
      },
    }),
    placingStrategy({ name: 'list', description, place: (view) => [...firstOfEach(view)] }),
  ],
})

// The same without a boundary.

function sort(_view: unknown, waiting: readonly Run[], fleets: Fleets, nowMs: number): Run[] {
  return waiting
    .map((run) => ({ run, key: urgency(run, fleets, nowMs) }))
    .sort((a, b) => b.key - a.key || a.run.createdAtMs - b.run.createdAtMs || (a.run.id < b.run.id ? -1 : 1))
    .map((one) => one.run)
}

function seen(view: StrategyView): { readonly runs: readonly Run[]; readonly choices: Choices } {
  const fleets = new Fleets(view)
  const runs = sort(view, waitingRuns(view.state, view.nowMs, view.mine), fleets, view.nowMs)
  return { runs, choices: choicesOf(view, fleets) }
}

function* placed(view: StrategyView): Generator<Placement> {
  const { runs, choices } = seen(view)
  for (const run of runs)
    for (const group of run.groups)
      for (const worker of choices.workers(run, group)) {
        const batch = choices.batch(run, group, worker)
        if (batch === undefined) break
        yield batch
      }
}

function listed(view: StrategyView): readonly Placement[] {
  const { runs, choices } = seen(view)
  const taken = new Set<Worker>()
  const list: Placement[] = []
  for (const run of runs)
    for (const group of run.groups) {
      const worker = choices.workers(run, group).find((one) => !taken.has(one))
      const batch = worker && choices.batch(run, group, worker)
      if (batch === undefined) continue
      taken.add(worker!)
      list.push(batch)
    }
  return list
}

const unguarded: readonly Strategy[] = [
  strategyOf('order-direct', description, { turn: 'run', sort }),
  strategyOf('rank-direct', description, {
    turn: 'run',
    sort,
    rank: (_run, _group, worker) => freeCpus(worker) * speedOf(worker),
  }),
  strategyOf('batch-direct', description, { turn: 'batch', sort }),
  { name: 'generator-direct', description, place: placed },
  { name: 'list-direct', description, place: listed },
]

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
const roundsInRow = 61

/** Of one round, in milliseconds. */
type Spent = { readonly choosing: number; readonly whole: number }

/** One strategy at its state, round after round. */
class Player {
  readonly #host: SchedulerHost
  readonly #state: State
  #nowMs: number
  chosen = ''

  constructor(size: Size, strategy: string) {
    const registry = new Registry([...builtinStrategies, ...unguarded])
    registry.add('bench', plugin)
    const onFault = (name: string, kind: string) => assert.fail(`${name}: ${kind}`)
    this.#host = new SchedulerHost({ registry, roundMs: 60_000, onFault })
    this.#state = stateOf(size)
    advance(this.#state, { type: 'choose-scheduler', who: 'x', strategy }, size.runs)
    this.#nowMs = size.runs
  }

  round(): Spent {
    endSome(this.#state, this.#nowMs)
    this.#nowMs += betweenMs
    const state = this.#state
    const nowMs = this.#nowMs
    let placed = 0
    let applyMs = 0
    const sinceMs = performance.now()
    this.#host.placeAll({ state, available: () => true, availableVersion: 0, nowMs }, (placement) => {
      const fromMs = performance.now()
      advance(state, { type: 'assign', ...placement }, nowMs)
      placed += 1
      this.chosen += `${placement.run}>${placement.worker} `
      applyMs += performance.now() - fromMs
      return placed < roundPlacementsMax
    })
    const wholeMs = performance.now() - sinceMs
    return { choosing: wholeMs - applyMs, whole: wholeMs }
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

/** The lower quartile: whoever else uses the machine only adds to it, and where much does, a median is of that. */
function quartile(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 4)]!
}

const kinds = ['order', 'rank', 'batch', 'generator', 'list'] as const
type Kind = (typeof kinds)[number]
/** With more runs, sorting them after every batch, or workers for every run, is all that there would be to see. */
const runsMax = { order: Infinity, rank: Infinity, batch: 20, generator: Infinity, list: 100 }

const sizes: readonly Size[] = [
  { workers: 4, runs: 3, tasks: 100 },
  { workers: 50, runs: 20, tasks: 200 },
  { workers: 1000, runs: 100, tasks: 500 },
  { workers: 1000, runs: 1000, tasks: 50 },
]

/** Microseconds of a round: the first, and the mean of those after it, and of those with all that is done with the answers. */
type Took = { readonly alone: number; readonly inARow: number; readonly whole: number }

function measure(size: Size, strategies: readonly string[]): Readonly<Record<string, Took>> {
  /** By strategy and number of the round: what it took each time. The same happens in it each time. */
  const times = strategies.map(() => Array.from({ length: roundsInRow }, (): Spent[] => []))
  const repeats = Math.max(repeatsMin, Math.ceil(playsOfWorkers / size.workers))
  const warmUps = Math.floor(repeats / 2)
  for (let at = 0; at < repeats; at += 1) {
    const players = strategies.map((name) => new Player(size, name))
    global.gc?.()
    for (let round = 0; round < roundsInRow; round += 1) {
      for (let turn = 0; turn < players.length; turn += 1) {
        const which = (turn + round + at) % players.length
        const spent = players[which]!.round()
        if (at >= warmUps) times[which]![round]!.push(spent)
      }
    }
    assert.equal(players[0]!.chosen, players[1]!.chosen, `${strategies[0]} decides the same`)
  }
  const took = times.map((rounds): Took => {
    const [alone, ...rest] = rounds.map((each) => quartile(each.map(({ choosing }) => choosing)) * 1000)
    const whole = rounds.slice(1).map((each) => quartile(each.map((spent) => spent.whole)) * 1000)
    return { alone: alone!, inARow: mean(rest), whole: mean(whole) }
  })
  return Object.fromEntries(strategies.map((name, which) => [name, took[which]!]))
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, one) => sum + one, 0) / values.length
}

const asked = process.argv[2] as Kind | undefined
if (asked !== undefined) {
  await prepareGuard()
  const strategies = [asked, `${asked}-direct`, ...(asked === 'order' ? ['history'] : [])]
  console.log(JSON.stringify(sizes.map((size) => (size.runs <= runsMax[asked] ? measure(size, strategies) : {}))))
} else {
  const tables = kinds.map((kind) => {
    const args = ['--expose-gc', import.meta.filename, kind]
    return JSON.parse(execFileSync(process.execPath, args, { encoding: 'utf8' })) as readonly Readonly<
      Record<string, Took>
    >[]
  })
  const rounds = { alone: 'choosing, alone', inARow: 'choosing, in a row', whole: 'whole, in a row' } as const
  const rows = sizes.flatMap((size, at) =>
    (['alone', 'inARow', 'whole'] as const).map((which) => {
      const of = (kind: Kind, name: string) => tables[kinds.indexOf(kind)]![at]![name]?.[which]
      const ratio = (kind: Kind) => {
        const [guarded, direct] = [of(kind, kind), of(kind, `${kind}-direct`)]
        if (guarded === undefined || direct === undefined) return '–'
        return `${Math.round(guarded)}/${Math.round(direct)} = ${(guarded / direct).toFixed(2)}`
      }
      const fleet = `${size.workers} workers, ${size.runs} runs × ${size.tasks}`
      const toHistory = of('order', 'order')! / of('order', 'history')!
      return [fleet, rounds[which], ...kinds.map(ratio), toHistory.toFixed(2)]
    }),
  )
  console.log(
    formatTable({
      title: 'deciding one round as a plugin and without the boundary, µs and their ratio',
      columns: ['fleet and queue', 'round', ...kinds, 'order to history'],
      rows,
      note: `Choosing: the scheduler's answers. Whole: the decision, each answer checked by the core and applied, too. Each round's lower quartile, in turns in one process, after as many plays to warm up; in a row: the mean of ${roundsInRow - 1} rounds, ${betweenMs} ms apart.`,
    }),
  )
}
