/**
 * Plays work over made-up time: the real core and a real strategy decide, and batches take as long as they are said to.
 * What `muster plan`, `muster replay` and the benchmark of makespans rest on. A batch starts up, then runs its tasks in
 * their order on as many lanes as it has CPUs, as a framework does, and reports each as it is done; every task passes.
 * Nothing is random: the same input gives the same output.
 *
 * Left out: everything that costs a real coordinator time (its log, the network, workspaces), and failures.
 */
import { advance } from '../core/advance.ts'
import { nextDueMs } from '../core/due.ts'
import type { BatchId, RunId, TaskIndex, WorkerId } from '../core/entities.ts'
import type { Event } from '../core/events.ts'
import { Refused, type Input } from '../core/input.ts'
import { defaultLimits, type Limits } from '../core/limits.ts'
import type { Shares } from '../core/shares.ts'
import { emptyState, type State, type Worker } from '../core/state.ts'
import { readableFormat } from '../core/format.ts'
import { Moments } from './moments.ts'
import type { Scheduler, Strategy } from './strategy.ts'

/** `refused`: told of placements that would have broken a rule; without it they end the play. */
export type Policy = Strategy & Partial<Pick<Scheduler, 'refused' | 'takeFaults'>>

export type Play = {
  readonly strategy: Policy
  readonly config?: Readonly<Record<string, unknown>>
  /** What comes from outside: workers that join and leave, runs that are submitted; times in any order. */
  readonly inputs: readonly { readonly atMs: number; readonly input: Input }[]
  /** How long a task takes on this worker, by itself on one lane. */
  readonly taskMs: (run: RunId, task: TaskIndex, worker: Worker) => number
  readonly startupMs: (run: RunId, worker: Worker) => number
  readonly shares?: Shares
  readonly limits?: Limits
}

export type PlayedBatch = {
  readonly batch: BatchId
  readonly run: RunId
  readonly worker: WorkerId
  readonly tasks: readonly TaskIndex[]
  readonly cpus: number
  readonly fromMs: number
  readonly toMs: number
}

export type PlayedRun = {
  readonly run: RunId
  readonly submittedAtMs: number
  /** Undefined: it never began, or never ended, with these workers. */
  readonly startedAtMs: number | undefined
  readonly endedAtMs: number | undefined
}

export type Played = {
  readonly runs: readonly PlayedRun[]
  readonly batches: readonly PlayedBatch[]
  /** When the last run ended. */
  readonly endMs: number
}

type Happening = { readonly input: Input }

/** Placements are looked for after everything that happens at one moment. */
export function play(script: Play): Played {
  const state = emptyState(script.limits ?? playLimits, script.shares ?? new Map())
  advance(state, { type: 'raise-format', format: readableFormat }, 0)
  const { strategy, config } = script
  // A host of plugins looks into state for what was chosen.
  const chosen = { strategy: strategy.name, ...(config === undefined ? {} : { config }) }
  advance(state, { type: 'choose-scheduler', who: 'player', ...chosen }, 0)
  const moments = new Moments<Happening>()
  for (const { atMs, input } of script.inputs) moments.add(atMs, { input })
  const batches: PlayedBatch[] = []
  let nowMs = 0
  for (;;) {
    // What waits out a time of its own is looked at then, as a leader's clock does.
    const dueMs = state.queuedCount > 0 ? nextDueMs(state, nowMs) : undefined
    const next = moments.firstMs
    if (next === undefined && dueMs === undefined) break
    nowMs = Math.max(nowMs, Math.min(next ?? Infinity, dueMs ?? Infinity))
    while (moments.firstMs !== undefined && moments.firstMs <= nowMs) happen(state, moments.take().input, nowMs)
    for (const placed of placeAll(script, state, nowMs)) batches.push(runBatch(script, state, moments, placed, nowMs))
  }
  const runs = [...state.runs.values()].map((run) => ({
    run: run.id,
    submittedAtMs: run.createdAtMs,
    startedAtMs: run.startedAtMs,
    endedAtMs: run.endedAtMs,
  }))
  return { runs, batches, endMs: runs.reduce((last, run) => Math.max(last, run.endedAtMs ?? 0), 0) }
}

/** Nothing is forgotten while it is played. */
const playLimits: Limits = {
  ...defaultLimits,
  finishedRunsMax: Infinity,
  finishedTasksMax: Infinity,
  queuedTasksMax: Infinity,
}

/** A batch of a worker that left goes on speaking, and is no longer heard. */
function happen(state: State, input: Input, nowMs: number): void {
  try {
    advance(state, input, nowMs)
  } catch (error) {
    if (!(error instanceof Refused) || error.code !== 'stale') throw error
  }
}

type Assigned = Extract<Event, { type: 'batch.assigned' }>

function placeAll({ strategy, config }: Play, state: State, nowMs: number): readonly Assigned[] {
  const placed: Assigned[] = []
  for (const next of strategy.place({ state, available: () => true, availableVersion: 0, nowMs }, config)) {
    try {
      for (const event of advance(state, { type: 'assign', ...next }, nowMs))
        if (event.type === 'batch.assigned') placed.push(event)
    } catch (error) {
      if (!(error instanceof Refused) || !strategy.refused) throw error
      strategy.refused(next, error.message)
    }
  }
  for (const fault of strategy.takeFaults?.() ?? []) advance(state, fault, nowMs)
  return placed
}

/** Everything that its worker will say of the batch. */
function runBatch(
  script: Play,
  state: State,
  moments: Moments<Happening>,
  event: Assigned,
  nowMs: number,
): PlayedBatch {
  const { run, tasks, cpus, batch, token } = event
  const worker = state.workers.get(event.worker)!
  const startupMs = script.startupMs(run, worker)
  const lanes = new Moments<undefined>()
  for (let lane = 0; lane < Math.min(cpus, tasks.length); lane += 1) lanes.add(nowMs + startupMs, undefined)
  let toMs = nowMs + startupMs
  for (const task of tasks) {
    const durationMs = script.taskMs(run, task, worker)
    const doneMs = lanes.firstMs! + durationMs
    lanes.take()
    lanes.add(doneMs, undefined)
    toMs = Math.max(toMs, doneMs)
    const reports = [{ task, outcome: 'passed' as const, durationMs, counts: [1, 0, 0, 0] as const }]
    moments.add(doneMs, { input: { type: 'report', worker: worker.id, batch, token, reports } })
  }
  const base = { worker: worker.id, batch, token, exitCode: 0, signal: null, interrupted: [], timedOut: [], errors: [] }
  moments.add(toMs, { input: { type: 'end', ...base, reason: 'completed', startupMs, wallMs: toMs - nowMs } })
  return { batch, run, worker: worker.id, tasks, cpus, fromMs: nowMs, toMs }
}
