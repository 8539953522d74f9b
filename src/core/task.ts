/** The task family: how a task moves between states, and what follows from an attempt's end. */
import { assert } from '../stdx/assert.ts'
import { countDurations } from './aptitude.ts'
import { countDown } from './dependencies.ts'
import { addWake } from './due.ts'
import { enqueue } from './group.ts'
import type { RetryCause, TaskIndex, TaskState } from './entities.ts'
import type { Event, TaskEnded, TaskReported, TaskRequeued, TaskStarted, TaskUnblocked } from './events.ts'
import { noteLeft, noteQueue } from './queue-changes.ts'
import { causeOf, countIsolated, kindOf, recoveryLevels } from './recovery-table.ts'
import { bookedMs, expectedMs, type Again, type Run, type State, type Task } from './state.ts'
import { assertTransition } from './task-state.ts'

/** The only place where a task changes state; keeps every count beside it right. */
export function moveTask(state: State, run: Run, index: TaskIndex, to: TaskState): Task {
  const task = run.tasks[index]!
  assertTransition(task.state, to, `${run.id}/${index}`)
  if (task.state === 'queued') {
    const group = run.groups[task.kind]!
    const taskMs = expectedMs(run, task)
    group.queuedCount -= 1
    if (group.queuedCount === 0) noteQueue(state, run)
    else noteLeft(state, run)
    group.queuedMs -= taskMs
    run.queuedCount -= 1
    run.queuedMs -= taskMs
    state.queuedCount -= 1
    if (task.again?.later) {
      task.again.later = false
      group.laterCount -= 1
    }
  }
  run.byState[task.state] -= 1
  run.byState[to] += 1
  task.state = to
  task.version += 1
  if (to === 'queued') {
    const group = run.groups[task.kind]!
    const taskMs = expectedMs(run, task)
    group.queuedCount += 1
    if (group.queuedCount === 1) noteQueue(state, run)
    else noteLeft(state, run)
    group.queuedMs += taskMs
    run.queuedCount += 1
    run.queuedMs += taskMs
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
  const group = run.groups[batch.kind]!
  group.barren = 0
  if (group.barrenOn.length > 0) group.barrenOn = group.barrenOn.filter((worker) => worker !== event.worker)
  const worker = run.workers.get(event.worker)!
  let knownMs = 0
  let tookMs = 0
  for (const report of event.reports) {
    const task = run.tasks[report.task]!
    const bookMs = bookedMs(run, task)
    batch.openMs -= bookMs
    group.openMs -= bookMs
    countTests(run, task, report.counts)
    task.durationMs = report.durationMs
    if (report.outcome === 'failed') task.failures += 1
    const retried = batch.retried?.get(report.task)
    // A file that failed has recovered when it passes; any report is recovery enough from anything else.
    if (retried) retried.worked = report.outcome === 'passed' || causeOf(retried.kind) !== 'failed'
    run.workMs += report.durationMs
    if (report.durationMs > run.longestMs) run.longestMs = report.durationMs
    worker.tasks += 1
    worker.busyMs += report.durationMs
    if (report.outcome === 'skipped' || task.estimateMs <= 0 || task.guessed) continue
    knownMs += task.estimateMs
    tookMs += report.durationMs
  }
  countDurations(state, run, state.workers.get(event.worker)!, knownMs, tookMs)
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
    if (event.cause === 'lost' || event.cause === 'infrastructure') task.losses += 1
    if (event.cause === 'timed-out') task.failures += 1
    if (event.cause === 'crashed') task.crashes += 1
    if (event.cause === 'lost' || event.cause === 'infrastructure' || event.cause === 'crashed') run.rerun += 1
    // What the attempt was to try is still to be tried when its turn never came.
    if (event.cause !== 'unstarted') task.again = againOf(run, task.again, event.cause, event)
    const group = run.groups[task.kind]!
    if (task.again?.later) group.laterCount += 1
    else group.again.push(index)
  }
  // One event puts back tasks of one batch, and they are all of one group.
  const group = run.groups[run.tasks[event.tasks[0]!]!.kind]!
  const { notBeforeMs } = event
  if (notBeforeMs !== undefined) addWake(state, run, group, { atMs: notBeforeMs, tasks: event.tasks })
  const untilMs = event.avoid?.untilMs ?? event.on?.untilMs
  if (untilMs !== undefined) addWake(state, run, group, { atMs: untilMs, tasks: [] })
}

export function applyUnblocked(state: State, run: Run, event: TaskUnblocked): void {
  const fresh: TaskIndex[][] = run.groups.map(() => [])
  for (const index of event.tasks) {
    const task = moveTask(state, run, index, 'queued')
    run.dependencies!.open.delete(index)
    fresh[task.kind]!.push(index)
  }
  for (const group of run.groups) if (fresh[group.kind]!.length > 0) enqueue(run, group, fresh[group.kind]!)
}

function againOf(run: Run, before: Again | undefined, cause: RetryCause, event: TaskRequeued): Again {
  const { level, notBeforeMs, avoid, on } = event
  const highest = level ?? before?.highest
  assert(
    before?.highest === undefined || recoveryLevels.indexOf(highest!) >= recoveryLevels.indexOf(before.highest),
    'a task never returns to a lower recovery level',
  )
  const tries = highest === before?.highest ? (before?.tries ?? 0) : 0
  return {
    timeOuts: (before?.timeOuts ?? 0) + (cause === 'timed-out' ? 1 : 0),
    failedStarts: (before?.failedStarts ?? 0) + (cause === 'infrastructure' ? 1 : 0),
    kind: kindOf(cause, run.spec.framework),
    level,
    highest,
    tries: level === undefined ? tries : tries + 1,
    notBeforeMs: notBeforeMs ?? 0,
    avoid,
    on,
    later: notBeforeMs !== undefined,
  }
}

export function applyEnded(state: State, run: Run, event: TaskEnded): void {
  for (const index of event.tasks) {
    const task = moveTask(state, run, index, event.state)
    task.batch = undefined
    task.why = event.why
    if (run.dependencies) {
      run.dependencies.open.delete(index)
      countDown(run, index)
    }
    if (event.cause !== undefined && task.again?.highest !== undefined)
      countIsolated(state.recoveries, kindOf(event.cause, run.spec.framework), 1, state.atMs, state.limits)
    if (event.state === 'failed' || event.state === 'timed-out') run.failureCount += Math.max(1, task.counts?.[1] ?? 0)
  }
}

/** What a new attempt needs, beyond the size of its batch. */
export type TryAgain = Pick<TaskRequeued, 'level' | 'notBeforeMs' | 'avoid' | 'on'>

/** Groups decisions about single tasks into as few events as they allow, in the order they came up. */
export class TaskDecisions {
  readonly #run: string
  readonly #events = new Map<string, { event: Event; tasks: TaskIndex[] }>()
  /** Tasks whose attempt ended without a report in a way that says something about them. */
  readonly blamed = new Set<TaskIndex>()

  constructor(run: string) {
    this.#run = run
  }

  /** `cause`: no further attempt is allowed after one that did not count. */
  end(index: TaskIndex, state: TaskEnded['state'], why: string, cause?: RetryCause): void {
    this.#add(`e ${state} ${cause ?? ''} ${why}`, index, (tasks) => ({
      type: 'task.ended',
      run: this.#run,
      tasks,
      state,
      why,
      ...(cause === undefined ? {} : { cause }),
    }))
  }

  requeue(index: TaskIndex, cause: TaskRequeued['cause'], why: string, batchMax: number, how: TryAgain = {}): void {
    this.#add(`r ${cause} ${batchMax} ${JSON.stringify(how)} ${why}`, index, (tasks) => ({
      type: 'task.requeued',
      run: this.#run,
      tasks,
      cause,
      why,
      batchMax,
      ...how,
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
