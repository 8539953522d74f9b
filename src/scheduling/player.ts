/**
 * Plays work over made-up time: the real core and a real strategy decide, and batches take as long as they are said to.
 * What `muster plan`, `muster replay`, rehearsals and the benchmark of makespans rest on. What becomes of a batch says
 * played-batch.ts, what becomes of its tasks then the core. A run that is cancelled, or stopped after too many failures,
 * has its processes ended at once, or when what runs is done. Nothing is random: the same input gives the same output.
 *
 * Placements are looked for after everything that happens at one moment, and as a leader does, again while somebody is
 * free and nothing happens.
 *
 * Left out: everything that costs a real coordinator time (its log, the network, workspaces).
 */
import { advance } from '../core/advance.ts'
import { tickDueMs } from '../core/breaker.ts'
import { nextDueMs } from '../core/due.ts'
import type { BatchId, RunId, TaskIndex } from '../core/entities.ts'
import type { Event } from '../core/events.ts'
import { Refused, type Input } from '../core/input.ts'
import { defaultLimits, type Limits } from '../core/limits.ts'
import type { Shares } from '../core/shares.ts'
import { emptyState, type State } from '../core/state.ts'
import { readableFormat } from '../core/format.ts'
import { earlyProbes } from './early-probe.ts'
import { lookAgainMs, looksAgain } from './look-again.ts'
import { Moments } from './moments.ts'
import {
  beginBatch,
  saidOf,
  stopBatch,
  type Assigned,
  type Happening,
  type PlayedBatch,
  type Script,
  type UnderWay,
} from './played-batch.ts'
import type { Scheduler, Strategy } from './strategy.ts'

/** `refused`: told of placements that would have broken a rule; without it they end the play. */
export type Policy = Strategy & Partial<Pick<Scheduler, 'refused' | 'takeFaults'>>

export type Play = Script & {
  readonly strategy: Policy
  readonly config?: Readonly<Record<string, unknown>>
  /** What comes from outside: workers that join and leave, runs that are submitted; times in any order. */
  readonly inputs: readonly { readonly atMs: number; readonly input: Input }[]
  readonly shares?: Shares
  readonly limits?: Limits
  /** Told of everything that happens. */
  readonly onEvents?: (events: readonly Event[], atMs: number) => void
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

/** How long a worker that is told to recycle takes. */
const recyclingMs = 1000
/** While nothing is to come but looks, they go on for so long: a strategy may wait for a time of its own. */
const onlyLooksMs = 60_000

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
  const stage: Stage = { script, state, moments, attempts: new Map(), underWay: new Map() }
  let [nowMs, happenedMs] = [0, 0]
  for (let idle = false; !idle;) {
    // What waits out a time of its own is looked at then, as a leader's clock does.
    const nextMs = Math.min(moments.firstMs ?? Infinity, dueMs(state, nowMs))
    const atMs = Math.min(nextMs, lookAtMs(stage, nowMs, happenedMs))
    if (atMs === Infinity) break
    idle = atMs <= nowMs && moments.firstMs === undefined
    nowMs = Math.max(nowMs, atMs)
    if (nextMs <= nowMs) happenedMs = nowMs
    while (moments.firstMs !== undefined && moments.firstMs <= nowMs) happen(stage, moments.take(), nowMs)
    for (const placed of placeAll(stage, nowMs)) {
      batches.push(runBatch(stage, placed, nowMs))
      idle = false
      happenedMs = nowMs
    }
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

type Stage = {
  readonly script: Play
  readonly state: State
  readonly moments: Moments<Happening>
  /** By run and task: attempts that came to an end of their own. */
  readonly attempts: Map<RunId, Map<TaskIndex, number>>
  readonly underWay: Map<BatchId, UnderWay>
}

function dueMs(state: State, nowMs: number): number {
  if (state.queuedCount === 0) return Infinity
  return Math.min(nextDueMs(state, nowMs) ?? Infinity, tickDueMs(state) ?? Infinity)
}

/**
 * When a leader would look again, if nothing else happens. After long, looks a sixteenth of that time apart tell nearly as
 * much, and a night in which something waits for a worker of the next morning doesn't cost tens of thousands of them.
 */
function lookAtMs({ state, moments }: Stage, nowMs: number, happenedMs: number): number {
  const sinceMs = nowMs - happenedMs
  if (!looksAgain(state) || (moments.firstMs === undefined && sinceMs >= onlyLooksMs)) return Infinity
  return nowMs + lookAgainMs * Math.max(1, Math.ceil(sinceMs / lookAgainMs / 16))
}

/** What the run that is played has no use for any more: it is over, or was not stopped in the first place. */
const optional: ReadonlySet<Input['type']> = new Set([
  'pause',
  'resume',
  'prioritise',
  'extend',
  'seal',
  'cancel',
  'recycled',
])

/** A batch of a worker that left goes on speaking, and is no longer heard. */
function happen(stage: Stage, { input, over }: Happening, nowMs: number): void {
  try {
    take(stage, input, nowMs)
  } catch (error) {
    if (!(error instanceof Refused) || (error.code !== 'stale' && !optional.has(input.type))) throw error
    return
  }
  if (!over || !stage.script.attempt) return
  let counts = stage.attempts.get(over.run)
  if (!counts) stage.attempts.set(over.run, (counts = new Map()))
  for (const task of over.tasks) counts.set(task, (counts.get(task) ?? 0) + 1)
}

function take(stage: Stage, input: Input, nowMs: number): readonly Event[] {
  const { script, state, moments, underWay } = stage
  const events = advance(state, input, nowMs)
  script.onEvents?.(events, nowMs)
  for (const event of events) {
    if (event.type === 'batch.ended') underWay.delete(event.batch)
    else if (event.type === 'run.cancelled') stopBatches(stage, event, nowMs)
    else if (event.type === 'worker.recycling') {
      const { worker, id } = event
      moments.add(nowMs + recyclingMs, { input: { type: 'recycled', worker, id } })
    }
  }
  return events
}

/** What its batches would have said later is not heard. */
function stopBatches({ state, moments, underWay }: Stage, { run, drain }: RunCancelled, nowMs: number): void {
  for (const id of state.runs.get(run)!.batches) {
    const { atMs, ...end } = stopBatch(underWay.get(id)!, drain, nowMs)
    moments.add(atMs, end)
  }
}

type RunCancelled = Extract<Event, { type: 'run.cancelled' }>

function placeAll(stage: Stage, nowMs: number): readonly Assigned[] {
  const { script, state } = stage
  const { strategy, config } = script
  const view = { state, available: () => true, availableVersion: 0, nowMs }
  const placed: Assigned[] = []
  if ((tickDueMs(state) ?? Infinity) <= nowMs) take(stage, { type: 'tick' }, nowMs)
  for (const probe of earlyProbes(view, nowMs)) take(stage, probe, nowMs)
  for (const next of strategy.place(view, config)) {
    try {
      for (const event of take(stage, { type: 'assign', ...next }, nowMs))
        if (event.type === 'batch.assigned') placed.push(event)
    } catch (error) {
      if (!(error instanceof Refused) || !strategy.refused) throw error
      strategy.refused(next, error.message)
    }
  }
  for (const fault of strategy.takeFaults?.() ?? []) take(stage, fault, nowMs)
  return placed
}

function runBatch(stage: Stage, event: Assigned, nowMs: number): PlayedBatch {
  const { script, state, moments, attempts } = stage
  const { run, tasks, cpus, batch, worker } = event
  const before = (task: TaskIndex) => attempts.get(run)?.get(task) ?? 0
  const begun = beginBatch(script, event, state.workers.get(worker)!, nowMs, before)
  stage.underWay.set(batch, begun)
  let toMs = nowMs
  for (const { atMs, ...happening } of saidOf(begun, script.reportsMax)) {
    moments.add(atMs, happening)
    toMs = Math.max(toMs, atMs)
  }
  return { batch, run, worker, tasks, cpus, fromMs: nowMs, toMs }
}
