/**
 * Plays a scheduler on a made-up fleet, for tests of plugins: the real host, and the player that `muster plan` rests on.
 * Tasks take as long as they say, divided by their machine's speed, on as many lanes as their batch has CPUs. Nothing
 * fails, and no machine is ever lost; Muster's own tests look at that.
 */
import type { Capabilities, Need } from '../core/entities.ts'
import type { Input } from '../core/input.ts'
import { speedOf } from '../scheduling/fleet.ts'
import { joinOf, machine, plainRun } from '../scheduling/made-up.ts'
import { play } from '../scheduling/player.ts'
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
  const durations = new Map(runs.map(({ name, tasks }) => [name, tasks.map(msOf)]))
  const startups = new Map(runs.map(({ name, startupMs = 0 }) => [name, startupMs]))
  const played = play({
    strategy: {
      name: scheduler.name,
      description: scheduler.description,
      place: (view) => host.place(view),
      refused: (placement, why) => host.refused(placement, why),
      takeFaults: () => host.takeFaults(),
    },
    ...(config === undefined ? {} : { config }),
    inputs: [
      ...workers.map((worker) => ({ atMs: 0, input: joinOf(worker.name, worker.name, capabilitiesOf(worker)) })),
      ...runs.map((run) => ({ atMs: run.atMs ?? 0, input: submitOf(run) })),
    ],
    taskMs: (run, task, worker) => durations.get(run)![task]! / speedOf(worker),
    startupMs: (run) => startups.get(run)!,
  })
  const over = played.runs.filter((run) => run.endedAtMs !== undefined).sort((a, b) => a.endedAtMs! - b.endedAtMs!)
  const ended = over.map(({ run }) => run)
  return {
    placements: played.batches.map(({ fromMs, run, worker, tasks, cpus }) => ({
      atMs: fromMs,
      run,
      worker,
      tasks,
      cpus,
    })),
    ended,
    endedAtMs: Object.fromEntries(over.map(({ run, endedAtMs }) => [run, endedAtMs!])),
    unfinished: runs.map(({ name }) => name).filter((name) => !ended.includes(name)),
    makespanMs: played.endMs,
    faults,
  }
}

function msOf(task: RehearsedRun['tasks'][number]): number {
  return typeof task === 'number' ? task : task.ms
}

function capabilitiesOf(worker: RehearsedWorker): Capabilities {
  const { name, cpus = 1, speed = 1, memoryBytes = 2 ** 33, labels = {} } = worker
  return machine(name, { cpus, speed, memoryBytes, labels })
}

function submitOf(run: RehearsedRun): Input {
  const { name, tasks, project = 'project', suite = 'suite', user, priority = 0, needs, labels = {} } = run
  const { cpus, workersMax, startupMs = 0, deadlineAtMs } = run
  const spec = plainRun({
    project,
    suite,
    priority,
    labels,
    startupMs,
    ...(user === undefined ? {} : { user }),
    ...(needs === undefined ? {} : { needs }),
    ...(cpus === undefined ? {} : { cpus }),
    ...(workersMax === undefined ? {} : { workersMax }),
    ...(deadlineAtMs === undefined ? {} : { deadlineAtMs }),
  })
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
