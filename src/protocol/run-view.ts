/**
 * What the API shows of runs, tasks and workers, and what the feed pushes. The CLI, the reports and
 * later the dashboard read these and nothing else.
 */
import type { TestCounts, TestError } from './results.ts'
import type { Gpu } from './worker-messages.ts'

export type TaskTotals = {
  readonly passed: number
  readonly failed: number
  readonly flaky: number
  readonly skipped: number
  readonly cancelled: number
  readonly timedOut: number
  readonly lost: number
}

export type RunView = {
  readonly run: string
  readonly state: 'queued' | 'running' | 'paused' | 'cancelling' | 'finished'
  readonly verdict?: 'passed' | 'failed' | 'timed-out' | 'cancelled' | 'incomplete' | 'empty'
  /** Why the verdict is what it is, or why the run waits; one sentence. */
  readonly reason?: string
  readonly version: number
  readonly framework: string
  readonly frameworkVersion: string
  readonly suite: string
  readonly project: string
  readonly submittedBy: string
  readonly priority: number
  readonly planned: number
  /** Tasks in a terminal state. */
  readonly accounted: number
  readonly queued: number
  readonly running: number
  readonly tasks: TaskTotals
  readonly tests: TestCounts
  readonly createdAtMs: number
  readonly startedAtMs?: number
  readonly endedAtMs?: number
  readonly wallMs?: number
  readonly lowerBoundMs?: number
  /** lowerBoundMs / wallMs, at most 1. */
  readonly optimumRatio?: number
  readonly predictedMs?: number
  /** Share of tasks with a duration from history, 0..1. */
  readonly knownRatio: number
  /** It should be over by then. */
  readonly deadlineAtMs?: number
  /** What is likely to go wrong: its deadline, or a part of it that no connected worker fits. Absent = nothing. */
  readonly warnings?: readonly string[]
  /** While it waits: 1 = next. */
  readonly queuePosition?: number
  readonly expectedStartMs?: number
  /** Tasks that needed another attempt because a worker or process was lost. */
  readonly rerun: number
  /** Dead letters that it has left and that are still there; absent when there are none. */
  readonly deadLetters?: number
  /** Failures outside any file. */
  readonly errors: readonly string[]
  readonly workers: readonly RunWorkerView[]
}

export type RunWorkerView = {
  readonly worker: string
  readonly name: string
  readonly host: string
  readonly cpus: number
  readonly batches: number
  readonly tasks: number
  /** Sum of the durations of the tasks it completed. */
  readonly busyMs: number
}

export type TaskView = {
  readonly task: string
  readonly index: number
  readonly file: string
  readonly state: string
  readonly version: number
  readonly attempts: number
  /** Which of its run's needs is its; absent = the first. */
  readonly kind?: number
  readonly worker?: string
  readonly estimateMs?: number
  readonly durationMs?: number
  readonly why?: string
  /** Its tests, as far as it reported any. */
  readonly counts?: TestCounts
}

export type WorkerView = {
  readonly worker: string
  readonly name: string
  readonly host: string
  readonly os: string
  readonly arch: string
  readonly cpus: number
  readonly cpusFree: number
  readonly memoryBytes: number
  /** Absent = none. */
  readonly gpus?: readonly Gpu[]
  /** Counted things that it has. */
  readonly resources?: Readonly<Record<string, number>>
  /** 1 = the reference machine; absent = not measured. */
  readonly speed?: number
  /** Of the hardware: the same when it comes back under another name. */
  readonly fingerprint?: string
  readonly labels: Readonly<Record<string, string>>
  readonly tools: Readonly<Record<string, string>>
  readonly version: string
  readonly state: 'idle' | 'busy' | 'draining' | 'disconnected'
  /** Absent = closed. Open: it gets no work; half-open: a little, to see how that goes. */
  readonly breaker?: 'open' | 'half-open'
  readonly batches: readonly {
    readonly batch: string
    readonly run: string
    readonly tasks: number
    readonly cpus: number
  }[]
  readonly lastHeardMs: number
}

/** `GET /workers/:worker`. */
export type WorkerDetailView = WorkerView & {
  /** What was detected, by name. */
  readonly attributes: Readonly<Record<string, string | number | boolean | readonly string[]>>
  /** What could not be found out: why. */
  readonly unavailable: Readonly<Record<string, string>>
}

/** One test or file that failed, as reports and `--json` show it. */
export type Failure = {
  readonly file: string
  /** Empty for a failure of the file itself. */
  readonly name: readonly string[]
  readonly project?: string
  readonly line?: number
  readonly worker?: string
  readonly attempt: number
  readonly errors: readonly TestError[]
}

/**
 * `GET /api/v1/feed?run=ID` (WebSocket). First a `snapshot`, then changes; `run` again whenever totals changed.
 * `position`: of the log, that the view reflects.
 */
export type FeedMessage =
  | {
      readonly type: 'snapshot'
      readonly run: RunView
      readonly running: readonly RunningTask[]
      readonly position?: number
    }
  | { readonly type: 'run'; readonly run: RunView; readonly position?: number }
  | { readonly type: 'task-started'; readonly tasks: readonly RunningTask[] }
  /** Attempt over; `final` when the task is terminal, else it will be tried again and `why` says so. */
  | {
      readonly type: 'task-ended'
      readonly task: number
      readonly file: string
      readonly state: string
      readonly final: boolean
      readonly why?: string
      readonly durationMs: number
      readonly worker?: string
      /** Its tests, as far as it reported any. */
      readonly counts?: TestCounts
    }
  | {
      readonly type: 'test'
      readonly task: number
      readonly file: string
      readonly name: readonly string[]
      readonly project?: string
      readonly status: 'passed' | 'failed' | 'skipped' | 'todo'
      readonly flaky: boolean
      readonly durationMs: number
      readonly errors?: readonly TestError[]
      readonly worker?: string
    }
  | { readonly type: 'output'; readonly batch: string; readonly worker: string; readonly text: string }
  /** For people: a worker left, a crash is being isolated, history is away… */
  | { readonly type: 'notice'; readonly level: 'info' | 'warning'; readonly text: string }
  /** The last message: the run is finished. */
  | { readonly type: 'end'; readonly run: RunView; readonly position?: number }

export type RunningTask = {
  readonly task: number
  readonly file: string
  readonly worker: string
  readonly workerName: string
  readonly startedAtMs: number
}

/** A finished run with everything a report needs (`GET /api/v1/runs/:run/results`, JSON lines of TaskRecord). */
export type TaskRecord = {
  readonly index: number
  readonly file: string
  /** The task's final state. */
  readonly state: string
  readonly why?: string
  /** Where it ran, when that isn't where the run was meant to. */
  readonly place?: string
  /** Every attempt that reported, oldest first. */
  readonly attempts: readonly {
    readonly attempt: number
    readonly worker: string
    readonly workerName: string
    readonly outcome: 'passed' | 'failed' | 'skipped'
    readonly startedAtMs: number
    readonly durationMs: number
    readonly result: import('./results.ts').TaskResult
  }[]
}
