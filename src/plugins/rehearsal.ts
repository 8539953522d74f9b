/**
 * Plays a scheduler on a made-up fleet, for tests of plugins: the real core, the real host, virtual time. What is made up is
 * how long tasks take: as long as they say, divided by the speed and CPUs that they get. Nothing fails, and no machine is
 * ever lost; Muster's own tests look at that.
 */
import { advance } from '../core/advance.ts'
import type { Need, RunSpec } from '../core/entities.ts'
import type { Event } from '../core/events.ts'
import { readableFormat } from '../core/format.ts'
import { Refused, type Input } from '../core/input.ts'
import { emptyState, type State } from '../core/state.ts'
import { contractVersion, type PluginScheduler } from './contract.ts'
import { Registry } from './registry.ts'
import { SchedulerHost } from './scheduler-host.ts'

export type RehearsedRun = {
  readonly name: string
  /** What its tasks take, in milliseconds of one CPU of speed 1; or that and the number of their need. */
  readonly tasks: readonly (number | { readonly ms: number; readonly need?: number })[]
  readonly project?: string
  readonly suite?: string
  readonly user?: string
  readonly priority?: number
  readonly needs?: readonly Need[]
  readonly labels?: Readonly<Record<string, string>>
  /** CPUs of a host that it uses at most; default: all. */
  readonly cpus?: number
  readonly workersMax?: number
  readonly startupMs?: number
  /** When it is submitted; default 0. */
  readonly atMs?: number
  readonly deadlineAtMs?: number
}

export type RehearsedWorker = {
  readonly name: string
  /** Default 1. */
  readonly cpus?: number
  /** Default 1. */
  readonly speed?: number
  readonly memoryBytes?: number
  readonly labels?: Readonly<Record<string, string>>
}

export type RehearsedPlacement = {
  readonly atMs: number
  readonly run: string
  readonly worker: string
  readonly tasks: readonly number[]
  readonly cpus: number
}

export type Rehearsal = {
  readonly placements: readonly RehearsedPlacement[]
  /** Names of runs in the order in which they ended. */
  readonly ended: readonly string[]
  readonly endedAtMs: Readonly<Record<string, number>>
  /** Those with tasks that were never placed. */
  readonly unfinished: readonly string[]
  readonly makespanMs: number
  /** What the scheduler did wrong, in words; what it then left undone, the default did. */
  readonly faults: readonly string[]
}

export type RehearsalOptions = {
  readonly workers: readonly RehearsedWorker[]
  readonly runs: readonly RehearsedRun[]
  readonly config?: Readonly<Record<string, unknown>>
}

/** Enough on the busiest machine, so that a rehearsal is the same everywhere; a coordinator gives much less. */
const roundMs = 10_000

/** Same options, same rehearsal. Throws when the scheduler is none, or can't be configured so. */
export function rehearse(scheduler: PluginScheduler, { workers, runs, config }: RehearsalOptions): Rehearsal {
  const registry = new Registry()
  registry.add('rehearsal', { name: 'rehearsal', contract: contractVersion, schedulers: [scheduler] })
  const faults: string[] = []
  const host = new SchedulerHost({
    registry,
    say: (_level, _message, { why }) => faults.push(String(why)),
    faults: { max: Infinity, withinMs: Infinity },
    roundMs,
  })
  const chosen = { strategy: scheduler.name, ...(config === undefined ? {} : { config }) }
  const fault = host.faultOf(chosen)
  if (fault) throw new Error(fault.why)
  const stage = new Stage(host, runs)
  stage.take({ type: 'raise-format', format: readableFormat })
  stage.take({ type: 'choose-scheduler', who: 'rehearsal', ...chosen })
  for (const worker of workers) stage.take(joinOf(worker))
  for (const run of runs) stage.at(run.atMs ?? 0, [submitOf(run)])
  return { ...stage.play(), faults }
}

type Moment = { readonly atMs: number; readonly inputs: readonly Input[] }

class Stage {
  readonly #state: State = emptyState()
  readonly #host: SchedulerHost
  readonly #durations: ReadonlyMap<string, readonly number[]>
  readonly #placements: RehearsedPlacement[] = []
  readonly #ended = new Map<string, number>()
  /** The next one last. */
  #moments: Moment[] = []
  #nowMs = 0

  constructor(host: SchedulerHost, runs: readonly RehearsedRun[]) {
    this.#host = host
    this.#durations = new Map(runs.map(({ name, tasks }) => [name, tasks.map((task) => msOf(task))]))
  }

  at(atMs: number, inputs: readonly Input[]): void {
    const where = this.#moments.findLastIndex((moment) => moment.atMs > atMs)
    this.#moments.splice(where + 1, 0, { atMs, inputs })
  }

  take(input: Input): void {
    for (const event of advance(this.#state, input, this.#nowMs)) this.#happened(event)
  }

  play(): Omit<Rehearsal, 'faults'> {
    for (;;) {
      const moment = this.#moments.pop()
      if (!moment) break
      this.#nowMs = moment.atMs
      for (const input of moment.inputs) this.take(input)
      if (this.#moments.at(-1)?.atMs !== this.#nowMs) this.#place()
    }
    const unfinished = [...this.#durations.keys()].filter((name) => !this.#ended.has(name))
    const makespanMs = Math.max(0, ...this.#ended.values())
    const endedAtMs = Object.fromEntries(this.#ended)
    return { placements: this.#placements, ended: [...this.#ended.keys()], endedAtMs, unfinished, makespanMs }
  }

  #place(): void {
    const view = { state: this.#state, available: () => true, nowMs: this.#nowMs }
    for (const placement of this.#host.place(view)) {
      try {
        this.take({ type: 'assign', ...placement })
      } catch (error) {
        if (!(error instanceof Refused)) throw error
        this.#host.refused(placement, error.message)
      }
    }
  }

  #happened(event: Event): void {
    if (event.type === 'run.finished') this.#ended.set(event.run, this.#nowMs)
    if (event.type !== 'batch.assigned') return
    const { run, worker, tasks, cpus, batch, token } = event
    this.#placements.push({ atMs: this.#nowMs, run, worker, tasks, cpus })
    const { speed = 1 } = this.#state.workers.get(worker)!.capabilities
    const durations = tasks.map((index) => this.#durations.get(run)![index]! / speed)
    const sumMs = durations.reduce((sum, ms) => sum + ms, 0)
    const startupMs = this.#state.runs.get(run)!.spec.startupMs
    const wallMs = startupMs + Math.max(sumMs / cpus, ...durations)
    const reports = tasks.map((task, at) => ({
      task,
      outcome: 'passed' as const,
      durationMs: durations[at]!,
      counts: [1, 0, 0, 0] as const,
    }))
    this.at(this.#nowMs + wallMs, [
      { type: 'report', worker, batch, token, reports },
      { type: 'end', worker, batch, token, reason: 'completed', ...ending, startupMs, wallMs },
    ])
  }
}

const ending = { exitCode: 0, signal: null, interrupted: [], timedOut: [], errors: [] }

function msOf(task: RehearsedRun['tasks'][number]): number {
  return typeof task === 'number' ? task : task.ms
}

function joinOf({ name, cpus = 1, speed = 1, memoryBytes = 2 ** 33, labels = {} }: RehearsedWorker): Input {
  const capabilities = { os: 'linux', arch: 'x64', cpus, memoryBytes, host: name, labels, tools: {}, speed }
  return { type: 'join', worker: name, name, version: '1', capabilities, draining: false }
}

function submitOf(run: RehearsedRun): Input {
  const { name, tasks, project = 'project', suite = 'suite', user, priority = 0, needs, labels = {} } = run
  const { cpus, workersMax, startupMs = 0, deadlineAtMs } = run
  const spec: RunSpec = {
    framework: 'command',
    frameworkVersion: '1',
    suite,
    project,
    cwd: '/',
    workspace: { type: 'none' },
    paths: [],
    args: [],
    complete: true,
    context: '',
    retries: 0,
    taskTimeoutMs: 3_600_000,
    maxFailures: 0,
    priority,
    labels,
    startupMs,
    open: false,
    noWorkerTimeoutMs: 3_600_000,
    ...(user === undefined ? {} : { user }),
    ...(needs === undefined ? {} : { needs }),
    ...(cpus === undefined ? {} : { cpus }),
    ...(workersMax === undefined ? {} : { workersMax }),
    ...(deadlineAtMs === undefined ? {} : { deadlineAtMs }),
  }
  return {
    type: 'submit',
    run: name,
    who: 'rehearsal',
    spec,
    files: tasks.map((_, at) => `task-${at}`),
    estimates: tasks.map((task) => msOf(task)),
    ...(needs === undefined ? {} : { kinds: tasks.map((task) => (typeof task === 'number' ? 0 : (task.need ?? 0))) }),
  }
}
