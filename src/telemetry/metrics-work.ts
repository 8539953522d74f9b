/** Runs, tasks, attempts and workers: what waits, what runs, how it ended. */
import client from 'prom-client'
import type { Verdict } from '../core/entities.ts'
import type { BatchEnded, Event, TaskEnded, TaskRequeued } from '../core/events.ts'
import { AttemptBook, attemptOutcomes, type AttemptOutcome } from './attempts.ts'
import { counterOf, gauge, gauges } from './gauges.ts'
import { priorityClass, priorityClasses } from './priority-class.ts'
import type { Watched } from './watched.ts'

const waitingStates = ['queued', 'blocked', 'paused', 'assigned', 'running'] as const
const workerStates = ['idle', 'busy', 'draining', 'disconnected'] as const

/** Returns the function that ends it. */
export function workMetrics(registry: client.Registry, coordinator: Watched): () => void {
  workGauges(registry, coordinator)
  const count = workCounters(registry)
  const book = new AttemptBook(coordinator.state, coordinator.standing().position)
  return coordinator.observe((entry) => {
    const { state } = coordinator
    const steps = book.entry(entry, state)
    // Whoever leads counts; a follower sees the same entries.
    if (entry.appendMs === undefined) return
    for (const event of entry.events) count.event(event)
    for (const { type, attempt } of steps) {
      if (type === 'ended') {
        count.attempts(attempt.outcome)
        if (attempt.outcome !== 'unstarted') {
          count.durations.observe((attempt.endedAtMs - attempt.startedAtMs) / 1000)
        }
      } else if (attempt.attempt === 1) {
        const run = state.runs.get(attempt.run)
        if (run) {
          const waitedMs = attempt.assignedAtMs - run.createdAtMs
          count.waits.observe({ priority: priorityClass(run.priority) }, waitedMs / 1000)
        }
      }
    }
  })
}

function workGauges(registry: client.Registry, coordinator: Watched): void {
  gauges(registry, 'muster_tasks', 'Tasks that are not over, by state.', ['priority', 'state'], (set) => {
    const { state } = coordinator
    const sums = new Map(priorityClasses.map((name) => [name, waitingStates.map(() => 0)]))
    for (const id of state.active) {
      const run = state.runs.get(id)!
      const sum = sums.get(priorityClass(run.priority))!
      for (const [at, name] of waitingStates.entries()) sum[at]! += run.byState[name]
    }
    for (const [priority, sum] of sums) {
      for (const [at, name] of waitingStates.entries()) set({ priority, state: name }, sum[at]!)
    }
  })
  gauge(registry, 'muster_runs_active', 'Runs that are not finished.', () => coordinator.state.active.size)
  gauge(registry, 'muster_batches_running', 'Batches held by workers.', () => coordinator.state.batches.size)
  gauges(registry, 'muster_workers', 'Workers by state.', ['state'], (set) => {
    const views = coordinator.workers()
    for (const state of workerStates) set({ state }, views.filter((one) => one.state === state).length)
  })
  gauges(registry, 'muster_worker_cpus', 'CPUs of connected workers, by use.', ['use'], (set) => {
    let free = 0
    let used = 0
    for (const view of coordinator.workers()) {
      if (view.state === 'disconnected') continue
      free += view.cpusFree
      used += view.cpus - view.cpusFree
    }
    set({ use: 'used' }, used)
    set({ use: 'free' }, free)
  })
}

function workCounters(registry: client.Registry) {
  const registers = [registry]
  const attempts = counterOf<AttemptOutcome>(
    registry,
    'muster_attempts_total',
    'Attempts that are over, by outcome.',
    'outcome',
    attemptOutcomes,
  )
  const tasks = counterOf<TaskEnded['state']>(
    registry,
    'muster_tasks_ended_total',
    'Tasks that are over, by final state.',
    'state',
    { passed: true, failed: true, flaky: true, skipped: true, 'timed-out': true, cancelled: true, lost: true },
  )
  const requeued = counterOf<TaskRequeued['cause']>(
    registry,
    'muster_tasks_requeued_total',
    'Tasks that will be tried again, by cause.',
    'cause',
    { failed: true, 'timed-out': true, lost: true, crashed: true, infrastructure: true, unstarted: true },
  )
  const submitted = new client.Counter({ name: 'muster_runs_submitted_total', help: 'Runs submitted.', registers })
  const finished = counterOf<Verdict>(
    registry,
    'muster_runs_finished_total',
    'Runs that are over, by verdict.',
    'verdict',
    {
      passed: true,
      failed: true,
      'timed-out': true,
      cancelled: true,
      incomplete: true,
      empty: true,
    },
  )
  const batches = counterOf<BatchEnded['reason']>(
    registry,
    'muster_batches_ended_total',
    'Batches that are over, by reason.',
    'reason',
    {
      completed: true,
      crashed: true,
      'timed-out': true,
      cancelled: true,
      lost: true,
      'failed-to-start': true,
      fenced: true,
    },
  )
  const workersLost = new client.Counter({
    name: 'muster_workers_left_total',
    help: 'Workers that left, or whose lease ran out.',
    registers,
  })
  const durations = new client.Histogram({
    name: 'muster_attempt_duration_seconds',
    help: 'From the begin of an attempt to its end, whatever its outcome.',
    buckets: [0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 300, 600, 1800],
    registers,
  })
  const waits = new client.Histogram({
    name: 'muster_task_wait_seconds',
    help: 'From the submission of a run to the first assignment of each of its tasks.',
    labelNames: ['priority'],
    buckets: [0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 300, 600, 1800, 3600],
    registers,
  })

  function event(event: Event): void {
    switch (event.type) {
      case 'run.submitted':
        return submitted.inc()
      case 'run.finished':
        return finished(event.verdict)
      case 'task.ended':
        return tasks(event.state, event.tasks.length)
      case 'task.requeued':
        return requeued(event.cause, event.tasks.length)
      case 'batch.ended':
        return batches(event.reason)
      case 'worker.left':
        return workersLost.inc()
      default:
    }
  }

  return { attempts, durations, waits, event }
}
