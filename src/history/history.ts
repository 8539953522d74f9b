/**
 * The log projected into DuckDB, in a process of its own: one owner of the file, and a heavy query
 * can't stall the coordinator. It stores the position of the last entry it has applied in the same
 * transaction as the rows (exactly once), so it can be deleted and filled again from the log.
 */
import type { Basis } from '../analysis/suite-durations.ts'
import type { KeptOutcome } from './duration-models.ts'

export type Estimates = {
  /** Reference milliseconds per file, same order as asked; null = nothing is known that would tell. */
  readonly durationsMs: readonly (number | null)[]
  /** Where each comes from: `history` is the file's own. */
  readonly bases: readonly Basis[]
  /** Typical start-up of one framework process, in reference milliseconds; null = nothing is known. */
  readonly startupMs: number | null
}

/** What a submission can say of files beyond their names. */
export type AboutFiles = {
  readonly framework?: string
  /** Sizes in bytes, same order; null = not known. */
  readonly bytes?: readonly (number | null)[]
}

export type FileEstimate = {
  readonly suite: string
  readonly file: string
  /** The one that is used. */
  readonly ms: number
  readonly simpleMs: number
  /** Null: it isn't used. */
  readonly learnedMs: number | null
  /** How many the simple one is made of. */
  readonly durations: number
}

export type StartupRow = {
  readonly framework: string
  readonly host: string
  /** What people call its worker. */
  readonly name: string
  readonly startupMs: number
  readonly batches: number
}

/** How well durations of a project are predicted; figures are of history that the models had not seen. */
export type PredictRow = Omit<KeptOutcome, 'model'> & {
  readonly project: string
  readonly startups: readonly StartupRow[]
  /** When asked for. */
  readonly files?: readonly FileEstimate[]
}

export type RunRow = {
  readonly run: string
  readonly project: string
  readonly suite: string
  readonly framework: string
  readonly verdict: string | null
  readonly planned: number
  readonly tests: {
    readonly passed: number
    readonly failed: number
    readonly flaky: number
    readonly skipped: number
    readonly total: number
  }
  readonly submittedBy: string
  readonly createdAtMs: number
  readonly wallMs: number | null
  readonly lowerBoundMs: number | null
}

export type TestRow = {
  readonly project: string
  readonly suite: string
  readonly file: string
  readonly name: string
  readonly runs: number
  readonly failures: number
  readonly flakes: number
  readonly medianMs: number
  readonly p95Ms: number
  readonly lastStatus: string
  readonly lastRun: string
  readonly lastAtMs: number
}

export type AuditRow = {
  readonly position: number
  readonly atMs: number
  readonly run: string | null
  readonly type: string
  readonly who: string
  readonly why: string
  /** The event, as JSON. */
  readonly event: string
}

export type RecordedRow = {
  readonly run: string
  readonly who: string
  readonly createdAtMs: number
  readonly startedAtMs: number | null
  readonly endedAtMs: number | null
  /** Of its processes, on the reference machine. */
  readonly startupMs: number | null
  /** What was done with it: submitted, extended, sealed, paused, resumed, prioritised, cancelled; oldest first. */
  readonly events: readonly AuditRow[]
  /** File, estimate, and what all its attempts took on the reference machine; absent for runs that were said to be known. */
  readonly files?: readonly (readonly [file: string, estimateMs: number | null, tookMs: number | null])[]
  /** Attempts of files that took more than one, or one that didn't pass: task, outcome, time and failed tests, in their order. */
  readonly tries: readonly (readonly [task: number, outcome: string, ms: number, failedTests?: number])[]
}

export type RecordedRows = {
  /** Oldest first. */
  readonly runs: readonly RecordedRow[]
  /** How many more there are since then. */
  readonly beyond: number
}

export interface History extends AsyncDisposable {
  /** Position of the last entry applied; feed from the next one on. */
  readonly position: number
  /** Hands over a committed entry (core's encoded EntryBody); resolves once it is queued, applies in the background, in order. Applies back-pressure when far behind. */
  feed(position: number, bytes: Uint8Array): Promise<void>
  /** Resolves with the applied position when everything fed so far is in the database. */
  settled(): Promise<number>
  estimates(project: string, suite: string, files: readonly string[], about?: AboutFiles): Promise<Estimates>
  /** Of one project, or of all that history knows. */
  predict(query: { readonly project?: string; readonly files?: boolean }): Promise<PredictRow[]>
  runs(query: { readonly project?: string; readonly limit: number }): Promise<RunRow[]>
  tests(query: {
    readonly project?: string
    readonly order: 'slowest' | 'flaky' | 'failed'
    readonly limit: number
  }): Promise<TestRow[]>
  /** Files whose last attempt in the newest finished run of the project and suite failed or timed out or was lost. */
  lastFailed(project: string, suite: string): Promise<string[]>
  audit(run: string): Promise<AuditRow[]>
  /** When workers joined, were drained and left, oldest first, up to then: the newest `limit`. */
  workerEvents(query: { readonly untilMs: number; readonly limit: number }): Promise<AuditRow[]>
  /** Which schedulers were chosen, oldest first, up to then: the newest `limit`. */
  schedulerChoices(query: { readonly untilMs: number; readonly limit: number }): Promise<AuditRow[]>
  /** Runs that were submitted since then: the newest, up to so many runs and tasks together. `known`: their files aren't wanted. */
  recordedRuns(query: {
    readonly sinceMs: number
    readonly from?: string
    readonly runsMax: number
    readonly tasksMax: number
    readonly known: readonly string[]
  }): Promise<RecordedRows>
  /** Copies the database into a new file, whole, and answers the position that it has; for another coordinator to begin with. */
  copy(to: string): Promise<number>
}
