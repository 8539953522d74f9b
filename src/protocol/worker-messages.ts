/**
 * What a worker and its coordinator say to each other over one WebSocket (`/api/v1/worker`), as JSON
 * text frames. The worker dials. Everything that changes state is repeated by the worker until it is
 * acknowledged, and is harmless when repeated: the batch's fencing token decides.
 */
import Type from 'typebox'
import { TaskResult, TestError } from './results.ts'

export { workerProtocolVersion } from './worker-protocol-version.ts'

/** A card, or a slice of one (MIG) that can be given to somebody by itself. */
export const GpuSchema = Type.Object({
  /** What CUDA_VISIBLE_DEVICES (or HIP_, ROCR_VISIBLE_DEVICES) calls it on this worker: an index or a UUID. One of a kind per worker. */
  id: Type.String({ minLength: 1 }),
  /** Which card it is, whatever it is called. */
  uuid: Type.Optional(Type.String({ minLength: 1 })),
  vendor: Type.Union([Type.Literal('nvidia'), Type.Literal('amd'), Type.Literal('intel'), Type.Literal('other')]),
  name: Type.String(),
  /** 0 = not known. */
  memoryBytes: Type.Number({ minimum: 0 }),
  driver: Type.Optional(Type.String()),
  computeCapability: Type.Optional(Type.String()),
  /** MIG: UUID of the card that it is a slice of. */
  partOf: Type.Optional(Type.String()),
})
export type Gpu = Type.Static<typeof GpuSchema>

export const CapabilitiesSchema = Type.Object({
  os: Type.String(),
  arch: Type.String(),
  cpus: Type.Number({ minimum: 1 }),
  memoryBytes: Type.Number(),
  /** Identity of the machine: equal for two processes exactly when they share a file system and process table. */
  host: Type.String(),
  labels: Type.Record(Type.String(), Type.String()),
  tools: Type.Record(Type.String(), Type.String()),
  /** Those that tests may be given, in the order in which the worker sees them. */
  gpus: Type.Optional(Type.Array(GpuSchema)),
  /** Counted things that batches take and give back. */
  resources: Type.Optional(Type.Record(Type.String(), Type.Number({ minimum: 0 }))),
  /** What was detected, by dotted name; docs/reference/attributes.md. */
  attributes: Type.Optional(
    Type.Record(Type.String(), Type.Union([Type.String(), Type.Number(), Type.Boolean(), Type.Array(Type.String())])),
  ),
  /** What could not be found out, by attribute or group of them: why. */
  unavailable: Type.Optional(Type.Record(Type.String(), Type.String())),
  /** Says that the same hardware came back, whatever its name is now. */
  fingerprint: Type.Optional(Type.String()),
  /** How fast it runs tests, measured; 1 = the reference machine. */
  speed: Type.Optional(Type.Number({ exclusiveMinimum: 0 })),
})
export type WorkerCapabilities = Type.Static<typeof CapabilitiesSchema>

/** First message after connecting, also after every reconnection. */
export const Hello = Type.Object({
  type: Type.Literal('hello'),
  protocol: Type.Number(),
  /** Made by the worker at its start and kept until it exits. */
  worker: Type.String(),
  name: Type.String(),
  version: Type.String(),
  capabilities: CapabilitiesSchema,
  /** Batches that it still holds, running or with unacknowledged reports. */
  held: Type.Array(Type.Object({ batch: Type.String(), token: Type.Number() })),
  draining: Type.Boolean(),
})

export const Heartbeat = Type.Object({
  type: Type.Literal('heartbeat'),
  /** Counts up; the leader's `beat` repeats it. */
  n: Type.Optional(Type.Number()),
  load: Type.Optional(Type.Number()),
  memoryFreeBytes: Type.Optional(Type.Number()),
})

/**
 * What this worker offers has changed, or more of it is known. Not acknowledged: every hello says the same.
 * Only sent to a coordinator whose welcome `understands` it.
 */
export const CapabilitiesMessage = Type.Object({
  type: Type.Literal('capabilities'),
  capabilities: CapabilitiesSchema,
})

/** `seq` numbers what must be acknowledged, per worker process, from 1. */
export const Started = Type.Object({
  type: Type.Literal('started'),
  seq: Type.Number(),
  batch: Type.String(),
  token: Type.Number(),
  /** Task indexes. */
  tasks: Type.Array(Type.Number()),
})

/**
 * Complete tasks of a batch. A task without tests and errors may come as the short form
 * `[task, outcome, durationMs]` in `plain`, which is what keeps small tasks cheap.
 */
export const Reported = Type.Object({
  type: Type.Literal('reported'),
  seq: Type.Number(),
  batch: Type.String(),
  token: Type.Number(),
  results: Type.Array(Type.Object({ task: Type.Number(), result: TaskResult })),
  plain: Type.Optional(Type.Array(Type.Tuple([Type.Number(), Type.String(), Type.Number()]))),
})

export const BatchEndReason = Type.Union([
  Type.Literal('completed'),
  Type.Literal('crashed'),
  Type.Literal('timed-out'),
  Type.Literal('cancelled'),
  Type.Literal('failed-to-start'),
  /** The worker was cut off for longer than it may run unattended, and ended it itself. */
  Type.Literal('fenced'),
])

/** What a batch's processes used, as far as the worker could see. */
export const Usage = Type.Object({
  /** User and system time of the whole process tree. */
  cpuMs: Type.Number(),
  /** Largest resident memory of the process tree at one time. */
  memoryBytesMax: Type.Number(),
})
export type Usage = Type.Static<typeof Usage>

/** The batch's process is gone. Sent after all `reported` of the batch. */
export const Ended = Type.Object({
  type: Type.Literal('ended'),
  seq: Type.Number(),
  batch: Type.String(),
  token: Type.Number(),
  reason: BatchEndReason,
  exitCode: Type.Union([Type.Number(), Type.Null()]),
  signal: Type.Union([Type.String(), Type.Null()]),
  startupMs: Type.Union([Type.Number(), Type.Null()]),
  wallMs: Type.Number(),
  /** Tasks that had begun and were not reported complete when it ended. */
  interrupted: Type.Array(Type.Number()),
  /** Tasks whose own time limit ended the batch (subset of interrupted). */
  timedOut: Type.Array(Type.Number()),
  /** Failures outside any file. */
  errors: Type.Array(TestError),
  usage: Type.Optional(Usage),
  /** Captured stdout and stderr, capped. */
  output: Type.Optional(Type.String()),
  /** Last words for people when the reason is not `completed`. */
  message: Type.Optional(Type.String()),
})

/** Not acknowledged, not logged: for whoever is watching. Task is an index; name as in TestResult. */
export const Live = Type.Object({
  type: Type.Literal('live'),
  batch: Type.String(),
  tests: Type.Array(
    Type.Object({
      task: Type.Number(),
      /** Empty: the file itself failed. */
      name: Type.Array(Type.String()),
      project: Type.Optional(Type.String()),
      status: Type.String(),
      flaky: Type.Optional(Type.Boolean()),
      durationMs: Type.Number(),
      errors: Type.Optional(Type.Array(TestError)),
    }),
  ),
  output: Type.Optional(Type.String()),
})

/** A `recycle` is done: the workspaces are clean and the executor is a new one. */
export const Recycled = Type.Object({ type: Type.Literal('recycled'), seq: Type.Number(), id: Type.Number() })

/** It will take no more work and leave when it is done. */
export const Draining = Type.Object({ type: Type.Literal('draining'), seq: Type.Number(), why: Type.String() })

export const WorkerMessage = Type.Union([
  Hello,
  Heartbeat,
  Started,
  Reported,
  Ended,
  Live,
  Draining,
  Recycled,
  CapabilitiesMessage,
])
export type WorkerMessage = Type.Static<typeof WorkerMessage>
export type Hello = Type.Static<typeof Hello>
export type Started = Type.Static<typeof Started>
export type Reported = Type.Static<typeof Reported>
export type Ended = Type.Static<typeof Ended>
export type Live = Type.Static<typeof Live>

/** Answer to `hello`. Held batches that are not in `keep` are stale: kill them, forget their reports. */
export type Welcome = {
  readonly type: 'welcome'
  readonly epoch: number
  readonly heartbeatMs: number
  readonly leaseMs: number
  /** Without a `beat` for a heartbeat sent within so long, the worker ends what it runs: its lease is about to be given up. */
  readonly fenceMs: number
  readonly keep: readonly string[]
  /** How many coordinators the cluster has; absent = 1. */
  readonly coordinators?: number
  /** Messages beyond those of the protocol's version that it takes. */
  readonly understands?: readonly 'capabilities'[]
}

export type Assign = {
  readonly type: 'assign'
  readonly batch: string
  readonly token: number
  readonly run: string
  readonly framework: string
  readonly cwd: string
  readonly workspace:
    | { readonly type: 'in-place'; readonly host: string }
    | { readonly type: 'travel'; readonly manifest: string; readonly setup?: string }
    | { readonly type: 'none' }
  readonly context: string
  readonly paths: readonly string[]
  readonly args: readonly string[]
  /** These tasks are all of the run's, and the run's are all that the framework would run. */
  readonly complete: boolean
  readonly tasks: readonly number[]
  readonly files: readonly string[]
  readonly cpus: number
  /** Ids of the worker's GPUs that the batch may use; absent = none. */
  readonly gpus?: readonly string[]
  /** Memory that is reserved for it. */
  readonly memoryBytes?: number
  readonly taskTimeoutMs: number
}

export type CoordinatorMessage =
  | Welcome
  | Assign
  /** `drainMs`: tasks that run now may finish first, for so long at most; none = stop now. */
  | { readonly type: 'cancel'; readonly batch: string; readonly why: string; readonly drainMs?: number }
  /** Everything up to and including `seq` is durable (or refused as stale). */
  | { readonly type: 'ack'; readonly seq: number }
  | { readonly type: 'drain'; readonly why: string }
  /** Somebody else leads now, over the same connection: say hello again. What follows is only valid after the next welcome. */
  | { readonly type: 'greet' }
  /** The leader, known to lead, has read heartbeat `n`. */
  | { readonly type: 'beat'; readonly n: number; readonly coordinators?: number }
  /** When nothing runs: clean the workspaces, restart the executor, then send `recycled` with this id. */
  | { readonly type: 'recycle'; readonly id: number; readonly why: string }
  /** It will not be accepted; the worker exits with what is said. */
  | { readonly type: 'refused'; readonly why: string }

/**
 * The private context of a run (`GET /api/v1/runs/:run/context`): what a worker needs to start the
 * framework and the log must never hold.
 */
export const RunContext = Type.Object({
  env: Type.Record(Type.String(), Type.String()),
  /** The runner's Detection, as found on the caller's host. */
  detection: Type.Unknown(),
  /** The `command` suite of the configuration, if it is one. */
  suite: Type.Optional(Type.Unknown()),
})
export type RunContext = Type.Static<typeof RunContext>

/** A workspace as content: what travels. Paths are POSIX, relative to the root, never leaving it. */
export const Manifest = Type.Object({
  version: Type.Literal(1),
  /** Names the workspace over time, so that a worker updates in place: a hash of repository and caller's root. */
  name: Type.String(),
  entries: Type.Array(
    Type.Union([
      Type.Object({
        path: Type.String(),
        type: Type.Literal('file'),
        hash: Type.String(),
        bytes: Type.Number(),
        executable: Type.Boolean(),
      }),
      Type.Object({ path: Type.String(), type: Type.Literal('symlink'), target: Type.String() }),
    ]),
  ),
})
export type Manifest = Type.Static<typeof Manifest>
