/**
 * Plays work over made-up time: the real core and a real strategy decide, and batches take as long as they are said to.
 * What `muster plan`, `muster replay`, rehearsals and the benchmark of makespans rest on. A batch starts up, then runs its
 * tasks in their order on as many lanes as it has CPUs, as a framework does, and reports each as it is done. Tasks pass,
 * unless the script says how an attempt goes: one that crashes or runs out of time takes its process with it, and what
 * becomes of the others the core decides. A run that is cancelled, or stopped after too many failures, has its processes
 * ended at once, or when what runs is done. Nothing is random: the same input gives the same output.
 *
 * Left out: everything that costs a real coordinator time (its log, the network, workspaces).
 */
import { advance } from '../core/advance.ts'
import { tickDueMs } from '../core/breaker.ts'
import { nextDueMs } from '../core/due.ts'
import type { BatchId, RunId, TaskIndex, WorkerId } from '../core/entities.ts'
import type { Event, TaskReport } from '../core/events.ts'
import { Refused, type Input } from '../core/input.ts'
import { defaultLimits, type Limits } from '../core/limits.ts'
import type { Shares } from '../core/shares.ts'
import { emptyState, type State, type Worker } from '../core/state.ts'
import { readableFormat } from '../core/format.ts'
import { earlyProbes } from './early-probe.ts'
import { Moments } from './moments.ts'
import type { Scheduler, Strategy } from './strategy.ts'

/** `refused`: told of placements that would have broken a rule; without it they end the play. */
export type Policy = Strategy & Partial<Pick<Scheduler, 'refused' | 'takeFaults'>>

/** How one attempt of a task goes, and what it takes on this worker. */
export type Attempted = {
  readonly outcome: 'passed' | 'failed' | 'skipped' | 'crashed' | 'timed-out'
  readonly durationMs: number
  /** Of one that failed; default 1. */
  readonly failedTests?: number
}

export type Play = {
  readonly strategy: Policy
  readonly config?: Readonly<Record<string, unknown>>
  /** What comes from outside: workers that join and leave, runs that are submitted; times in any order. */
  readonly inputs: readonly { readonly atMs: number; readonly input: Input }[]
  /** How long a task takes on this worker, by itself on one lane. */
  readonly taskMs: (run: RunId, task: TaskIndex, worker: Worker) => number
  /** How an attempt goes, of which `before` have come to an end; undefined: it passes, and takes `taskMs`. */
  readonly attempt?: (run: RunId, task: TaskIndex, worker: Worker, before: number) => Attempted | undefined
  readonly startupMs: (run: RunId, worker: Worker) => number
  readonly shares?: Shares
  readonly limits?: Limits
  /** A batch reports so often at most, its tasks together; absent: each task by itself. For very many tasks. */
  readonly reportsMax?: number
  /** Told of everything that happens. */
  readonly onEvents?: (events: readonly Event[], atMs: number) => void
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

/** `over`: tasks of the run of which an attempt has come to its end with it. */
type Happening = {
  readonly input: Input
  readonly over?: { readonly run: RunId; readonly tasks: readonly TaskIndex[] }
}

/** How long a worker that is told to recycle takes. */
const recyclingMs = 1000
/** What runs may go on for so long when its run is cancelled and is to finish what it began. */
const drainMaxMs = 10_000

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
  const stage: Stage = { script, state, moments, attempts: new Map(), underWay: new Map() }
  let nowMs = 0
  for (let idle = false; !idle;) {
    // What waits out a time of its own is looked at then, as a leader's clock does.
    const atMs = Math.min(moments.firstMs ?? Infinity, dueMs(state, nowMs))
    if (atMs === Infinity) break
    idle = atMs <= nowMs && moments.firstMs === undefined
    nowMs = Math.max(nowMs, atMs)
    while (moments.firstMs !== undefined && moments.firstMs <= nowMs) happen(stage, moments.take(), nowMs)
    for (const placed of placeAll(stage, nowMs)) {
      batches.push(runBatch(stage, placed, nowMs))
      idle = false
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

/** What a batch does until it ends. */
type UnderWay = {
  readonly event: Assigned
  readonly atMs: number
  readonly startupMs: number
  readonly turns: readonly Turn[]
}

function dueMs(state: State, nowMs: number): number {
  if (state.queuedCount === 0) return Infinity
  return Math.min(nextDueMs(state, nowMs) ?? Infinity, tickDueMs(state) ?? Infinity)
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

/** Its processes end at once, or when the tasks that have begun are done; what they would have said later is not heard. */
function stopBatches({ state, moments, underWay }: Stage, { run, drain }: RunCancelled, nowMs: number): void {
  for (const id of state.runs.get(run)!.batches) {
    const { event, atMs, startupMs, turns } = underWay.get(id)!
    let toMs = nowMs
    if (drain)
      for (const turn of turns)
        if (turn.fromMs <= nowMs && turn.toMs > nowMs) toMs = Math.min(Math.max(toMs, turn.toMs), nowMs + drainMaxMs)
    const { worker, batch, token } = event
    const spent = { startupMs: Math.min(startupMs, toMs - atMs), wallMs: toMs - atMs }
    moments.add(toMs, { input: { type: 'end', worker, batch, token, ...plainEnd, reason: 'cancelled', ...spent } })
  }
}

type Assigned = Extract<Event, { type: 'batch.assigned' }>
type RunCancelled = Extract<Event, { type: 'run.cancelled' }>

const plainEnd = { exitCode: 0, signal: null, interrupted: [], timedOut: [], errors: [] }

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

type Turn = Attempted & { readonly task: TaskIndex; readonly fromMs: number; readonly toMs: number }

/** Which task runs when, lane by lane, if nothing ends the process. */
function turnsOf({ script, attempts }: Stage, { run, tasks, cpus }: Assigned, worker: Worker, beginMs: number): Turn[] {
  const lanes = new Moments<undefined>()
  for (let lane = 0; lane < Math.min(cpus, tasks.length); lane += 1) lanes.add(beginMs, undefined)
  return tasks.map((task) => {
    const attempted: Attempted = script.attempt?.(run, task, worker, attempts.get(run)?.get(task) ?? 0) ?? {
      outcome: 'passed',
      durationMs: script.taskMs(run, task, worker),
    }
    const fromMs = lanes.firstMs!
    const toMs = fromMs + attempted.durationMs
    lanes.take()
    lanes.add(toMs, undefined)
    return { task, ...attempted, fromMs, toMs }
  })
}

const counts = { passed: [1, 0, 0, 0], skipped: [0, 0, 0, 1] } as const

function reportOf({ task, outcome, durationMs, failedTests = 1 }: Turn): TaskReport | undefined {
  if (outcome === 'crashed' || outcome === 'timed-out') return undefined
  return { task, outcome, durationMs, counts: outcome === 'failed' ? [0, failedTests, 0, 0] : counts[outcome] }
}

/** Those that are done by `toMs`, in the order in which they are: one by one, or those of a part of the time together. */
function together(
  turns: readonly Turn[],
  fromMs: number,
  toMs: number,
  partsMax = Infinity,
): Iterable<readonly Turn[]> {
  const done = turns.filter((turn) => turn.toMs <= toMs)
  if (done.length <= partsMax) return done.map((turn) => [turn])
  const parts = Array.from({ length: partsMax }, (): Turn[] => [])
  const spanMs = Math.max(1, toMs - fromMs)
  for (const turn of done)
    parts[Math.min(partsMax - 1, Math.floor(((turn.toMs - fromMs) * partsMax) / spanMs))]!.push(turn)
  return parts
}

/** Everything that its worker will say of the batch. */
function runBatch(stage: Stage, event: Assigned, nowMs: number): PlayedBatch {
  const { script, state, moments, underWay } = stage
  const { run, tasks, cpus, batch, token } = event
  const worker = state.workers.get(event.worker)!
  const about = { worker: worker.id, batch, token } as const
  const startupMs = script.startupMs(run, worker)
  const turns = turnsOf(stage, event, worker, nowMs + startupMs)
  underWay.set(batch, { event, atMs: nowMs, startupMs, turns })
  let fatal: Turn | undefined
  let toMs = nowMs + startupMs
  for (const turn of turns) {
    toMs = Math.max(toMs, turn.toMs)
    if (turn.outcome !== 'crashed' && turn.outcome !== 'timed-out') continue
    if (fatal === undefined || turn.toMs < fatal.toMs) fatal = turn
  }
  if (fatal) ({ toMs } = fatal)
  for (const part of together(turns, nowMs + startupMs, toMs, script.reportsMax)) {
    const reports = part.map(reportOf).filter((report) => report !== undefined)
    if (reports.length === 0) continue
    const doneMs = part.reduce((last, turn) => Math.max(last, turn.toMs), 0)
    const over = { run, tasks: reports.map((one) => one.task) }
    moments.add(doneMs, { input: { type: 'report', ...about, reports }, over })
  }
  const wallMs = toMs - nowMs
  if (fatal) {
    const reason = fatal.outcome === 'crashed' ? 'crashed' : 'timed-out'
    // By what has begun the core tells who may be to blame.
    for (const { task, fromMs } of turns)
      if (fromMs < toMs) moments.add(fromMs, { input: { type: 'start', ...about, tasks: [task] } })
    const underWay = turns.filter((turn) => turn.fromMs < toMs && turn.toMs > toMs).map((turn) => turn.task)
    const { task } = fatal
    const which =
      reason === 'crashed'
        ? { exitCode: null, signal: 'SIGKILL', interrupted: [task, ...underWay] }
        : { exitCode: null, interrupted: underWay, timedOut: [task] }
    const input = { type: 'end', ...about, ...plainEnd, ...which, reason, startupMs, wallMs } as const
    moments.add(toMs, { input, over: { run, tasks: [task] } })
  } else moments.add(toMs, { input: { type: 'end', ...about, ...plainEnd, reason: 'completed', startupMs, wallMs } })
  return { batch, run, worker: worker.id, tasks, cpus, fromMs: nowMs, toMs }
}
