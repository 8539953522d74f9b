/**
 * The batch family: placement, the worker's reports, the end of a process. The fencing token decides
 * who may speak for a batch; whatever else arrives is stale and changes nothing.
 */
import { assert } from '../stdx/assert.ts'
import { allowance, countBatch, noteProbe } from './breaker.ts'
import { namingCards } from './cards.ts'
import { noteMishap } from './dead-letter-events.ts'
import type { RetryCause, TaskIndex } from './entities.ts'
import type { BatchAssigned, BatchEnded, Event } from './events.ts'
import { fits, lacksContext } from './fit.ts'
import {
  giveBackHoldings,
  grantFault,
  lockInTheWay,
  obstacleOn,
  quotaInTheWay,
  takeHoldings,
  warmUp,
} from './holdings.ts'
import { noteLeft } from './queue-changes.ts'
import { Refused, type Assign, type End, type Report, type Start } from './input.ts'
import { runOf } from './run.ts'
import { recoveriesOf } from './recovery.ts'
import { countRecovery } from './recovery-table.ts'
import { giveUp, mayRetry, recyclingEvents, requeue, ruleOf, triesOf } from './retry.ts'
import { bookedMs, type Batch, type Group, type Retried, type Run, type State, type Worker } from './state.ts'
import { moveTask, TaskDecisions } from './task.ts'

/** Whoever else there is: so many workers' worth of batches that came to nothing are the run's own fault. */
const barrenWorkersMax = 3

export function stepAssign(state: State, input: Assign, nowMs: number): readonly Event[] {
  const run = runOf(state, input.run)
  const worker = state.workers.get(input.worker)
  if (!worker || worker.draining) throw new Refused('conflict', `worker ${input.worker} takes no work`)
  if (worker.recycling && worker.recycling.untilMs > nowMs)
    throw new Refused('conflict', `worker ${input.worker} is being recycled`)
  if (run.state !== 'queued' && run.state !== 'running') throw new Refused('conflict', `run ${run.id} is ${run.state}`)
  if (input.cpus < 1 || worker.cpusUsed + input.cpus > worker.capabilities.cpus) {
    throw new Refused(
      'conflict',
      `worker ${worker.id} has ${worker.capabilities.cpus - worker.cpusUsed} CPUs free, not ${input.cpus}`,
    )
  }
  if (run.after.length > 0) throw new Refused('conflict', `run ${run.id} comes after ${run.after.join(', ')}`)
  if (input.tasks.length === 0 || new Set(input.tasks).size !== input.tasks.length) {
    throw new Refused('request_invalid', 'expected different tasks, at least one')
  }
  const kind = run.tasks[input.tasks[0]!]?.kind ?? 0
  for (const index of input.tasks) {
    const task = run.tasks[index]
    if (!task || task.state !== 'queued') throw new Refused('conflict', `task ${run.id}/${index} is not queued`)
    if (task.again?.later && task.again.notBeforeMs > nowMs)
      throw new Refused('conflict', `task ${run.id}/${index} waits for its time`)
    if (task.batchMax > 0 && input.tasks.length > task.batchMax) {
      throw new Refused('conflict', `task ${run.id}/${index} wants a batch of at most ${task.batchMax}`)
    }
    if (task.kind !== kind) throw new Refused('request_invalid', 'expected tasks of one need in a batch')
  }
  checkHoldings(state, run, worker, input, run.groups[kind]!, nowMs)
  const allowed = allowance(state, run, worker)
  if (input.tasks.length > allowed) {
    throw new Refused(
      'conflict',
      `a breaker allows a batch of ${allowed} tasks of run ${run.id} on worker ${worker.id}`,
    )
  }
  const token = state.lastToken + 1
  return [
    {
      type: 'batch.assigned',
      batch: `b${token}`,
      run: run.id,
      worker: worker.id,
      tasks: input.tasks,
      cpus: input.cpus,
      ...(input.grant === undefined ? {} : { grant: namingCards(worker, input.grant) }),
      token,
      why: input.why,
    },
  ]
}

/** Whoever placed it: nothing is over-committed, no lock is broken, no quota exceeded. */
function checkHoldings(state: State, run: Run, worker: Worker, input: Assign, group: Group, nowMs: number): void {
  const { need } = group
  if (!fits(run, group, worker)) throw new Refused('conflict', `worker ${worker.id} does not fit run ${run.id}`)
  if (need.batchMax !== undefined && input.tasks.length > need.batchMax)
    throw new Refused(
      'conflict',
      `a batch of this need holds ${need.batchMax} tasks at most, not ${input.tasks.length}`,
    )
  if (need.cpus !== undefined && input.cpus !== need.cpus)
    throw new Refused('conflict', `a batch of this need has ${need.cpus} CPUs, not ${input.cpus}`)
  const obstacle = obstacleOn(state, run, need, worker)
  if (obstacle && obstacle.type !== 'cpus')
    throw new Refused('conflict', `worker ${worker.id} has no room for it now (${obstacle.type})`)
  const fault = grantFault(state, worker, need, input.grant)
  if (fault !== undefined) throw new Refused('conflict', fault)
  const lock = lockInTheWay(state, need)
  if (lock) throw new Refused('conflict', `lock '${lock.lock.name}' is held by ${lock.holders.join(', ')}`)
  const quota = quotaInTheWay(state, run, need, input.cpus, nowMs)
  if (quota) throw new Refused('conflict', `${quota.scope} has its ${quota.max} ${quota.of}`)
}

export function applyAssigned(state: State, run: Run, event: BatchAssigned, atMs: number): void {
  const worker = state.workers.get(event.worker)!
  const { kind } = run.tasks[event.tasks[0]!]!
  const group = run.groups[kind]!
  assert(event.token > state.lastToken, 'tokens only grow')
  state.lastToken = event.token
  const workMs = event.tasks.reduce((sum, index) => sum + bookedMs(run, run.tasks[index]!), 0)
  const batch: Batch = {
    id: event.batch,
    run: run.id,
    worker: worker.id,
    token: event.token,
    cpus: event.cpus,
    kind,
    grant: event.grant,
    tasks: event.tasks,
    assignedAtMs: atMs,
    begun: false,
    open: event.tasks.length,
    openMs: workMs,
    expectedMs: workMs,
    retried: retriedOf(run, event.tasks),
  }
  state.batches.set(batch.id, batch)
  noteProbe(state, run, batch)
  takeHoldings(state, run, batch)
  warmUp(worker, group.need)
  worker.batches.add(event.batch)
  group.batches.add(event.batch)
  group.openMs += workMs
  assert(worker.cpusUsed <= worker.capabilities.cpus, `worker ${worker.id} is not over-committed`)
  run.batches.add(event.batch)
  for (const index of event.tasks) {
    const task = moveTask(state, run, index, 'assigned')
    task.attempts += 1
    task.batch = event.batch
    task.why = undefined
  }
  while (group.queueHead < group.queue.length && run.tasks[group.queue[group.queueHead]!]!.state !== 'queued')
    group.queueHead += 1
  if (group.again.length > 0) group.again = group.again.filter((index) => run.tasks[index]!.state === 'queued')
  if (run.startedAtMs === undefined) run.startedAtMs = atMs
  if (run.state === 'queued') {
    run.state = 'running'
    run.version += 1
  }
  const seen = run.workers.get(worker.id)
  if (seen) {
    seen.batches += 1
    seen.cpus = Math.max(seen.cpus, event.cpus)
  } else {
    const { name, capabilities } = worker
    run.workers.set(worker.id, { name, host: capabilities.host, cpus: event.cpus, batches: 1, tasks: 0, busyMs: 0 })
  }
}

function retriedOf(run: Run, tasks: readonly TaskIndex[]): Map<TaskIndex, Retried> | undefined {
  let retried: Map<TaskIndex, Retried> | undefined
  for (const index of tasks) {
    const { again } = run.tasks[index]!
    if (again?.level === undefined) continue
    retried ??= new Map()
    retried.set(index, { kind: again.kind, level: again.level, worked: undefined })
  }
  return retried
}

/** The batch, if this worker with this token still holds it. */
export function heldBatch(
  state: State,
  input: { readonly worker: string; readonly batch: string; readonly token: number },
): Batch {
  const batch = state.batches.get(input.batch)
  if (!batch || batch.token !== input.token || batch.worker !== input.worker) {
    throw new Refused('stale', `worker ${input.worker} no longer holds batch ${input.batch}`)
  }
  return batch
}

function isOpen(run: Run, batch: Batch, index: TaskIndex): boolean {
  const task = run.tasks[index]
  return task !== undefined && task.batch === batch.id && (task.state === 'assigned' || task.state === 'running')
}

export function stepStart(state: State, input: Start): readonly Event[] {
  const batch = heldBatch(state, input)
  const run = state.runs.get(batch.run)!
  const tasks = input.tasks.filter((index) => isOpen(run, batch, index) && run.tasks[index]!.state === 'assigned')
  return tasks.length === 0 ? [] : [{ type: 'task.started', run: run.id, batch: batch.id, worker: batch.worker, tasks }]
}

export function stepReport(state: State, input: Report, nowMs: number): readonly Event[] {
  const batch = heldBatch(state, input)
  const run = state.runs.get(batch.run)!
  const seen = new Set<TaskIndex>()
  const reports = input.reports.filter((report) => {
    if (seen.has(report.task) || !isOpen(run, batch, report.task)) return false
    seen.add(report.task)
    return true
  })
  if (reports.length === 0) return []
  // Results lie line by line in the order of the reports: a partial repeat can't be told from them.
  if (input.results !== undefined && reports.length !== input.reports.length) {
    throw new Refused('stale', `part of this report of batch ${batch.id} was recorded before`)
  }
  const decisions = new TaskDecisions(run.id)
  for (const report of reports) {
    const task = run.tasks[report.task]!
    if (report.outcome === 'failed') {
      if (mayRetry(state, run, task, 'failed') && !run.cancelled) {
        const words = `failed, ${nextTry(state, run, report.task, 'failed')}`
        requeue(decisions, state, run, batch, report.task, { cause: 'failed', words, batchMax: 0 }, nowMs)
      } else giveUp(decisions, state, task, report.task, 'failed', 'failed', 'failed')
    } else if (report.outcome === 'skipped' && task.failures > 0) {
      // It has not passed since it failed.
      decisions.end(report.task, 'failed', 'failed, and was skipped when it was tried again')
    } else if (report.outcome === 'skipped') decisions.end(report.task, 'skipped', 'skipped')
    else if (task.failures > 0 || report.counts[2] > 0) decisions.end(report.task, 'flaky', 'passed after a failure')
    else decisions.end(report.task, 'passed', 'passed')
  }
  const decided = decisions.events()
  return [
    {
      type: 'task.reported',
      run: run.id,
      batch: batch.id,
      worker: batch.worker,
      reports,
      ...(input.results === undefined ? {} : { results: input.results }),
    },
    ...decided,
    ...recyclingEvents(state, decided, nowMs),
  ]
}

function nextTry(state: State, run: Run, index: TaskIndex, cause: RetryCause): string {
  return `try ${triesOf(run, run.tasks[index]!, cause) + 2} of ${ruleOf(state, run, cause).max + 1}`
}

export function stepEnd(state: State, input: End, nowMs: number): readonly Event[] {
  const batch = heldBatch(state, input)
  const run = state.runs.get(batch.run)!
  const events: Event[] = input.errors.map((message) => ({
    type: 'run.errored',
    run: run.id,
    batch: batch.id,
    who: `worker:${batch.worker}`,
    message,
  }))
  const decisions = decideUnreported(state, run, batch, input, nowMs)
  const decided = decisions.events()
  const recoveries = recoveriesOf(state, batch, decisions.blamed, input)
  events.push({
    type: 'batch.ended',
    batch: batch.id,
    run: run.id,
    worker: batch.worker,
    who: `worker:${batch.worker}`,
    reason: input.reason === 'fenced' && state.format < 2 ? 'lost' : input.reason,
    exitCode: input.exitCode,
    signal: input.signal,
    startupMs: input.startupMs,
    wallMs: input.wallMs,
    ...(input.usage === undefined || state.format < 2 ? {} : { usage: input.usage }),
    ...(recoveries.length === 0 ? {} : { recoveries }),
    ...(input.output === undefined ? {} : { output: input.output }),
    ...(input.message === undefined ? {} : { message: input.message }),
  })
  events.push(...decided, ...recyclingEvents(state, decided, nowMs))
  return events
}

/** What becomes of the tasks that a batch left without a report. */
function decideUnreported(state: State, run: Run, batch: Batch, input: End, nowMs: number): TaskDecisions {
  const decisions = new TaskDecisions(run.id)
  const open = batch.tasks.filter((index) => isOpen(run, batch, index))
  if (open.length === 0) return decisions
  const timedOut = new Set(input.timedOut)
  if (run.cancelled) {
    for (const index of open) {
      if (timedOut.has(index)) decisions.end(index, 'timed-out', `ran longer than ${run.spec.taskTimeoutMs} ms`)
      else decisions.end(index, 'cancelled', run.cancelled.why)
    }
    return decisions
  }
  const interrupted = new Set(input.interrupted)
  const progress = batch.begun || interrupted.size > 0
  const isBarren = run.groups[batch.kind]!.barren + 1 >= barrenMax(state, run) && !mayBeTheWorker(state, run, batch)
  const hopeless = !progress && (isBarren || (input.reason === 'failed-to-start' && lacksContext(run.spec)))
  const words = endWords(input)
  const brief = words.split('\n', 1)[0]!
  const ending: Ending = { decisions, state, run, batch, input, nowMs, words, brief, progress, hopeless }
  for (const index of open) {
    if (timedOut.has(index)) decideTimedOut(ending, index)
    else if (input.reason === 'completed') decideLost(ending, index, 'its batch is over and its report did not arrive')
    else if (input.reason === 'fenced') decideLost(ending, index, 'its worker was cut off and ended it')
    else if (interrupted.has(index) && input.reason === 'crashed') decideSuspect(ending, index)
    else if (progress && !exitedClean(input))
      decisions.requeue(index, 'unstarted', 'its process ended before its turn', 0)
    else decideUnstarted(ending, index)
  }
  if (hopeless && input.reason !== 'cancelled') {
    const notStarted = input.reason === 'failed-to-start' || exitedClean(input)
    for (let index = 0; index < run.tasks.length; index += 1) {
      const { state: now, kind } = run.tasks[index]!
      if (now === 'queued' && kind === batch.kind) decisions.end(index, notStarted ? 'lost' : 'failed', ending.words)
    }
  }
  return decisions
}

type Ending = {
  readonly decisions: TaskDecisions
  readonly state: State
  readonly run: Run
  readonly batch: Batch
  readonly input: End
  readonly nowMs: number
  /** How it ended, and the first line of that, for what goes on. */
  readonly words: string
  readonly brief: string
  /** Some task of the batch had begun. */
  readonly progress: boolean
  /** Nothing of the run begins any more, batch after batch. */
  readonly hopeless: boolean
}

/** Batches in a row without a beginning; a policy that says more about failed starts wants to see that many. */
function barrenMax(state: State, run: Run): number {
  const said = Math.max(run.spec.retry?.infrastructure?.max ?? 0, run.spec.retry?.crashed?.max ?? 0)
  return Math.max(state.limits.barrenBatchesMax, said === 0 ? 0 : said + 1)
}

/** Nothing began on this worker, but another one has not been tried, or did better: then for a while it may be its fault. */
function mayBeTheWorker(state: State, run: Run, batch: Batch): boolean {
  const group = run.groups[batch.kind]!
  if (group.barren + 1 >= barrenMax(state, run) * barrenWorkersMax) return false
  for (const worker of state.workers.values()) {
    if (worker.id !== batch.worker && fits(run, group, worker) && !group.barrenOn.includes(worker.id)) return true
  }
  return false
}

function exitedClean(input: End): boolean {
  return input.reason === 'crashed' && input.exitCode === 0
}

function decideTimedOut({ decisions, state, run, batch, nowMs }: Ending, index: TaskIndex): void {
  const task = run.tasks[index]!
  if (mayRetry(state, run, task, 'timed-out')) {
    const words = `ran out of time, ${nextTry(state, run, index, 'timed-out')}`
    requeue(decisions, state, run, batch, index, { cause: 'timed-out', words, batchMax: 1 }, nowMs)
  } else {
    const words = `ran longer than ${run.spec.taskTimeoutMs} ms`
    giveUp(decisions, state, task, index, 'timed-out', 'timed-out', words)
  }
}

/** It was running when the process died: alone next time; if it was alone, it is the one. */
function decideSuspect({ decisions, state, run, batch, words, brief, nowMs }: Ending, index: TaskIndex): void {
  const task = run.tasks[index]!
  if (batch.tasks.length > 1) {
    const next = state.format < 2 ? '; runs alone next' : ''
    const what = `was running when its process died (${brief})${next}`
    requeue(decisions, state, run, batch, index, { cause: 'crashed', words: what, batchMax: 1 }, nowMs)
  } else if (mayRetry(state, run, task, 'crashed')) {
    const what = `its process died (${brief})`
    requeue(decisions, state, run, batch, index, { cause: 'crashed', words: what, batchMax: 1 }, nowMs)
  } else giveUp(decisions, state, task, index, 'failed', 'crashed', `its process died while it ran: ${words}`)
}

/**
 * Its attempt ended without a word of it, through no fault that could be seen: a report was refused or never came,
 * or its worker was cut off and ended it itself, so that nobody else can have begun it.
 */
function decideLost({ decisions, state, run, batch, input, nowMs }: Ending, index: TaskIndex, words: string): void {
  const task = run.tasks[index]!
  const innocent = input.reason !== 'fenced' || task.state !== 'running'
  if (mayRetry(state, run, task, 'lost'))
    requeue(decisions, state, run, batch, index, { cause: 'lost', words, innocent, batchMax: 0 }, nowMs)
  else giveUp(decisions, state, task, index, 'lost', 'lost', words)
}

/** Nothing of it was seen. Smaller batches find out whose fault that is, within bounds. */
function decideUnstarted(ending: Ending, index: TaskIndex): void {
  const { decisions, state, run, batch, input, nowMs, words, brief, hopeless } = ending
  const task = run.tasks[index]!
  const alone = batch.tasks.length === 1
  const half = Math.max(1, Math.ceil(batch.tasks.length / 2))
  if (input.reason === 'failed-to-start' || exitedClean(input) || input.reason === 'cancelled') {
    const cause = input.reason === 'failed-to-start' ? 'infrastructure' : 'lost'
    // Among others, nothing says which of them an exit without a word is about.
    const innocent = input.reason === 'cancelled' || (exitedClean(input) && !alone)
    const batchMax = exitedClean(input) ? half : 0
    if (mayRetry(state, run, task, cause) && !hopeless)
      requeue(decisions, state, run, batch, index, { cause, words: brief, innocent, batchMax }, nowMs)
    else giveUp(decisions, state, task, index, 'lost', cause, words)
  } else if (!hopeless && alone && run.spec.retry?.crashed !== undefined && mayRetry(state, run, task, 'crashed')) {
    requeue(decisions, state, run, batch, index, { cause: 'crashed', words: brief, batchMax: 1 }, nowMs)
  } else if (hopeless || alone) giveUp(decisions, state, task, index, 'failed', 'crashed', words)
  else decisions.requeue(index, 'unstarted', words, half)
}

function endWords(input: End): string {
  if (input.message !== undefined && input.reason === 'failed-to-start') return input.message
  const how =
    input.signal !== null
      ? `killed by ${input.signal}`
      : input.exitCode === 0
        ? 'exited with code 0 without reporting it'
        : `exited with code ${input.exitCode}`
  return input.message === undefined || input.message === '' ? how : `${how}: ${input.message}`
}

export function applyBatchEnded(state: State, run: Run, event: BatchEnded, atMs: number): void {
  const batch = state.batches.get(event.batch)!
  noteMishap(state, run, batch, event)
  countBatch(state, run, batch, event)
  state.batches.delete(batch.id)
  run.batches.delete(batch.id)
  run.batchesEnded += 1
  if (!batch.begun && event.reason !== 'lost' && event.reason !== 'fenced') {
    const group = run.groups[batch.kind]!
    group.barren += 1
    if (!group.barrenOn.includes(batch.worker)) group.barrenOn.push(batch.worker)
  }
  giveBackHoldings(state, run, batch, atMs)
  state.workers.get(batch.worker)!.batches.delete(batch.id)
  const group = run.groups[batch.kind]!
  group.batches.delete(batch.id)
  // Snapshots of older versions hold sums that are not exact.
  group.openMs = group.batches.size === 0 ? 0 : group.openMs - batch.openMs
  for (const recovery of event.recoveries ?? []) countRecovery(state.recoveries, recovery, state.atMs, state.limits)
  if (event.startupMs !== null) {
    run.startupMs = Math.min(run.startupMs ?? Infinity, event.startupMs)
    noteLeft(state, run)
  }
  if (event.output !== undefined) run.outputs.push({ batch: batch.id, worker: batch.worker, blob: event.output })
}
