/** State as the API shows it. Reads only; cheap enough to be asked for often. */
import { workerScope } from '../core/breaker-state.ts'
import type { Run, State, Task, Worker } from '../core/state.ts'
import { accounted } from '../core/state.ts'
import { isTerminal } from '../core/task-state.ts'
import type { TestCounts } from '../protocol/results.ts'
import type { RunView, TaskView, WorkerDetailView, WorkerView } from '../protocol/run-view.ts'
import type { WatchedView } from '../scheduling/expected.ts'
import type { Fleets } from '../scheduling/fleet.ts'
import type { Forecast } from '../scheduling/forecast.ts'
import { behindClassWords, reasonWords, waitingWords } from '../scheduling/waiting-words.ts'
import { runWarnings } from './admission.ts'

export function taskIsFinal(task: Task): boolean {
  return isTerminal(task.state)
}

/** What is expected of runs, and the workers that there are for them, as of a moment ago. */
export type Outlook = { readonly of: ReadonlyMap<string, Forecast>; readonly fleets: Fleets }

export function runView(view: WatchedView, run: Run, outlook: Outlook, nowMs: number): RunView {
  const by = run.byState
  const live = run.state !== 'finished'
  // What was expected a moment ago of a run that has finished since is of no use to anybody.
  const expected = live ? outlook.of.get(run.id) : undefined
  const wallMs = run.wallMs ?? (run.startedAtMs === undefined ? undefined : nowMs - run.startedAtMs)
  const ratio = run.wallMs && run.lowerBoundMs ? Math.min(1, run.lowerBoundMs / run.wallMs) : undefined
  const warnings = live ? runWarnings(view, run, outlook.fleets, expected, nowMs) : []
  const reason = run.why ?? (live ? waitingReason(view, run, outlook.fleets, nowMs) : undefined)
  return {
    run: run.id,
    state: run.state,
    ...defined({ verdict: run.verdict, reason }),
    version: run.version,
    framework: run.spec.framework,
    frameworkVersion: run.spec.frameworkVersion,
    suite: run.spec.suite,
    project: run.spec.project,
    submittedBy: run.who,
    priority: run.priority,
    planned: run.tasks.length,
    accounted: accounted(run),
    queued: by.queued + by.blocked + by.paused,
    running: by.assigned + by.running,
    tasks: {
      passed: by.passed,
      failed: by.failed,
      flaky: by.flaky,
      skipped: by.skipped + by.quarantined,
      cancelled: by.cancelled,
      timedOut: by['timed-out'],
      lost: by.lost,
    },
    tests: { ...run.tests },
    createdAtMs: run.createdAtMs,
    ...defined({
      startedAtMs: run.startedAtMs,
      endedAtMs: run.endedAtMs,
      wallMs,
      lowerBoundMs: run.lowerBoundMs,
      optimumRatio: ratio === undefined ? undefined : Math.round(ratio * 1000) / 1000,
      predictedMs: run.knownCount > 0 ? expected?.durationMs : undefined,
      queuePosition: expected?.queuePosition,
      expectedStartMs: expected?.startsInMs,
      deadlineAtMs: run.spec.deadlineAtMs,
      warnings: warnings.length === 0 ? undefined : warnings,
    }),
    knownRatio: run.tasks.length === 0 ? 0 : run.knownCount / run.tasks.length,
    rerun: run.rerun,
    ...defined({ deadLetters: view.state.letters.sources.get(run.id)?.letters.size }),
    errors: run.errors,
    workers: [...run.workers].map(([worker, seen]) => ({ worker, ...seen })),
  }
}

/** A worker that is just starting is no news. */
const waitWordsAfterMs = 1500

function waitingReason(view: WatchedView, run: Run, fleets: Fleets, nowMs: number): string | undefined {
  if (run.state === 'paused') return reasonWords({ type: 'paused' }, nowMs)
  const behindClass = behindClassWords(view, run, nowMs)
  if (behindClass !== undefined) return behindClass
  if (run.queuedCount === 0 || run.startedAtMs !== undefined) return undefined
  if (nowMs - run.createdAtMs < waitWordsAfterMs) return undefined
  return waitingWords(view, run, fleets, nowMs)
}

export function taskView(state: State, run: Run, index: number): TaskView {
  const task = run.tasks[index]!
  return {
    task: `${run.id}/${index}`,
    index,
    file: task.file,
    state: task.state,
    version: task.version,
    attempts: task.attempts,
    ...defined({
      kind: task.kind === 0 ? undefined : task.kind,
      worker: task.batch === undefined ? undefined : state.batches.get(task.batch)?.worker,
      estimateMs: task.estimateMs < 0 ? undefined : task.estimateMs,
      durationMs: isTerminal(task.state) ? task.durationMs : undefined,
      why: task.why,
      counts: countsOf(task),
    }),
  }
}

/** Undefined when it has reported no test. */
export function countsOf(task: Task): TestCounts | undefined {
  if (task.counts === undefined) return undefined
  const [passed, failed, flaky, skipped] = task.counts
  return { passed, failed, flaky, skipped, total: passed + failed + flaky + skipped }
}

export function workerView(state: State, worker: Worker, connected: boolean, lastHeardMs: number): WorkerView {
  const { capabilities } = worker
  const breaker = state.breakers.byScope.get(workerScope(worker.id))
  return {
    worker: worker.id,
    name: worker.name,
    host: capabilities.host,
    os: capabilities.os,
    arch: capabilities.arch,
    cpus: capabilities.cpus,
    cpusFree: capabilities.cpus - worker.cpusUsed,
    memoryBytes: capabilities.memoryBytes,
    ...defined({
      gpus: capabilities.gpus,
      resources: capabilities.resources,
      speed: capabilities.speed,
      fingerprint: capabilities.fingerprint,
    }),
    labels: capabilities.labels,
    tools: capabilities.tools,
    version: worker.version,
    state: !connected ? 'disconnected' : worker.draining ? 'draining' : worker.batches.size > 0 ? 'busy' : 'idle',
    batches: [...worker.batches].map((id) => {
      const batch = state.batches.get(id)!
      return { batch: id, run: batch.run, tasks: batch.tasks.length, cpus: batch.cpus }
    }),
    lastHeardMs,
    ...(breaker === undefined || breaker.stand === 'closed' ? {} : { breaker: breaker.stand }),
  }
}

export function workerDetailView(worker: Worker, view: WorkerView): WorkerDetailView {
  const { attributes = {}, unavailable = {} } = worker.capabilities
  return { ...view, attributes, unavailable }
}

/** By its id, or by its name. Several may have one name: the one that joined last is meant. */
export function findWorker(state: State, named: string): Worker | undefined {
  return state.workers.get(named) ?? [...state.workers.values()].findLast((worker) => worker.name === named)
}

/** Drops undefined members, so that JSON and objects agree. */
function defined<T extends object>(value: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  const kept: Record<string, unknown> = {}
  for (const key in value) if (value[key] !== undefined) kept[key] = value[key]
  return kept as { [K in keyof T]?: Exclude<T[K], undefined> }
}
