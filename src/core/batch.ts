/**
 * The batch family: placement, the worker's reports, the end of a process. The fencing token decides
 * who may speak for a batch; whatever else arrives is stale and changes nothing.
 */
import { assert } from '../stdx/assert.ts'
import { noteMishap } from './dead-letter-events.ts'
import type { TaskIndex } from './entities.ts'
import type { BatchAssigned, BatchEnded, Event } from './events.ts'
import { Refused, type Assign, type End, type Report, type Start } from './input.ts'
import { runOf } from './run.ts'
import { expectedMs, type Batch, type Run, type State } from './state.ts'
import { moveTask, TaskDecisions } from './task.ts'

export function stepAssign(state: State, input: Assign): readonly Event[] {
  const run = runOf(state, input.run)
  const worker = state.workers.get(input.worker)
  if (!worker || worker.draining) throw new Refused('conflict', `worker ${input.worker} takes no work`)
  if (run.state !== 'queued' && run.state !== 'running') throw new Refused('conflict', `run ${run.id} is ${run.state}`)
  if (input.cpus < 1 || worker.cpusUsed + input.cpus > worker.capabilities.cpus) {
    throw new Refused(
      'conflict',
      `worker ${worker.id} has ${worker.capabilities.cpus - worker.cpusUsed} CPUs free, not ${input.cpus}`,
    )
  }
  if (input.tasks.length === 0 || new Set(input.tasks).size !== input.tasks.length) {
    throw new Refused('request_invalid', 'expected different tasks, at least one')
  }
  for (const index of input.tasks) {
    const task = run.tasks[index]
    if (!task || task.state !== 'queued') throw new Refused('conflict', `task ${run.id}/${index} is not queued`)
    if (task.batchMax > 0 && input.tasks.length > task.batchMax) {
      throw new Refused('conflict', `task ${run.id}/${index} wants a batch of at most ${task.batchMax}`)
    }
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
      token,
      why: input.why,
    },
  ]
}

export function applyAssigned(state: State, run: Run, event: BatchAssigned, atMs: number): void {
  const worker = state.workers.get(event.worker)!
  assert(event.token > state.lastToken, 'tokens only grow')
  state.lastToken = event.token
  const workMs = event.tasks.reduce((sum, index) => sum + expectedMs(run, run.tasks[index]!), 0)
  state.batches.set(event.batch, {
    id: event.batch,
    run: run.id,
    worker: worker.id,
    token: event.token,
    cpus: event.cpus,
    tasks: event.tasks,
    assignedAtMs: atMs,
    begun: false,
    open: event.tasks.length,
    openMs: workMs,
    expectedMs: workMs,
  })
  worker.cpusUsed += event.cpus
  worker.batches.add(event.batch)
  assert(worker.cpusUsed <= worker.capabilities.cpus, `worker ${worker.id} is not over-committed`)
  run.batches.add(event.batch)
  for (const index of event.tasks) {
    const task = moveTask(state, run, index, 'assigned')
    task.attempts += 1
    task.batch = event.batch
    task.why = undefined
  }
  while (run.queueHead < run.queue.length && run.tasks[run.queue[run.queueHead]!]!.state !== 'queued')
    run.queueHead += 1
  if (run.again.length > 0) run.again = run.again.filter((index) => run.tasks[index]!.state === 'queued')
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

export function stepReport(state: State, input: Report): readonly Event[] {
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
      const tries = task.failures + 1
      if (tries <= run.spec.retries && !run.cancelled) {
        decisions.requeue(report.task, 'failed', `failed, try ${tries + 1} of ${run.spec.retries + 1}`, 0)
      } else decisions.end(report.task, 'failed', 'failed')
    } else if (report.outcome === 'skipped' && task.failures > 0) {
      // It has not passed since it failed.
      decisions.end(report.task, 'failed', 'failed, and was skipped when it was tried again')
    } else if (report.outcome === 'skipped') decisions.end(report.task, 'skipped', 'skipped')
    else if (task.failures > 0 || report.counts[2] > 0) decisions.end(report.task, 'flaky', 'passed after a failure')
    else decisions.end(report.task, 'passed', 'passed')
  }
  return [
    {
      type: 'task.reported',
      run: run.id,
      batch: batch.id,
      worker: batch.worker,
      reports,
      ...(input.results === undefined ? {} : { results: input.results }),
    },
    ...decisions.events(),
  ]
}

export function stepEnd(state: State, input: End): readonly Event[] {
  const batch = heldBatch(state, input)
  const run = state.runs.get(batch.run)!
  const events: Event[] = input.errors.map((message) => ({
    type: 'run.errored',
    run: run.id,
    batch: batch.id,
    who: `worker:${batch.worker}`,
    message,
  }))
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
    ...(input.output === undefined ? {} : { output: input.output }),
    ...(input.message === undefined ? {} : { message: input.message }),
  })
  events.push(...unreportedEvents(state, run, batch, input))
  return events
}

/** What becomes of the tasks that a batch left without a report. */
function unreportedEvents(state: State, run: Run, batch: Batch, input: End): Event[] {
  const open = batch.tasks.filter((index) => isOpen(run, batch, index))
  if (open.length === 0) return []
  const decisions = new TaskDecisions(run.id)
  const timedOut = new Set(input.timedOut)
  if (run.cancelled) {
    for (const index of open) {
      if (timedOut.has(index)) decisions.end(index, 'timed-out', `ran longer than ${run.spec.taskTimeoutMs} ms`)
      else decisions.end(index, 'cancelled', run.cancelled.why)
    }
    return decisions.events()
  }
  const interrupted = new Set(input.interrupted)
  const progress = batch.begun || interrupted.size > 0
  const giveUp = !progress && run.barren + 1 >= state.limits.barrenBatchesMax
  for (const index of open) {
    if (timedOut.has(index)) decideTimedOut(decisions, run, index)
    else if (input.reason === 'completed') decideUnreported(decisions, state, run, index)
    else if (input.reason === 'fenced') decideFenced(decisions, state, run, index)
    else if (interrupted.has(index) && input.reason === 'crashed') decideSuspect(decisions, run, batch, index, input)
    else if (progress && !exitedClean(input))
      decisions.requeue(index, 'unstarted', 'its process ended before its turn', 0)
    else decideUnstarted(decisions, state, run, batch, index, input, giveUp)
  }
  if (giveUp && input.reason !== 'cancelled') {
    const end = input.reason === 'failed-to-start' || exitedClean(input) ? 'lost' : 'failed'
    for (let index = 0; index < run.tasks.length; index += 1) {
      if (run.tasks[index]!.state === 'queued') decisions.end(index, end, endWords(input))
    }
  }
  return decisions.events()
}

function exitedClean(input: End): boolean {
  return input.reason === 'crashed' && input.exitCode === 0
}

function decideTimedOut(decisions: TaskDecisions, run: Run, index: TaskIndex): void {
  const tries = run.tasks[index]!.failures + 1
  if (tries <= run.spec.retries) {
    decisions.requeue(index, 'timed-out', `ran out of time, try ${tries + 1} of ${run.spec.retries + 1}`, 1)
  } else decisions.end(index, 'timed-out', `ran longer than ${run.spec.taskTimeoutMs} ms`)
}

/** It was running when the process died: alone next time; if it was alone, it is the one. */
function decideSuspect(decisions: TaskDecisions, run: Run, batch: Batch, index: TaskIndex, input: End): void {
  const task = run.tasks[index]!
  if (batch.tasks.length > 1) {
    decisions.requeue(index, 'crashed', `was running when its process died (${endWords(input)}); runs alone next`, 1)
  } else if (task.crashes < run.spec.retries) {
    decisions.requeue(index, 'crashed', `its process died (${endWords(input)})`, 1)
  } else decisions.end(index, 'failed', `its process died while it ran: ${endWords(input)}`)
}

/** Its worker says all was reported, and we have nothing: a report was refused or never came. */
function decideUnreported(decisions: TaskDecisions, state: State, run: Run, index: TaskIndex): void {
  const why = 'its batch is over and its report did not arrive'
  if (run.tasks[index]!.losses < state.limits.lostRetriesMax) decisions.requeue(index, 'lost', why, 0)
  else decisions.end(index, 'lost', why)
}

/** Its worker was cut off and ended it itself; nobody else can have begun it meanwhile. */
function decideFenced(decisions: TaskDecisions, state: State, run: Run, index: TaskIndex): void {
  const why = 'its worker was cut off and ended it'
  if (run.tasks[index]!.losses < state.limits.lostRetriesMax) decisions.requeue(index, 'lost', why, 0)
  else decisions.end(index, 'lost', why)
}

/** Nothing of it was seen. Smaller batches find out whose fault that is, within bounds. */
function decideUnstarted(
  decisions: TaskDecisions,
  state: State,
  run: Run,
  batch: Batch,
  index: TaskIndex,
  input: End,
  giveUp: boolean,
): void {
  const half = Math.max(1, Math.ceil(batch.tasks.length / 2))
  const words = endWords(input)
  if (input.reason === 'failed-to-start' || exitedClean(input) || input.reason === 'cancelled') {
    const again = run.tasks[index]!.losses < state.limits.lostRetriesMax
    if (again && !giveUp) decisions.requeue(index, 'lost', words, exitedClean(input) ? half : 0)
    else decisions.end(index, 'lost', words)
  } else if (giveUp || batch.tasks.length === 1) decisions.end(index, 'failed', words)
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

export function applyBatchEnded(state: State, run: Run, event: BatchEnded): void {
  const batch = state.batches.get(event.batch)!
  noteMishap(state, run, batch, event)
  state.batches.delete(batch.id)
  run.batches.delete(batch.id)
  run.batchesEnded += 1
  if (!batch.begun && event.reason !== 'lost' && event.reason !== 'fenced') run.barren += 1
  const worker = state.workers.get(batch.worker)
  if (worker) {
    worker.batches.delete(batch.id)
    worker.cpusUsed -= batch.cpus
  }
  if (event.startupMs !== null) run.startupMs = Math.min(run.startupMs ?? Infinity, event.startupMs)
  if (event.output !== undefined) run.outputs.push({ batch: batch.id, worker: batch.worker, blob: event.output })
}
