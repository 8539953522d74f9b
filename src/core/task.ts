/** The task family: how a task moves between states, and what follows from an attempt's end. */
import type { TaskIndex, TaskState } from './entities.ts'
import type { Event, TaskEnded, TaskReported, TaskRequeued, TaskStarted } from './events.ts'
import { expectedMs, type Run, type State, type Task } from './state.ts'
import { assertTransition } from './task-state.ts'

/** The only place where a task changes state; keeps every count beside it right. */
export function moveTask(state: State, run: Run, index: TaskIndex, to: TaskState): Task {
  const task = run.tasks[index]!
  assertTransition(task.state, to, `${run.id}/${index}`)
  if (task.state === 'queued') {
    run.queuedCount -= 1
    run.queuedMs -= expectedMs(run, task)
    state.queuedCount -= 1
  }
  run.byState[task.state] -= 1
  run.byState[to] += 1
  task.state = to
  task.version += 1
  if (to === 'queued') {
    run.queuedCount += 1
    run.queuedMs += expectedMs(run, task)
    state.queuedCount += 1
  }
  return task
}

export function applyStarted(state: State, run: Run, event: TaskStarted): void {
  for (const index of event.tasks) moveTask(state, run, index, 'running')
  state.batches.get(event.batch)!.begun = true
}

export function applyReported(state: State, run: Run, event: TaskReported, atMs: number): void {
  const batch = state.batches.get(event.batch)!
  batch.begun = true
  batch.open -= event.reports.length
  run.barren = 0
  const worker = run.workers.get(event.worker)!
  for (const report of event.reports) {
    const task = run.tasks[report.task]!
    batch.openMs -= expectedMs(run, task)
    countTests(run, task, report.counts)
    task.durationMs = report.durationMs
    if (report.outcome === 'failed') task.failures += 1
    run.workMs += report.durationMs
    if (report.durationMs > run.longestMs) run.longestMs = report.durationMs
    worker.tasks += 1
    worker.busyMs += report.durationMs
  }
  run.reports.push({
    batch: event.batch,
    worker: event.worker,
    atMs,
    results: event.results,
    tasks: event.reports.map((report) => report.task),
    outcomes: event.reports.map((report) => report.outcome),
    durationsMs: event.reports.map((report) => report.durationMs),
  })
}

/** The last attempt counts; what failed before and passes now is flaky. */
function countTests(run: Run, task: Task, counts: readonly [number, number, number, number]): void {
  const before = task.counts
  let [passed, failed, flaky, skipped] = counts
  if (before) {
    const healed = Math.min(Math.max(0, before[1] - failed), passed)
    passed -= healed
    flaky += healed
    run.tests.passed -= before[0]
    run.tests.failed -= before[1]
    run.tests.flaky -= before[2]
    run.tests.skipped -= before[3]
  }
  run.tests.passed += passed
  run.tests.failed += failed
  run.tests.flaky += flaky
  run.tests.skipped += skipped
  run.tests.total = run.tests.passed + run.tests.failed + run.tests.flaky + run.tests.skipped
  task.counts = passed + failed + flaky + skipped === 0 ? undefined : [passed, failed, flaky, skipped]
}

export function applyRequeued(state: State, run: Run, event: TaskRequeued): void {
  for (const index of event.tasks) {
    const task = moveTask(state, run, index, 'queued')
    task.batch = undefined
    task.why = event.why
    task.batchMax = event.batchMax
    if (event.cause === 'lost') task.losses += 1
    if (event.cause === 'timed-out') task.failures += 1
    if (event.cause === 'crashed') task.crashes += 1
    if (event.cause === 'lost' || event.cause === 'crashed') run.rerun += 1
    run.again.push(index)
  }
}

export function applyEnded(state: State, run: Run, event: TaskEnded): void {
  for (const index of event.tasks) {
    const task = moveTask(state, run, index, event.state)
    task.batch = undefined
    task.why = event.why
    if (event.state === 'failed' || event.state === 'timed-out') run.failureCount += Math.max(1, task.counts?.[1] ?? 0)
  }
}

/** Groups decisions about single tasks into as few events as they allow, in the order they came up. */
export class TaskDecisions {
  readonly #run: string
  readonly #events = new Map<string, { event: Event; tasks: TaskIndex[] }>()

  constructor(run: string) {
    this.#run = run
  }

  end(index: TaskIndex, state: TaskEnded['state'], why: string): void {
    this.#add(`e ${state} ${why}`, index, (tasks) => ({ type: 'task.ended', run: this.#run, tasks, state, why }))
  }

  requeue(index: TaskIndex, cause: TaskRequeued['cause'], why: string, batchMax: number): void {
    this.#add(`r ${cause} ${batchMax} ${why}`, index, (tasks) => ({
      type: 'task.requeued',
      run: this.#run,
      tasks,
      cause,
      why,
      batchMax,
    }))
  }

  #add(key: string, index: TaskIndex, make: (tasks: TaskIndex[]) => Event): void {
    const group = this.#events.get(key)
    if (group) {
      group.tasks.push(index)
      return
    }
    const tasks = [index]
    this.#events.set(key, { event: make(tasks), tasks })
  }

  events(): Event[] {
    return [...this.#events.values()].map((group) => group.event)
  }
}
