/**
 * A recorded queue as data: what was submitted when, what each task took, which workers were there from when to when,
 * and how it went. From it the player makes the same work happen again, under any strategy and on any fleet.
 *
 * Durations are of the reference machine: measured time × the worker's speed. What a task took is what all its attempts
 * took; one that was never measured (cancelled, lost) takes nothing. What isn't recorded and so isn't played again:
 * dependencies between tasks of a finished run, tasks added to a run later (they are there from the start), pauses,
 * changed priorities, failures.
 */
import type { Capabilities, RunId, RunSpec, WorkerId } from '../core/entities.ts'
import type { Input } from '../core/input.ts'
import { joinOf } from './made-up.ts'
import type { Play, Policy } from './player.ts'
import { speedOf } from './fleet.ts'

export type RecordedRun = {
  readonly run: RunId
  readonly who: string
  /** Without what only its workers need. */
  readonly spec: RunSpec
  readonly submittedAtMs: number
  readonly startedAtMs: number
  readonly endedAtMs: number
  readonly files: readonly string[]
  /** What was expected of each; null = nothing was known. */
  readonly estimatesMs: readonly (number | null)[]
  /** Index into the spec's needs, per file. */
  readonly kinds: readonly number[]
  /** What each took, on the reference machine. */
  readonly durationsMs: readonly number[]
  readonly startupMs: number
}

export type RecordedWorker = {
  readonly worker: WorkerId
  readonly name: string
  readonly capabilities: Capabilities
  readonly joinedAtMs: number
  /** Absent = it was there to the end. */
  readonly leftAtMs?: number
}

export type Recording = {
  readonly fromMs: number
  readonly toMs: number
  /** Of the scheduler that is chosen now. */
  readonly strategy: string
  /** In the order in which they were submitted. */
  readonly runs: readonly RecordedRun[]
  readonly workers: readonly RecordedWorker[]
  /** What of the time is not in it, for people. */
  readonly leftOut: readonly string[]
}

/** So many made-up workers instead of those that were there, or those. */
export type FleetChoice = { readonly type: 'same' } | { readonly type: 'made-up'; readonly workers: number }

/** Times are of the recording, less its start. */
export function playOf(recording: Recording, strategy: Policy, fleet: FleetChoice): Play {
  const { runs, fromMs } = recording
  const known = new Set(runs.map((run) => run.run))
  const byId = new Map(runs.map((run) => [run.run, run]))
  const submits = runs.map((run) => ({
    atMs: Math.max(0, run.submittedAtMs - fromMs),
    input: submitOf(run, known, fleet.type === 'same', fromMs),
  }))
  return {
    strategy,
    inputs: [...(fleet.type === 'same' ? sameFleet(recording) : madeUpFleet(recording, fleet.workers)), ...submits],
    taskMs: (run, task, worker) => byId.get(run)!.durationsMs[task]! / speedOf(worker),
    startupMs: (run, worker) => byId.get(run)!.startupMs / speedOf(worker),
  }
}

function submitOf(run: RecordedRun, known: ReadonlySet<RunId>, inPlace: boolean, fromMs: number): Input {
  const { after, deadlineAtMs, ...rest } = run.spec
  const spec: RunSpec = {
    ...rest,
    open: false,
    maxFailures: 0,
    startupMs: run.startupMs,
    ...(deadlineAtMs === undefined ? {} : { deadlineAtMs: deadlineAtMs - fromMs }),
    // Those before it that are not in the recording were over, or nobody knows.
    ...(after === undefined
      ? {}
      : { after: after.filter((one) => known.has(one.run)).map((one) => ({ ...one, when: 'finished' as const })) }),
    // Made-up workers are on hosts of their own.
    ...(inPlace ? {} : { workspace: { type: 'none' as const } }),
  }
  const { run: id, who, files, kinds } = run
  return { type: 'submit', run: id, who, spec, files, estimates: run.estimatesMs, kinds }
}

type Timed = { readonly atMs: number; readonly input: Input }

function sameFleet({ workers, fromMs }: Recording): readonly Timed[] {
  return workers.flatMap(({ worker, name, capabilities, joinedAtMs, leftAtMs }) => [
    { atMs: Math.max(0, joinedAtMs - fromMs), input: joinOf(worker, name, capabilities) },
    ...(leftAtMs === undefined
      ? []
      : [{ atMs: Math.max(0, leftAtMs - fromMs), input: { type: 'leave' as const, worker, why: 'as it was' } }]),
  ])
}

/** Like those that were there, in turn, each on a host of its own, from the start. */
function madeUpFleet({ workers }: Recording, count: number): readonly Timed[] {
  if (workers.length === 0) return []
  return Array.from({ length: count }, (_, at) => {
    const { capabilities } = workers[at % workers.length]!
    return { atMs: 0, input: joinOf(`w${at}`, `w${at}`, { ...capabilities, host: `host-${at}` }) }
  })
}
