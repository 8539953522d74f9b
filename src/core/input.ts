/**
 * What can be asked of the core, in the imperative. Time comes with every call of `advance`; ids and
 * tokens that must be unique are either given here by the shell or counted in state.
 */
import type { LetterId, SchedulerFaulted, TaskReport, UserTokenMade, UserTokensRevoked } from './events.ts'
import type {
  BatchId,
  Capabilities,
  Grant,
  RunId,
  RunSpec,
  TaskDependency,
  TaskIndex,
  Usage,
  WorkerId,
} from './entities.ts'

export type Submit = {
  readonly type: 'submit'
  readonly run: RunId
  readonly who: string
  readonly key?: string
  readonly spec: RunSpec
  readonly files: readonly string[]
  readonly estimates: readonly (number | null)[]
  /** Places of those that are guesses: of files that were never seen themselves. */
  readonly guessed?: readonly number[]
  /** Index into the spec's needs, per file; absent = 0 for all. */
  readonly kinds?: readonly number[]
  /** For some tasks, those that must end before them. */
  readonly dependencies?: readonly TaskDependency[]
}
export type Extend = {
  readonly type: 'extend'
  readonly run: RunId
  readonly who: string
  readonly files: readonly string[]
  readonly estimates: readonly (number | null)[]
  readonly guessed?: readonly number[]
  readonly kinds?: readonly number[]
}
/** `version`: refuse unless the run's version is this (If-Match). */
export type Seal = { readonly type: 'seal'; readonly run: RunId; readonly who: string }
export type Pause = {
  readonly type: 'pause'
  readonly run: RunId
  readonly who: string
  readonly why: string
  readonly version?: number
}
export type Resume = { readonly type: 'resume'; readonly run: RunId; readonly who: string; readonly version?: number }
export type Prioritise = {
  readonly type: 'prioritise'
  readonly run: RunId
  readonly who: string
  readonly priority: number
  readonly version?: number
}
export type Cancel = {
  readonly type: 'cancel'
  readonly run: RunId
  readonly who: string
  readonly why: string
  readonly drain: boolean
  readonly version?: number
}
/** Nothing can run it: what waits is lost. `kinds`: only of these groups; absent = all. */
export type Abandon = {
  readonly type: 'abandon'
  readonly run: RunId
  readonly kinds?: readonly number[]
  readonly why: string
}

/** A placement decided by the scheduler; checked before it becomes an event. */
export type Assign = {
  readonly type: 'assign'
  readonly run: RunId
  readonly worker: WorkerId
  readonly tasks: readonly TaskIndex[]
  readonly cpus: number
  /** What else the tasks' need takes; see needs.ts. */
  readonly grant?: Grant
  readonly why: string
}

export type Join = {
  readonly type: 'join'
  readonly worker: WorkerId
  readonly name: string
  readonly version: string
  readonly capabilities: Capabilities
  readonly draining: boolean
}
export type Drain = { readonly type: 'drain'; readonly worker: WorkerId; readonly who: string; readonly why: string }
/** The lease ran out, or it said good-bye. */
export type Leave = { readonly type: 'leave'; readonly worker: WorkerId; readonly why: string }

/** The worker has done what `worker.recycling` with this id asked for. */
export type Recycled = { readonly type: 'recycled'; readonly worker: WorkerId; readonly id: number }

export type Start = {
  readonly type: 'start'
  readonly worker: WorkerId
  readonly batch: BatchId
  readonly token: number
  readonly tasks: readonly TaskIndex[]
}
export type Report = {
  readonly type: 'report'
  readonly worker: WorkerId
  readonly batch: BatchId
  readonly token: number
  readonly reports: readonly TaskReport[]
  readonly results?: string
}
export type End = {
  readonly type: 'end'
  readonly worker: WorkerId
  readonly batch: BatchId
  readonly token: number
  readonly reason: 'completed' | 'crashed' | 'timed-out' | 'cancelled' | 'failed-to-start' | 'fenced'
  readonly exitCode: number | null
  readonly signal: string | null
  readonly startupMs: number | null
  readonly wallMs: number
  readonly interrupted: readonly TaskIndex[]
  readonly timedOut: readonly TaskIndex[]
  readonly errors: readonly string[]
  readonly usage?: Usage
  readonly output?: string
  readonly message?: string
}
/** A new run of these dead letters, all of one run. `context`: of the new run. */
export type Replay = {
  readonly type: 'replay'
  readonly letters: readonly LetterId[]
  readonly run: RunId
  readonly who: string
  /** Instead of the one that the letters' run counted against. */
  readonly user?: string
  /** Also letters that were replayed before. */
  readonly again: boolean
  readonly context: string
  readonly estimates: readonly (number | null)[]
  readonly guessed?: readonly number[]
  readonly startupMs: number
}
export type Discard = {
  readonly type: 'discard'
  readonly letters: readonly LetterId[]
  readonly who: string
  readonly why: string
}

/** Time has passed: cool-downs that are over end. Due at `tickDueMs`. */
export type Tick = { readonly type: 'tick' }
/** Try an open breaker before its time. */
export type Probe = { readonly type: 'probe'; readonly scope: string; readonly why: string }
/** Calls to something outside since the last time. `why`: of the last failure. */
export type Observe = {
  readonly type: 'observe'
  readonly scope: string
  readonly ok: number
  readonly failed: number
  readonly why: string
}
export type OpenBreaker = {
  readonly type: 'open-breaker'
  readonly scope: string
  readonly who: string
  readonly why: string
}
export type ResetBreakers = {
  readonly type: 'reset-breakers'
  /** Absent = all. */
  readonly scopes?: readonly string[]
  readonly who: string
  readonly why: string
}

export type Lead = { readonly type: 'lead'; readonly epoch: number; readonly owner: string; readonly version: string }
/** From now on everything that came with this format may be written. */
export type RaiseFormat = { readonly type: 'raise-format'; readonly format: number }
/** Another scheduler from now on. `project`: for its runs only; `strategy` absent = as for all others again. */
export type ChooseScheduler = {
  readonly type: 'choose-scheduler'
  readonly who: string
  readonly project?: string
  readonly strategy?: string
  readonly config?: Readonly<Record<string, unknown>>
}
/** What the leader saw a strategy do. */
export type FaultScheduler = Omit<SchedulerFaulted, 'type'> & { readonly type: 'fault-scheduler' }
export type MakeUserToken = Omit<UserTokenMade, 'type'> & { readonly type: 'make-user-token' }
export type RevokeUserTokens = Omit<UserTokensRevoked, 'type'> & { readonly type: 'revoke-user-tokens' }
/** Retention: forget the oldest finished runs above the limits. */
export type Prune = { readonly type: 'prune' }

export type Input =
  | Lead
  | RaiseFormat
  | ChooseScheduler
  | FaultScheduler
  | MakeUserToken
  | RevokeUserTokens
  | Submit
  | Extend
  | Seal
  | Pause
  | Resume
  | Prioritise
  | Cancel
  | Abandon
  | Assign
  | Join
  | Drain
  | Leave
  | Recycled
  | Start
  | Report
  | End
  | Replay
  | Discard
  | Tick
  | Probe
  | Observe
  | OpenBreaker
  | ResetBreakers
  | Prune

/** Why an input was turned down. Nothing happened. */
export class Refused extends Error {
  override readonly name = 'Refused'
  readonly code: 'not_found' | 'conflict' | 'version_mismatch' | 'overloaded' | 'request_invalid' | 'stale'

  constructor(code: Refused['code'], message: string) {
    super(message)
    this.code = code
  }
}
