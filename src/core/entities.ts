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
  /** What its tasks need of a worker: each task names one of these by its index. Absent = one that asks for nothing. */
  readonly needs?: readonly Need[]
  /** It should be over by then. */
  readonly deadlineAtMs?: number
  /** Runs that it waits for. */
  readonly after?: readonly RunDependency[]
  /** What becomes of a task when one that it depends on did not pass; default `skip`. */
  readonly onDependencyFailure?: 'skip' | 'run'
  /** Who asked for it, as far as shares and quotas go; absent = the submitter's name. */
  readonly user?: string
}

/** A task waits until those that it is after have ended. */
export type TaskDependency = { readonly task: TaskIndex; readonly after: readonly TaskIndex[] }

/** `passed`: it is cancelled when that run ends otherwise. `finished`: it only waits. */
export type RunDependency = { readonly run: RunId; readonly when: 'passed' | 'finished' }

/**
 * What a batch needs of its worker while it runs, and what it may not share. Tasks of one need share batches, and tasks
 * of different needs never do. Everything is taken at once, at assignment, and given back when the batch ends, however
 * it ends.
 */
export type Need = {
  /** CPUs of a batch; absent = the run's. */
  readonly cpus?: number
  /** Memory reserved for a batch. */
  readonly memoryBytes?: number
  readonly gpus?: GpuNeed
  /** Counted resources that a worker says it has, by name. */
  readonly resources?: Readonly<Record<string, number>>
  /** Expression over a worker's attributes; see expression.ts. */
  readonly where?: string
  readonly locks?: readonly Lock[]
  /** Nothing else runs on its host meanwhile. */
  readonly exclusive?: boolean
  /** Goes, when it can, to a worker that ran tasks of the same affinity before: they share what is warm there. */
  readonly affinity?: string
  /** Never on a host where another batch of this name runs. */
  readonly antiAffinity?: string
  /** Batches of this name are spread as evenly over hosts as can be. */
  readonly spread?: string
  /** Most tasks of one batch. */
  readonly batchMax?: number
}

export type GpuNeed = {
  readonly count: number
  /** Of each of them. */
  readonly memoryBytes?: number
  readonly vendor?: string
  /** Default true: nobody else uses these cards meanwhile. False: shared, with `memoryBytes` reserved on each. */
  readonly exclusive?: boolean
}

/** Held across the whole cluster. exclusive: one holder. shared: any number, but none beside an exclusive one. counted: `max` at most. */
export type Lock =
  | { readonly name: string; readonly mode: 'exclusive' | 'shared' }
  | { readonly name: string; readonly mode: 'counted'; readonly max: number }

/** What a batch holds beside its CPUs. */
export type Grant = {
  readonly memoryBytes?: number
  /** Ids of the worker's GPUs. */
  readonly gpus?: readonly string[]
  /** Set by the core: which cards these are, should the worker call them otherwise later; see cards.ts. */
  readonly cards?: readonly string[]
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
  /** Those that tests may be given, in the order in which the worker sees them. */
  readonly gpus?: readonly Gpu[]
  /** Counted things that batches take and give back, e.g. licences, ports, devices. */
  readonly resources?: Readonly<Record<string, number>>
  /** What was detected, by dotted name, e.g. `cpu.model`, `browser.chromium.webgpu`; see docs/reference/attributes.md. */
  readonly attributes?: Readonly<Record<string, AttributeValue>>
  /** What could not be found out, by attribute or group of them: why. */
  readonly unavailable?: Readonly<Record<string, string>>
  /** Says that the same hardware came back, whatever its name is now. */
  readonly fingerprint?: string
  /** How fast it runs tests, measured; 1 = the reference machine, 2 = twice as fast. */
  readonly speed?: number
}

export type AttributeValue = string | number | boolean | readonly string[]

/** A card, or a slice of one (MIG) that can be given to somebody by itself. */
export type Gpu = {
  /** What CUDA_VISIBLE_DEVICES (or HIP_VISIBLE_DEVICES) calls it on this worker: an index or a UUID. */
  readonly id: string
  /** Which card it is, whatever it is called; of a slice its id is one. */
  readonly uuid?: string
  readonly vendor: 'nvidia' | 'amd' | 'intel' | 'other'
  readonly name: string
  readonly memoryBytes: number
  readonly driver?: string
  /** e.g. 8.9 */
  readonly computeCapability?: string
  /** MIG: UUID of the card that it is a slice of. */
  readonly partOf?: string
}

/** What a batch's processes used: CPU time of the whole tree, and its largest resident memory at one time. */
export type Usage = { readonly cpuMs: number; readonly memoryBytesMax: number }
