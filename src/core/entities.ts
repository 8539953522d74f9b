/**
 * The nouns of Muster and the states they can be in. Everything here is plain data: it is what the
 * log describes, what a snapshot holds and what every view shows. Times are milliseconds since the
 * epoch, durations milliseconds, all of them inputs; nothing here knows a clock.
 */
export type RunId = string
export type WorkerId = string
export type BatchId = string
/** Position of a task within its run; `runId/index` names it outside. */
export type TaskIndex = number

/**
 * Life of a task. Terminal: passed, failed, flaky, skipped, quarantined, timed-out, cancelled, lost
 * (the ledger counts these), and dead-lettered.
 */
export type TaskState =
  | 'queued'
  | 'blocked'
  | 'assigned'
  | 'running'
  | 'paused'
  | 'passed'
  | 'failed'
  | 'flaky'
  | 'skipped'
  | 'quarantined'
  | 'timed-out'
  | 'cancelled'
  | 'lost'
  | 'dead-lettered'

export type RunState = 'queued' | 'running' | 'paused' | 'cancelling' | 'finished'

/** Truth about a finished run; the CLI's exit code follows from it. */
export type Verdict = 'passed' | 'failed' | 'timed-out' | 'cancelled' | 'incomplete' | 'empty'

/** How many tests an attempt reported: passed, failed, flaky, skipped. */
export type Counts = readonly [passed: number, failed: number, flaky: number, skipped: number]

/** What the submitter asked for. Kept whole in the log. */
export type RunSpec = {
  readonly framework: string
  readonly frameworkVersion: string
  /** Name of the suite in the configuration, or the framework's name. */
  readonly suite: string
  /** What history is kept under: stable over checkouts and hosts (repository and suite). */
  readonly project: string
  /** Working directory: absolute on the caller's host for `in-place`, relative to the workspace root for `travel`. */
  readonly cwd: string
  readonly workspace:
    | { readonly type: 'in-place'; readonly host: string }
    | { readonly type: 'travel'; readonly manifest: string; readonly setup?: string }
    | { readonly type: 'none' }
  readonly paths: readonly string[]
  readonly args: readonly string[]
  /** True when the tasks are all that the framework would run for `paths` and `args`. */
  readonly complete: boolean
  /** Blob-like private record (environment, detection, suite configuration) that never enters the log. */
  readonly context: string
  /** CPUs wanted per host; undefined = all that a host has. */
  readonly cpus?: number
  /** Most hosts used at once; undefined = any number. */
  readonly workersMax?: number
  /** How often a failed or timed-out task is tried again. */
  readonly retries: number
  /** What `retries` and the limits leave open, by cause; see retry.ts. */
  readonly retry?: RetryPolicy
  /** Longest time one task may run. */
  readonly taskTimeoutMs: number
  /** Stop assigning after this many failed tasks; 0 = never. */
  readonly maxFailures: number
  /** Larger goes first; default 0. */
  readonly priority: number
  /** Capability labels a worker must have. */
  readonly labels: Readonly<Record<string, string>>
  /** Expected start-up of one framework process, from history. */
  readonly startupMs: number
  /** More tasks may be added until the run is sealed. */
  readonly open: boolean
  /** Time the run may wait while no worker that fits is connected, before its tasks are lost. */
  readonly noWorkerTimeoutMs: number
  /** W3C trace context of the submitter, when it is part of a trace. */
  readonly traceparent?: string
  /** Which ends without a verdict leave a dead letter; default lost and crashed. */
  readonly deadLetters?: readonly LetterKind[]
}

/** lost: it got no result. crashed: its process died, every time. timed-out: it was stopped at its limit. */
export type LetterKind = 'lost' | 'crashed' | 'timed-out'

/**
 * Why an attempt did not count: the file failed, ran out of time, its worker was lost or cut off, its
 * process died, or no process could be started for it.
 */
export type RetryCause = 'failed' | 'timed-out' | 'lost' | 'crashed' | 'infrastructure'
/** Where the next attempt may run, measured against where the ones before did. */
export type RetryWhere = 'any' | 'other-worker' | 'other-host' | 'other-class'
export type RetryRule = {
  /** Further attempts for this cause; 0 = none. */
  readonly max: number
  /** Wait before the first of them; 0 = none. Each further one waits `backoffFactor` times as long, up to `backoffMaxMs`. */
  readonly backoffMs: number
  readonly backoffFactor: number
  readonly backoffMaxMs: number
  /** 0 to 1: how large a part of the wait is left to chance, so that many don't return at the same moment. */
  readonly jitter: number
  readonly where: RetryWhere
}
/** What isn't said keeps its default. */
export type RetryPolicy = { readonly [C in RetryCause]?: Partial<RetryRule> }

/** How much is done to make the next attempt succeed, least first. See recovery.ts. */
export type RecoveryLevel = 'in-place' | 'fresh-process' | 'other-worker' | 'recycle-worker' | 'isolate'

/** Where an attempt should not run: honoured until then, and for as long as another worker that fits is connected. */
export type Avoid = {
  readonly workers?: readonly WorkerId[]
  readonly hosts?: readonly string[]
  readonly classes?: readonly string[]
  readonly untilMs: number
}

export type Capabilities = {
  readonly os: string
  readonly arch: string
  readonly cpus: number
  readonly memoryBytes: number
  readonly host: string
  readonly labels: Readonly<Record<string, string>>
  /** Tool → version, e.g. node, python3, go, chromium. */
  readonly tools: Readonly<Record<string, string>>
}

/** What a batch's processes used: CPU time of the whole tree, and its largest resident memory at one time. */
export type Usage = { readonly cpuMs: number; readonly memoryBytesMax: number }
