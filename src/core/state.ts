/**
 * The state that the log folds into: runs with their tasks, batches under way, workers. Mutable and
 * owned by the leader loop; everybody else gets views. Indexes and sums that `apply` keeps beside
 * the entities (counts per state, queued work) exist so that a decision never walks all tasks.
 */
import type {
  Avoid,
  BatchId,
  Capabilities,
  Counts,
  Grant,
  Lock,
  Need,
  RecoveryLevel,
  RunId,
  RunSpec,
  RunState,
  TaskIndex,
  TaskState,
  Verdict,
  WorkerId,
} from './entities.ts'
import { emptyBreakers, type Breakers } from './breaker-state.ts'
import { emptyLetters, type Letters, type Mishap } from './letter-state.ts'
import { defaultLimits, type Limits } from './limits.ts'
import { emptyQueueChanges, emptySpentChanges, type QueueChanges, type SpentChanges } from './queue-changes.ts'
import type { KindTable } from './recovery-table.ts'
import { noShares, type Shares } from './shares.ts'

/** What a task carries from the attempts that did not count. Few tasks have one. */
export type Again = {
  /** Of its failures, those that ran out of time; of its losses, those where no process started. */
  readonly timeOuts: number
  readonly failedStarts: number
  /** What the next attempt tries, for which kind of failure. */
  readonly kind: string
  readonly level: RecoveryLevel | undefined
  /** The highest level so far, and how many attempts it was given. */
  readonly highest: RecoveryLevel | undefined
  readonly tries: number
  readonly notBeforeMs: number
  readonly avoid: Avoid | undefined
  readonly on: { readonly worker: WorkerId; readonly untilMs: number } | undefined
  /** It is queued and its time has not come: counted in `laterCount`. */
  later: boolean
}

/** A moment, and the tasks that become placeable then; none = something else changes, look again. */
export type Wake = { readonly atMs: number; readonly tasks: readonly TaskIndex[] }

/** When something of a group may become placeable. */
export type Moment = { readonly atMs: number; readonly run: RunId; readonly kind: number }

/** A task of a batch that is tried again at some level, and how that went; undefined = open. */
export type Retried = { readonly kind: string; readonly level: RecoveryLevel; worked: boolean | undefined }

/** A class only for its fixed shape: a million of these are held at once. */
export class Task {
  file: string
  state: TaskState = 'queued'
  /** Number of transitions so far. */
  version = 0
  /** Attempts begun (assigned). */
  attempts = 0
  /** Attempts that reported failure or ran out of time. */
  failures = 0
  /** Attempts that ended without a report, through no fault of the file. */
  losses = 0
  /** Attempts whose process died while it was among the suspects. */
  crashes = 0
  /** From history; -1 = nothing to go by. */
  estimateMs: number
  /** The file itself was never seen: its estimate is what others like it took. */
  guessed: boolean
  batch: BatchId | undefined = undefined
  /** Largest batch the next attempt may be part of; 0 = any. */
  batchMax = 0
  durationMs = 0
  counts: Counts | undefined = undefined
  why: string | undefined = undefined
  again: Again | undefined = undefined
  /** Its group: index of its need. */
  kind: number

  constructor(file: string, estimateMs: number, kind: number, guessed = false) {
    this.file = file
    this.estimateMs = estimateMs
    this.guessed = guessed
    this.kind = kind
  }
}

/** Tasks of one run that need the same of a worker: what batches are cut from. */
export type Group = {
  readonly kind: number
  readonly need: Need
  /** Indexes, longest first; entries before queueHead are gone, entries whose task isn't queued are skipped. */
  queue: TaskIndex[]
  queueHead: number
  /** Requeued tasks, taken before the queue. */
  again: TaskIndex[]
  /** Moments at which something here may become placeable, as a heap; see due.ts. */
  wakes: Wake[]
  /** Queued tasks whose time has not come. */
  laterCount: number
  queuedCount: number
  /** Estimated milliseconds of what is queued; unknown files count as `unknownMs`. */
  queuedMs: number
  readonly batches: Set<BatchId>
  /** What its batches still have without a report, in milliseconds; follows from them. */
  openMs: number
  /** Batches in a row that ended before any file began. */
  barren: number
  /** Workers that such batches were on, and that have reported nothing since. */
  barrenOn: WorkerId[]
}

/** Which tasks of a run wait for which. */
export type Dependencies = {
  /** For a blocked task: how many of those before it have not ended. */
  readonly open: Map<TaskIndex, number>
  /** For a task that has not ended: those that wait for it. */
  readonly dependents: Map<TaskIndex, TaskIndex[]>
}

/** One accepted report: where the results of these attempts are. */
export type Report = {
  readonly batch: BatchId
  readonly worker: WorkerId
  readonly atMs: number
  readonly results: string | undefined
  readonly tasks: readonly TaskIndex[]
  readonly outcomes: readonly ('passed' | 'failed' | 'skipped')[]
  readonly durationsMs: readonly number[]
}

export type RunWorker = { name: string; host: string; cpus: number; batches: number; tasks: number; busyMs: number }

export type Run = {
  readonly id: RunId
  readonly who: string
  readonly key: string | undefined
  spec: RunSpec
  state: RunState
  version: number
  priority: number
  open: boolean
  readonly createdAtMs: number
  startedAtMs: number | undefined
  endedAtMs: number | undefined
  verdict: Verdict | undefined
  why: string | undefined
  cancelled: { readonly who: string; readonly why: string; readonly drain: boolean } | undefined
  readonly tasks: Task[]
  /** By kind. */
  readonly groups: readonly Group[]
  dependencies: Dependencies | undefined
  /** Once it has finished, instead of them; see packDependencies. */
  pastDependencies: Uint32Array | undefined
  /** Runs that have to end before anything of it is placed. */
  after: RunId[]
  queuedCount: number
  queuedMs: number
  readonly byState: Record<TaskState, number>
  tests: { passed: number; failed: number; flaky: number; skipped: number; total: number }
  /** Failed tests, and one for each failed file without any: what `maxFailures` counts. */
  failureCount: number
  readonly batches: Set<BatchId>
  batchesEnded: number
  rerun: number
  errors: string[]
  /** Tasks whose file has durations of its own in history. */
  knownCount: number
  /** Of all its tasks, known and unknown: sum and longest. */
  expectedMs: number
  expectedLongestMs: number
  /** What a file without history is taken to need. */
  readonly unknownMs: number
  workMs: number
  longestMs: number
  startupMs: number | undefined
  readonly workers: Map<WorkerId, RunWorker>
  readonly reports: Report[]
  /** How batches ended that left tasks without a report; until the run is finished. */
  mishaps: Mishap[]
  readonly outputs: { readonly batch: BatchId; readonly worker: WorkerId; readonly blob: string }[]
  wallMs: number | undefined
  lowerBoundMs: number | undefined
}

export type Batch = {
  readonly id: BatchId
  readonly run: RunId
  readonly worker: WorkerId
  readonly token: number
  readonly cpus: number
  readonly kind: number
  readonly grant: Grant | undefined
  readonly tasks: readonly TaskIndex[]
  readonly assignedAtMs: number
  /** Some task of it has begun. */
  begun: boolean
  /** Tasks without a report yet, and the milliseconds they are expected to need. */
  open: number
  openMs: number
  /** What all its tasks were expected to need. */
  readonly expectedMs: number
  /** Those of its tasks that are tried again at some level; few batches have any. */
  readonly retried: Map<TaskIndex, Retried> | undefined
}

export type Worker = {
  readonly id: WorkerId
  name: string
  version: string
  capabilities: Capabilities
  draining: boolean
  /** It takes no work until it has been recycled, or until then. */
  recycling: { readonly id: number; readonly sinceMs: number; readonly untilMs: number } | undefined
  /** When it was last told to, and how long it took. */
  recycledAtMs: number
  recycledMs: number
  cpusUsed: number
  readonly batches: Set<BatchId>
  /** What its batches hold beside CPUs; follows from them. */
  readonly held: Held
  /** Affinities of what it ran, the newest last. */
  warm: string[]
}

export type Held = {
  memoryBytes: number
  readonly resources: Map<string, number>
}

/** Who uses a card, by its id. */
export type CardUse = { batches: number; exclusive: boolean; memoryBytes: number }

/** How many batches of a name (an anti-affinity, a spread, all of them) run on each host. */
export type Placed = Map<string, Map<string, number>>

/** What a project or a user has under way, and what it has had. */
export type Spent = {
  cpus: number
  gpus: number
  batches: number
  /** Of what runs now, as whole numbers: CPUs times the moment since which they are used; see spent.ts. */
  sinceCpuMs: number
  /** CPU-milliseconds of batches that ended, per slot of time, the newest first; see spent.ts. */
  slots: { atMs: number; cpuMs: number }[]
}

/** Of a machine with a suite: what was expected of it, and what it took. */
export type Aptitude = { expectedMs: number; actualMs: number }

export type ChosenScheduler = { readonly strategy: string; readonly config?: Readonly<Record<string, unknown>> }

export type SchedulerFault = {
  readonly kind: 'threw' | 'hung' | 'nonsense' | 'refused'
  readonly why: string
  readonly atMs: number
}

export type SchedulerFaults = {
  /** The newest, oldest first. */
  readonly recent: readonly SchedulerFault[]
  /** The default places instead, until somebody chooses it again. */
  readonly suspended: boolean
}

/** The client token of one user. */
export type UserToken = {
  readonly digest: string
  readonly user: string
  /** It may submit for other users, too. */
  readonly onBehalf?: true
  /** Absent = until it is taken back. */
  readonly untilMs?: number
  readonly madeAtMs: number
  readonly madeBy: string
}

export type State = {
  readonly limits: Limits
  /** Who may have how much; configuration, like the limits. */
  readonly shares: Shares
  /** What the log may hold by now; see format.ts. */
  format: number
  epoch: number
  lastToken: number
  /** Time of the last entry; time never runs backwards in here. */
  atMs: number
  queuedCount: number
  readonly queueChanges: QueueChanges
  readonly spentChanges: SpentChanges
  readonly runs: Map<RunId, Run>
  /** Ids of runs that may still need work, oldest first. */
  readonly active: Set<RunId>
  /** Ids of finished runs, oldest first, for retention. */
  readonly finished: RunId[]
  finishedTasks: number
  readonly keys: Map<string, RunId>
  readonly batches: Map<BatchId, Batch>
  /** Moments to come of all runs, as a heap; see due.ts. Follows from the groups' own. */
  readonly waking: { readonly moments: Moment[]; goneCount: number }
  /** How each recovery level did, by kind of failure; the kind last seen is last. */
  readonly recoveries: KindTable
  /** Recyclings so far, for their ids. */
  recycles: number
  readonly workers: Map<WorkerId, Worker>
  /** Grows whenever a worker comes, goes, drains or has other capabilities; not part of snapshots. */
  fleetVersion: number
  /** Those of them with CPUs to give. */
  readonly free: Set<WorkerId>
  /** Those of them that are being recycled. */
  readonly recycling: Set<WorkerId>
  /** Holders by name; follows from the batches. */
  readonly locks: Map<string, Map<BatchId, Lock>>
  /** Those of them that are held exclusively. */
  readonly lockedAlone: Set<string>
  readonly placed: Placed
  /** Cards in use, by host: several workers of one host offer the same ones. */
  readonly cards: Map<string, Map<string, CardUse>>
  /** By `project:NAME` and `user:NAME`. */
  readonly spent: Map<string, Spent>
  /** Runs that wait for a run, by that run. */
  readonly followers: Map<RunId, RunId[]>
  /** By suite and machine; the one last heard of is last. */
  readonly aptitudes: Map<string, Aptitude>
  /** By project; the empty name is for all others. */
  readonly schedulers: Map<string, ChosenScheduler>
  /** By strategy: what it did wrong since it was chosen last. */
  readonly schedulerFaults: Map<string, SchedulerFaults>
  /** Those that are good, by their ids, oldest first; some may have run out. */
  readonly userTokens: Map<string, UserToken>
  letters: Letters
  breakers: Breakers
}

export function emptyState(limits: Limits = defaultLimits, shares: Shares = noShares): State {
  return {
    limits,
    shares,
    format: 1,
    epoch: 0,
    lastToken: 0,
    atMs: 0,
    queuedCount: 0,
    queueChanges: emptyQueueChanges(),
    spentChanges: emptySpentChanges(),
    runs: new Map(),
    active: new Set(),
    finished: [],
    finishedTasks: 0,
    keys: new Map(),
    batches: new Map(),
    waking: { moments: [], goneCount: 0 },
    recoveries: new Map(),
    recycles: 0,
    workers: new Map(),
    fleetVersion: 0,
    free: new Set(),
    recycling: new Set(),
    locks: new Map(),
    lockedAlone: new Set(),
    placed: new Map(),
    cards: new Map(),
    spent: new Map(),
    followers: new Map(),
    aptitudes: new Map(),
    schedulers: new Map(),
    schedulerFaults: new Map(),
    userTokens: new Map(),
    letters: emptyLetters(),
    breakers: emptyBreakers(),
  }
}

/** Another state in the same object, which others hold. What is kept beside it must notice: its versions go on rising. */
export function replaceState(state: State, fresh: State): void {
  const { fleetVersion, queueChanges, spentChanges } = state
  Object.assign(state, fresh)
  state.fleetVersion += fleetVersion + 1
  state.queueChanges.from += queueChanges.from + queueChanges.runs.length + 1
  state.spentChanges.from += spentChanges.from + spentChanges.of.length + 1
}

export function emptyByState(): Record<TaskState, number> {
  return {
    queued: 0,
    blocked: 0,
    assigned: 0,
    running: 0,
    paused: 0,
    passed: 0,
    failed: 0,
    flaky: 0,
    skipped: 0,
    quarantined: 0,
    'timed-out': 0,
    cancelled: 0,
    lost: 0,
    'dead-lettered': 0,
  }
}

export function accounted(run: Run): number {
  const by = run.byState
  return (
    by.passed +
    by.failed +
    by.flaky +
    by.skipped +
    by.quarantined +
    by['timed-out'] +
    by.cancelled +
    by.lost +
    by['dead-lettered']
  )
}

/** Estimated milliseconds of one task, with the stand-in for files never seen. */
export function expectedMs(run: Run, task: Task): number {
  return task.estimateMs < 0 ? run.unknownMs : task.estimateMs
}

/** The same in whole parts of 1/1024 ms: sums of these are exact, in whatever order they are added to and taken from. */
export function bookedMs(run: Run, task: Task): number {
  return Math.round(expectedMs(run, task) * 1024) / 1024
}
