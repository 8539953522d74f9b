/**
 * Everything that can have happened, in the past tense. The log holds these and nothing else; state
 * is their fold. One event covers every task it concerns, so that an entry's size follows from what
 * changed and not from how many tasks a run has.
 *
 * `who`: `client:<name>`, `worker:<id>`, or `coordinator`. `why`: a short phrase for people.
 */
import type {
  Avoid,
  BatchId,
  Capabilities,
  Counts,
  Grant,
  RecoveryLevel,
  RetryCause,
  RunId,
  RunSpec,
  TaskDependency,
  TaskIndex,
  Usage,
  Verdict,
  WorkerId,
} from './entities.ts'

export type RunSubmitted = {
  readonly type: 'run.submitted'
  readonly run: RunId
  readonly who: string
  /** Client's idempotency key. */
  readonly key?: string
  readonly spec: RunSpec
  readonly files: readonly string[]
  /** Estimated milliseconds per file from history; null = never seen. Same length as files. */
  readonly estimates: readonly (number | null)[]
  /** Places of estimates that are guesses: of files that were never seen themselves. */
  readonly guessed?: readonly number[]
  /** Index into the spec's needs, per file; absent = 0 for all. */
  readonly kinds?: readonly number[]
  readonly dependencies?: readonly TaskDependency[]
}
export type RunExtended = {
  readonly type: 'run.extended'
  readonly run: RunId
  readonly who: string
  readonly files: readonly string[]
  readonly estimates: readonly (number | null)[]
  readonly guessed?: readonly number[]
  readonly kinds?: readonly number[]
}
export type RunSealed = { readonly type: 'run.sealed'; readonly run: RunId; readonly who: string }
export type RunPaused = { readonly type: 'run.paused'; readonly run: RunId; readonly who: string; readonly why: string }
export type RunResumed = { readonly type: 'run.resumed'; readonly run: RunId; readonly who: string }
export type RunPrioritised = {
  readonly type: 'run.prioritised'
  readonly run: RunId
  readonly who: string
  readonly priority: number
}
/** No more work is assigned; what is queued becomes cancelled, what runs is stopped (or drained first). */
export type RunCancelled = {
  readonly type: 'run.cancelled'
  readonly run: RunId
  readonly who: string
  readonly why: string
  /** True: tasks that run may finish, within bounds. */
  readonly drain: boolean
}
/** The framework reported a failure outside any file. */
export type RunErrored = {
  readonly type: 'run.errored'
  readonly run: RunId
  readonly batch: BatchId
  readonly who: string
  readonly message: string
}
export type RunFinished = {
  readonly type: 'run.finished'
  readonly run: RunId
  readonly verdict: Verdict
  readonly why: string
  readonly wallMs: number
  /** max(startup + work / CPUs, startup + longest): no schedule on these CPUs is shorter. */
  readonly lowerBoundMs: number
}
/** Dropped from state by retention; history keeps it. */
export type RunForgotten = { readonly type: 'run.forgotten'; readonly run: RunId }

export type BatchAssigned = {
  readonly type: 'batch.assigned'
  readonly batch: BatchId
  readonly run: RunId
  readonly worker: WorkerId
  readonly tasks: readonly TaskIndex[]
  readonly cpus: number
  readonly grant?: Grant
  /** Fencing token: larger than every token given before. */
  readonly token: number
  readonly why: string
}
export type BatchEnded = {
  readonly type: 'batch.ended'
  readonly batch: BatchId
  readonly run: RunId
  readonly worker: WorkerId
  readonly who: string
  /** completed: every task was reported. crashed: the process died or left tasks unreported. */
  readonly reason: 'completed' | 'crashed' | 'timed-out' | 'cancelled' | 'lost' | 'failed-to-start' | 'fenced'
  readonly exitCode: number | null
  readonly signal: string | null
  /** From the process's start to its first file; null when none began. */
  readonly startupMs: number | null
  readonly wallMs: number
  readonly usage?: Usage
  /** What became of the tasks in it that were tried again at some recovery level. */
  readonly recoveries?: readonly Recovery[]
  /** Captured stdout and stderr. */
  readonly output?: string
  /** For people: last words of a process that went wrong. */
  readonly message?: string
}

/** How a recovery level did for one kind of failure, in one batch. */
export type Recovery = {
  /** Cause and framework: `crashed vitest`. */
  readonly kind: string
  readonly level: RecoveryLevel
  readonly outcome: 'worked' | 'failed'
  readonly tasks: readonly TaskIndex[]
  /** Their even share of what the batch took. */
  readonly wallMs: number
  readonly cpuMs?: number
  /** Of the whole batch. */
  readonly memoryBytes?: number
}

export type TaskStarted = {
  readonly type: 'task.started'
  readonly run: RunId
  readonly batch: BatchId
  readonly worker: WorkerId
  readonly tasks: readonly TaskIndex[]
}
export type TaskReport = {
  readonly task: TaskIndex
  readonly outcome: 'passed' | 'failed' | 'skipped'
  readonly durationMs: number
  readonly counts: Counts
}
/** A worker's report was accepted: one attempt of each task is over. */
export type TaskReported = {
  readonly type: 'task.reported'
  readonly run: RunId
  readonly batch: BatchId
  readonly worker: WorkerId
  readonly reports: readonly TaskReport[]
  /** Blob with the TaskResults, JSON lines, same order as reports; absent when they have no tests and no errors. */
  readonly results?: string
}
/** Back to the queue: a new attempt will be made. */
export type TaskRequeued = {
  readonly type: 'task.requeued'
  readonly run: RunId
  readonly tasks: readonly TaskIndex[]
  /** unstarted: its turn had not come, so nothing is held against it. */
  readonly cause: RetryCause | 'unstarted'
  readonly why: string
  /** The next attempt's batch may hold at most this many tasks; 0 = no limit. 1 = alone. */
  readonly batchMax: number
  /** What the next attempt tries; absent when nothing points at this task. */
  readonly level?: RecoveryLevel
  readonly notBeforeMs?: number
  readonly avoid?: Avoid
  /** Runs on this worker, once it has been recycled, unless that takes longer. */
  readonly on?: { readonly worker: WorkerId; readonly untilMs: number }
}
/** What they waited for has ended: they are queued. */
export type TaskUnblocked = {
  readonly type: 'task.unblocked'
  readonly run: RunId
  readonly tasks: readonly TaskIndex[]
}
/** Terminal. */
export type TaskEnded = {
  readonly type: 'task.ended'
  readonly run: RunId
  readonly tasks: readonly TaskIndex[]
  readonly state: 'passed' | 'failed' | 'flaky' | 'skipped' | 'timed-out' | 'cancelled' | 'lost'
  readonly why: string
  /** Why its last attempt did not count, when no further one is allowed. */
  readonly cause?: RetryCause
}

export type WorkerJoined = {
  readonly type: 'worker.joined'
  readonly worker: WorkerId
  readonly name: string
  readonly version: string
  readonly capabilities: Capabilities
}
export type WorkerDrained = {
  readonly type: 'worker.drained'
  readonly worker: WorkerId
  readonly who: string
  readonly why: string
}
export type WorkerLeft = { readonly type: 'worker.left'; readonly worker: WorkerId; readonly why: string }

export type LetterId = string
export type LetterCause =
  | 'lost'
  | 'fenced'
  | 'crashed'
  | 'failed-to-start'
  /** Its batch was over and its report never came. */
  | 'unreported'
  | 'timed-out'
  /** It waited for a worker that fits until its run's patience was over. */
  | 'no-worker'
  /** It waited for its class's breaker to close. */
  | 'breaker'
/** How one attempt of a task came to nothing. */
export type LostAttempt = {
  readonly batch: BatchId
  readonly worker: WorkerId
  readonly host?: string
  readonly reason: BatchEnded['reason']
  readonly exitCode: number | null
  readonly signal: string | null
  readonly message?: string
  /** Blob: what the batch printed. */
  readonly output?: string
  readonly atMs: number
}
/** These tasks ended without a verdict. */
export type DeadLetterAdded = {
  readonly type: 'dead-letter.added'
  readonly run: RunId
  readonly letters: readonly {
    readonly letter: LetterId
    readonly task: TaskIndex
    readonly file: string
    /** Index of its need in the run's; absent = 0. */
    readonly kind?: number
    /** Replays that came to nothing before, if any. */
    readonly replays?: number
  }[]
  readonly suite: string
  readonly project: string
  readonly framework: string
  readonly cause: LetterCause
  readonly why: string
  /** The newest, oldest first. */
  readonly attempts: readonly LostAttempt[]
  readonly attemptsMade: number
}
/** A new run was made of them; `task` is the letter's index in it. */
export type DeadLetterReplayed = {
  readonly type: 'dead-letter.replayed'
  readonly run: RunId
  readonly letters: readonly { readonly letter: LetterId; readonly task: TaskIndex }[]
  readonly replay: RunId
  readonly who: string
}
/** The replay's task has ended. Removed: it passed, or the replay left a letter of its own. */
export type DeadLetterSettled = {
  readonly type: 'dead-letter.settled'
  readonly run: RunId
  readonly letters: readonly LetterId[]
  readonly replay: RunId
  readonly outcome: string
  readonly removed: boolean
}
export type DeadLetterDiscarded = {
  readonly type: 'dead-letter.discarded'
  readonly run: RunId
  readonly letters: readonly LetterId[]
  readonly who: string
  readonly why: string
}
/** By retention. `count` is more than the letters when some were never kept. */
export type DeadLetterDropped = {
  readonly type: 'dead-letter.dropped'
  readonly run: RunId
  readonly letters: readonly LetterId[]
  readonly count: number
  readonly why: string
}

/** It was told to clean its workspaces and restart its executor; it takes no batch until it has, or until then. */
export type WorkerRecycling = {
  readonly type: 'worker.recycling'
  readonly worker: WorkerId
  readonly id: number
  readonly why: string
  readonly untilMs: number
}
export type WorkerRecycled = { readonly type: 'worker.recycled'; readonly worker: WorkerId; readonly id: number }

export type BreakerStand = 'closed' | 'open' | 'half-open'
/** Outcomes within the window; workers: how many had failures. */
export type BreakerCounts = { readonly ok: number; readonly failed: number; readonly workers: number }
export type BreakerMoved = {
  readonly type: 'breaker.moved'
  /** `worker:ID`, `class:PROJECT/SUITE` or `integration:NAME`. */
  readonly scope: string
  readonly from: BreakerStand
  readonly to: BreakerStand
  readonly who: string
  readonly why: string
  readonly counts: BreakerCounts
  /** How often it has opened in a row. */
  readonly opens?: number
  /** When it was opened: end of its cool-down; absent = until it is reset. */
  readonly untilMs?: number
}
/** What became of calls to something outside, while they are of interest. */
export type BreakerCounted = {
  readonly type: 'breaker.counted'
  readonly scope: string
  readonly ok: number
  readonly failed: number
  readonly why: string
}

export type LeaderStarted = {
  readonly type: 'leader.started'
  readonly epoch: number
  readonly owner: string
  readonly version: string
}

/** Every member can read this format: from here on the log may hold what came with it. */
export type FormatRaised = { readonly type: 'format.raised'; readonly format: number }

export type SchedulerChosen = {
  readonly type: 'scheduler.chosen'
  readonly who: string
  /** Absent = for all projects without one of their own. */
  readonly project?: string
  /** Absent = the default again. */
  readonly strategy?: string
  readonly config?: Readonly<Record<string, unknown>>
}

/** A strategy did something wrong, and the default placed in its place. */
export type SchedulerFaulted = {
  readonly type: 'scheduler.faulted'
  readonly strategy: string
  readonly kind: 'threw' | 'hung' | 'nonsense' | 'refused'
  readonly why: string
  /** It was one too many: the default places from now on, until somebody chooses the strategy again. */
  readonly suspended: boolean
}

/** A client token of one user's own is good from now on; the log holds no more of its secret than a digest. */
export type UserTokenMade = {
  readonly type: 'user-token.made'
  readonly who: string
  /** How people call it; its secret is another part of it. */
  readonly token: string
  readonly digest: string
  readonly user: string
  /** It may submit for other users, too. */
  readonly onBehalf?: true
  /** It is good until then; absent = until it is taken back. */
  readonly untilMs?: number
}

export type UserTokensRevoked = {
  readonly type: 'user-tokens.revoked'
  readonly who: string
  readonly tokens: readonly string[]
}

export type Event =
  | LeaderStarted
  | FormatRaised
  | SchedulerChosen
  | SchedulerFaulted
  | UserTokenMade
  | UserTokensRevoked
  | RunSubmitted
  | RunExtended
  | RunSealed
  | RunPaused
  | RunResumed
  | RunPrioritised
  | RunCancelled
  | RunErrored
  | RunFinished
  | RunForgotten
  | BatchAssigned
  | BatchEnded
  | TaskStarted
  | TaskReported
  | TaskRequeued
  | TaskUnblocked
  | TaskEnded
  | WorkerJoined
  | WorkerDrained
  | WorkerLeft
  | WorkerRecycling
  | WorkerRecycled
  | DeadLetterAdded
  | DeadLetterReplayed
  | DeadLetterSettled
  | DeadLetterDiscarded
  | DeadLetterDropped
  | BreakerMoved
  | BreakerCounted

/** What one log entry holds. */
export type EntryBody = { readonly atMs: number; readonly events: readonly Event[] }

const encoder = new TextEncoder()
const decoder = new TextDecoder()

export function encodeEntry(body: EntryBody): Uint8Array {
  return encoder.encode(JSON.stringify(body))
}

export function decodeEntry(bytes: Uint8Array): EntryBody {
  return JSON.parse(decoder.decode(bytes)) as EntryBody
}
