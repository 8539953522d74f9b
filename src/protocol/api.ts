/** Bodies and queries of the REST API, version 1. Defaults make the smallest useful submission two fields: framework and files. */
import Type from 'typebox'
import { NeedSchema } from './needs.ts'
import { RetryPolicy } from './retry-policy.ts'

const strict = { additionalProperties: false }
const text = (maxLength: number) => Type.String({ minLength: 1, maxLength })
const Files = Type.Array(text(4096))
const FileBytes = Type.Array(Type.Union([Type.Number({ minimum: 0 }), Type.Null()]))
const Labels = Type.Record(Type.String(), Type.String())
/** A number, or critical, high, normal, low, background. */
const Priority = Type.Union([Type.Integer({ minimum: -1000, maximum: 1000 }), text(32)])
/** Index into `needs`, one per file. */
const Kinds = Type.Array(Type.Integer({ minimum: 0 }))
/** A file of the submission by its name, or by its index. */
const FileRef = Type.Union([Type.Integer({ minimum: 0 }), text(4096)])

export const WorkspaceRef = Type.Union([
  /** Run where the files are: only workers of this host (its id, from the worker view) fit. */
  Type.Object({ type: Type.Literal('in-place'), host: text(256) }, strict),
  /** Content-addressed; every blob must have been uploaded. */
  Type.Object(
    {
      type: Type.Literal('travel'),
      manifest: Type.String({ pattern: '^[0-9a-f]{64}$' }),
      setup: Type.Optional(text(4096)),
    },
    strict,
  ),
  Type.Object({ type: Type.Literal('none') }, strict),
])

export const SubmitBody = Type.Object(
  {
    framework: text(64),
    frameworkVersion: Type.Optional(Type.String()),
    /** Default: the framework's name. */
    suite: Type.Optional(text(256)),
    /** What history is kept under; default: `default`. */
    project: Type.Optional(text(1024)),
    cwd: Type.Optional(Type.String()),
    workspace: Type.Optional(WorkspaceRef),
    files: Files,
    /** Their sizes, same order; null = not known. For estimates of files that never ran. */
    fileBytes: Type.Optional(FileBytes),
    paths: Type.Optional(Type.Array(Type.String())),
    args: Type.Optional(Type.Array(Type.String())),
    complete: Type.Optional(Type.Boolean()),
    cpus: Type.Optional(Type.Integer({ minimum: 1 })),
    workersMax: Type.Optional(Type.Integer({ minimum: 1 })),
    retries: Type.Optional(Type.Integer({ minimum: 0, maximum: 100 })),
    /** Per cause; what it doesn't say follows from `retries` and the coordinator's limits. */
    retry: Type.Optional(RetryPolicy),
    taskTimeoutMs: Type.Optional(Type.Integer({ minimum: 1 })),
    maxFailures: Type.Optional(Type.Integer({ minimum: 0 })),
    priority: Type.Optional(Priority),
    labels: Type.Optional(Labels),
    /** What tasks need of a worker; each file names one by its index in `kinds`. */
    needs: Type.Optional(Type.Array(NeedSchema, { minItems: 1 })),
    /** Default: 0 for every file. */
    kinds: Type.Optional(Kinds),
    /** Files that come after others of the same submission. */
    dependencies: Type.Optional(Type.Array(Type.Object({ task: FileRef, after: Type.Array(FileRef) }, strict))),
    /** What becomes of a file when one that it comes after did not pass; default skip. */
    onDependencyFailure: Type.Optional(Type.Union([Type.Literal('skip'), Type.Literal('run')])),
    /** Runs that it waits for. `passed` (default): it is cancelled when they end otherwise. */
    after: Type.Optional(
      Type.Array(
        Type.Object(
          {
            run: text(64),
            when: Type.Optional(Type.Union([Type.Literal('passed'), Type.Literal('finished')])),
          },
          strict,
        ),
      ),
    ),
    /** It should be over by then: a time with its zone, or a duration from now. */
    deadline: Type.Optional(text(64)),
    /** When it can't be over by its deadline: say so (default), or refuse it. */
    admission: Type.Optional(Type.Union([Type.Literal('warn'), Type.Literal('refuse')])),
    /** Who it is for, as far as shares and quotas go; default: who submits. */
    user: Type.Optional(text(256)),
    startupMs: Type.Optional(Type.Number({ minimum: 0 })),
    open: Type.Optional(Type.Boolean()),
    noWorkerTimeoutMs: Type.Optional(Type.Integer({ minimum: 0 })),
    /** Which ends without a verdict leave a dead letter; default lost and crashed. */
    deadLetters: Type.Optional(
      Type.Array(Type.Union([Type.Literal('lost'), Type.Literal('crashed'), Type.Literal('timed-out')])),
    ),
    context: Type.Optional(
      Type.Object({
        env: Type.Record(Type.String(), Type.String()),
        detection: Type.Unknown(),
        suite: Type.Optional(Type.Unknown()),
      }),
    ),
  },
  strict,
)
export type SubmitBody = Type.Static<typeof SubmitBody>

export const ExtendBody = Type.Object(
  { files: Type.Array(text(4096), { minItems: 1 }), kinds: Type.Optional(Kinds), fileBytes: Type.Optional(FileBytes) },
  strict,
)
export type ExtendBody = Type.Static<typeof ExtendBody>
export const TaskBody = Type.Object(
  { run: text(64), file: text(4096), kind: Type.Optional(Type.Integer({ minimum: 0 })) },
  strict,
)
export type TaskBody = Type.Static<typeof TaskBody>

export const PlanBody = Type.Object(
  {
    project: text(1024),
    suite: text(256),
    files: Files,
    framework: Type.Optional(text(64)),
    fileBytes: Type.Optional(FileBytes),
  },
  strict,
)
export type PlanBody = Type.Static<typeof PlanBody>

export const ActionBody = Type.Object(
  {
    why: Type.Optional(Type.String({ maxLength: 1000 })),
    /** cancel only: files that run may finish, for 10 s at most. */
    drain: Type.Optional(Type.Boolean()),
    /** prioritise only. */
    priority: Type.Optional(Priority),
    /** rerun only. */
    which: Type.Optional(Type.Union([Type.Literal('all'), Type.Literal('failed'), Type.Literal('lost')])),
  },
  strict,
)
export type ActionBody = Type.Static<typeof ActionBody>

export const runActions = ['cancel', 'pause', 'resume', 'prioritise', 'seal', 'rerun'] as const
export type RunAction = (typeof runActions)[number]

export const BulkActionBody = Type.Object(
  {
    action: Type.Union(runActions.map((action) => Type.Literal(action))),
    runs: Type.Array(text(64), { minItems: 1, maxItems: 10_000 }),
    ...ActionBody.properties,
  },
  strict,
)

export const MissingBody = Type.Object(
  { keys: Type.Array(Type.String({ pattern: '^[0-9a-f]{64}$' }), { maxItems: 200_000 }) },
  strict,
)

export const ArchiveQuery = Type.Object({
  all: Type.Optional(Type.Boolean()),
  whole: Type.Optional(Type.Boolean()),
})

export const PageQuery = Type.Object({
  cursor: Type.Optional(Type.Integer({ minimum: 0 })),
  limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 10_000 })),
  state: Type.Optional(Type.String()),
})
export const TasksQuery = Type.Object({
  run: Type.Optional(Type.String()),
  cursor: Type.Optional(Type.String()),
  limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 10_000 })),
  state: Type.Optional(Type.String()),
})
export const PredictQuery = Type.Object({
  project: Type.Optional(Type.String()),
  /** With the estimate of every file. */
  files: Type.Optional(Type.Boolean()),
})
export const WhyQuery = Type.Object({ file: Type.Optional(text(4096)) })
export type WhyQuery = Type.Static<typeof WhyQuery>
export const RecordingQuery = Type.Object({
  /** From this run's submission on. */
  run: Type.Optional(text(64)),
  /** Only that run. */
  only: Type.Optional(Type.Boolean()),
  sinceMs: Type.Optional(Type.Number({ minimum: 0 })),
})
export type RecordingQuery = Type.Static<typeof RecordingQuery>
export const TestsQuery = Type.Object({
  order: Type.Optional(Type.Union([Type.Literal('slowest'), Type.Literal('flaky'), Type.Literal('failed')])),
  project: Type.Optional(Type.String()),
  limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 10_000 })),
})
export const OutputQuery = Type.Object({ task: Type.Optional(Type.Integer({ minimum: 0 })) })

export type HealthView = {
  readonly status: 'ok' | 'degraded'
  readonly problems: readonly string[]
  /** Whether it can serve, as /health/ready says, and why not. */
  readonly ready: boolean
  readonly notReady: readonly string[]
  readonly role: 'leader' | 'follower'
  readonly epoch: number
  readonly version: string
  /** Changes with every change of the program, also between two commits of the same version. */
  readonly build: string
  readonly pid: number
  readonly startedAtMs: number
  readonly position: number
  readonly activeRuns: number
  readonly workers: number
}

/** RFC 9457. */
export type Problem = {
  readonly type: string
  readonly title: string
  readonly status: number
  readonly detail: string
  readonly code: string
  readonly hint?: string
  /** Of /health/ready: short phrases. */
  readonly reasons?: readonly string[]
}

/** One coordinator as it says itself, or as the others know it. */
export type MemberView = {
  readonly member: string
  readonly name: string
  readonly address: string
  readonly version: string
  /** Formats of the log that it reads: up to this one. */
  readonly format: number
  readonly draining: boolean
  readonly startedAtMs: number
  readonly role: 'leader' | 'follower' | 'loading' | 'claiming' | 'stopped' | 'unreachable'
  /** Of the last log entry in its state; absent when it can't be reached. */
  readonly position?: number
  /** Entries between the leader's position and its own. */
  readonly lag?: number
  /** Workers connected to it. */
  readonly workers?: number
  readonly problem?: string
}

export type ClusterView = {
  /** False: one coordinator with a log of its own. */
  readonly cluster: boolean
  readonly self: string
  readonly leader?: { readonly member: string; readonly address: string }
  readonly epoch: number
  /** Format in which the log is written. */
  readonly format: number
  readonly members: readonly MemberView[]
  readonly log: {
    readonly position: number
    readonly bytes?: number
    /** Live bytes against the log's own budget. */
    readonly fill?: number
    readonly snapshotPosition: number
  }
  /** Changes of leader that this coordinator saw, newest first. `tookMs`: from the last sign of the one before. */
  readonly failovers: readonly {
    readonly epoch: number
    readonly leader: string
    readonly atMs: number
    readonly tookMs?: number
  }[]
  readonly engine?: {
    readonly kind: string
    readonly quotaBytes?: number
    readonly members: readonly {
      readonly name: string
      readonly endpoint: string
      readonly healthy: boolean
      readonly leader: boolean
      readonly version?: string
      readonly dbBytes?: number
      readonly problem?: string
    }[]
    readonly problems: readonly string[]
  }
  readonly blobs: { readonly ok: boolean; readonly problem?: string }
  readonly problems: readonly string[]
}

export const TransferBody = Type.Object({ member: Type.Optional(text(256)) }, strict)
