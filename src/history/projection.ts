/**
 * From events to rows. Synchronous and without a database: what it must know of a run (its files,
 * attempts so far, which batch holds which task) is in `RunMemory`, filled from events, or from the
 * tables when the process was restarted in the middle of a run (store.ts).
 *
 * It is tolerant: of a run whose submission was trimmed before history saw it, it writes what it can
 * and leaves the rest null. Deciding what is right was the core's business.
 */
import type { Event, TaskReport } from '../core/events.ts'
import { isFlaky } from '../protocol/flaky.ts'
import type { TaskResult, TestResult } from '../protocol/results.ts'
import { auditRow } from './audit-row.ts'
import { breakerRow, letterRows } from './failure-rows.ts'
import type { HostLoads, Started } from './host-loads.ts'
import { emptyRows } from './schema.ts'
import type { Row, Rows } from './schema.ts'

export type HeldTask = {
  readonly batch: string
  readonly worker: string
  readonly cpus: number
  startedMs: number | null
  /** What its host had done until then; null = its start wasn't seen. */
  started: Started | null
}

export type RunMemory = {
  readonly project: string | null
  readonly suite: string | null
  readonly files: string[]
  /** Attempts recorded so far, per task. */
  readonly attempts: Map<number, number>
  /** Tasks that a batch has and that have not been reported. */
  readonly held: Map<number, HeldTask>
}

export type Results = ReadonlyMap<string, readonly TaskResult[] | { readonly missing: string }>

export type Context = {
  readonly runs: Map<string, RunMemory>
  readonly results: Results
  readonly hosts: HostLoads
}

const errorLengthMax = 1000

export function emptyRun(): RunMemory {
  return { project: null, suite: null, files: [], attempts: new Map(), held: new Map() }
}

export function projectEntry(position: number, atMs: number, events: readonly Event[], context: Context): Rows {
  const rows = emptyRows()
  for (const [part, event] of events.entries()) {
    projectEvent(rows, atMs, event, context)
    rows.audit.push(auditRow(position, part, atMs, event))
  }
  return rows
}

function projectEvent(rows: Rows, atMs: number, event: Event, context: Context): void {
  const run = 'run' in event ? memoryOf(context, event.run) : emptyRun()
  switch (event.type) {
    case 'run.submitted': {
      const { project, suite, framework, frameworkVersion } = event.spec
      context.runs.set(event.run, { ...emptyRun(), project, suite, files: [...event.files] })
      rows.runs.push({
        run: event.run,
        project,
        suite,
        framework,
        framework_version: frameworkVersion,
        submitted_by: event.who,
        created_ms: atMs,
      })
      addFiles(rows, atMs, event, 0)
      return
    }
    case 'run.extended': {
      addFiles(rows, atMs, event, run.files.length)
      for (const file of event.files) run.files.push(file)
      return
    }
    case 'batch.assigned': {
      const { batch, worker, cpus } = event
      for (const task of event.tasks) run.held.set(task, { batch, worker, cpus, startedMs: null, started: null })
      rows.batches.push({ batch, run: event.run, worker, cpus, tasks: event.tasks, at_ms: atMs })
      return
    }
    case 'task.started': {
      for (const task of event.tasks) {
        const held = run.held.get(task)
        if (held === undefined) continue
        if (held.started === null) held.started = context.hosts.started(held.worker, held.batch, atMs)
        held.startedMs = atMs
      }
      return
    }
    case 'task.reported':
      return projectReported(rows, atMs, event, run, context)
    case 'task.requeued': {
      // A failed attempt was reported; of an unstarted one there is nothing to tell.
      const over = event.cause !== 'failed' && event.cause !== 'unstarted'
      for (const task of event.tasks) {
        if (over) addUnreported(rows, atMs, event.run, run, task, event.cause, context.hosts)
        run.held.delete(task)
      }
      return
    }
    case 'task.ended': {
      // Still held: its batch ended without a word of it.
      const outcome = event.state === 'failed' ? 'crashed' : event.state
      for (const task of event.tasks) {
        addUnreported(rows, atMs, event.run, run, task, outcome, context.hosts)
        run.held.delete(task)
        rows.task_ends.push({
          run: event.run,
          task,
          state: event.state,
          why: event.why,
          attempts: run.attempts.get(task) ?? 0,
          at_ms: atMs,
        })
      }
      return
    }
    case 'batch.ended': {
      context.hosts.batchEnded(event.worker, event.batch, atMs)
      rows.batch_ends.push({
        batch: event.batch,
        run: event.run,
        project: run.project,
        suite: run.suite,
        worker: event.worker,
        reason: event.reason,
        exit_code: event.exitCode,
        signal: event.signal,
        startup_ms: event.startupMs,
        wall_ms: event.wallMs,
        cpu_ms: event.usage?.cpuMs ?? null,
        memory_bytes: event.usage?.memoryBytesMax ?? null,
        message: event.message ?? null,
        at_ms: atMs,
        speed: context.hosts.speedOf(event.worker),
      })
      addRecoveries(rows, atMs, event, run)
      return
    }
    case 'run.finished': {
      const { project, suite } = run
      const { verdict, why, wallMs, lowerBoundMs } = event
      rows.run_ends.push({
        run: event.run,
        project,
        suite,
        verdict,
        why,
        wall_ms: wallMs,
        lower_bound_ms: lowerBoundMs,
        at_ms: atMs,
      })
      return
    }
    case 'worker.joined': {
      const { worker, name, capabilities } = event
      // From a log that nothing else could use either: an event without them.
      if (capabilities === undefined) return
      const { host, cpus, speed = null, fingerprint = null } = capabilities
      context.hosts.joined(worker, { host, cpus, speed })
      rows.workers.push({ worker, name, host, cpus, speed, fingerprint, at_ms: atMs })
      return
    }
    case 'worker.left':
      context.hosts.left(event.worker)
      return
    case 'dead-letter.added':
    case 'dead-letter.replayed':
    case 'dead-letter.settled':
    case 'dead-letter.discarded':
    case 'dead-letter.dropped':
      for (const row of letterRows(atMs, event)) rows.dead_letters.push(row)
      return
    case 'breaker.moved':
      rows.breaker_transitions.push(breakerRow(atMs, event))
      return
    default:
      // The audit holds the others; no table has columns for them.
      return
  }
}

function addRecoveries(
  rows: Rows,
  atMs: number,
  event: Extract<Event, { type: 'batch.ended' }>,
  { project, suite }: RunMemory,
): void {
  const { batch, worker } = event
  for (const { kind, level, outcome, tasks, wallMs, cpuMs, memoryBytes } of event.recoveries ?? []) {
    for (const task of tasks) {
      rows.recoveries.push({
        run: event.run,
        task,
        project,
        suite,
        batch,
        worker,
        kind,
        level,
        outcome,
        wall_ms: wallMs / tasks.length,
        cpu_ms: cpuMs === undefined ? null : cpuMs / tasks.length,
        memory_bytes: memoryBytes ?? null,
        at_ms: atMs,
      })
    }
  }
}

function projectReported(
  rows: Rows,
  atMs: number,
  event: Extract<Event, { type: 'task.reported' }>,
  run: RunMemory,
  { results, hosts }: Context,
): void {
  const found = event.results === undefined ? [] : (results.get(event.results) ?? { missing: 'not read' })
  const list = 'missing' in found ? [] : found
  if ('missing' in found) {
    rows.missing_results.push({
      run: event.run,
      batch: event.batch,
      blob: event.results ?? null,
      why: found.missing,
      at_ms: atMs,
    })
  }
  for (const [i, report] of event.reports.entries()) {
    const attempt = addReported(rows, atMs, event, run, report, hosts)
    for (const test of list[i]?.tests ?? []) rows.tests.push(testRow(event.run, report.task, attempt, run, test, atMs))
  }
}

function addReported(
  rows: Rows,
  atMs: number,
  event: Extract<Event, { type: 'task.reported' }>,
  run: RunMemory,
  report: TaskReport,
  hosts: HostLoads,
): number {
  const { task, outcome, durationMs, counts } = report
  const attempt = (run.attempts.get(task) ?? 0) + 1
  run.attempts.set(task, attempt)
  const held = run.held.get(task)
  run.held.delete(task)
  rows.attempts.push({
    ...attemptKey(event.run, run, task, attempt),
    batch: event.batch,
    worker: event.worker,
    cpus: held?.cpus ?? null,
    outcome,
    started_ms: held?.startedMs ?? atMs - durationMs,
    duration_ms: durationMs,
    passed: counts[0],
    failed: counts[1],
    flaky: counts[2],
    skipped: counts[3],
    at_ms: atMs,
    ...hosts.ended(event.worker, event.batch, held?.started ?? null, atMs),
  })
  return attempt
}

/** An attempt that ended without a report; none if no batch held the task. */
function addUnreported(
  rows: Rows,
  atMs: number,
  runId: string,
  run: RunMemory,
  task: number,
  outcome: string,
  hosts: HostLoads,
): void {
  const held = run.held.get(task)
  if (held === undefined) return
  const attempt = (run.attempts.get(task) ?? 0) + 1
  run.attempts.set(task, attempt)
  rows.attempts.push({
    ...attemptKey(runId, run, task, attempt),
    batch: held.batch,
    worker: held.worker,
    cpus: held.cpus,
    outcome,
    started_ms: held.startedMs,
    duration_ms: held.startedMs === null ? null : atMs - held.startedMs,
    passed: 0,
    failed: 0,
    flaky: 0,
    skipped: 0,
    at_ms: atMs,
    ...hosts.ended(held.worker, held.batch, held.started, atMs),
  })
}

function attemptKey(runId: string, run: RunMemory, task: number, attempt: number) {
  return { run: runId, task, attempt, project: run.project, suite: run.suite, file: run.files[task] ?? null }
}

function testRow(
  runId: string,
  task: number,
  attempt: number,
  run: RunMemory,
  test: TestResult,
  atMs: number,
): Row<'tests'> {
  return {
    ...attemptKey(runId, run, task, attempt),
    file: run.files[task] ?? test.file,
    name: test.name.join(' › '),
    framework_project: test.project ?? null,
    status: test.status,
    duration_ms: test.durationMs,
    flaky: isFlaky(test),
    error: test.errors?.[0]?.message.slice(0, errorLengthMax) ?? null,
    at_ms: atMs,
  }
}

function addFiles(
  rows: Rows,
  atMs: number,
  event: { readonly run: string; readonly files: readonly string[]; readonly estimates: readonly (number | null)[] },
  firstTask: number,
): void {
  for (const [i, file] of event.files.entries()) {
    rows.task_files.push({
      run: event.run,
      task: firstTask + i,
      file,
      estimate_ms: event.estimates[i] ?? null,
      at_ms: atMs,
    })
  }
}

function memoryOf(context: Context, runId: string): RunMemory {
  let run = context.runs.get(runId)
  if (run === undefined) {
    run = emptyRun()
    context.runs.set(runId, run)
  }
  return run
}
