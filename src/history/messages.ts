/** What the coordinator's process and the history process say to each other over IPC. */
import type { ErrorCode } from '../protocol/errors.ts'
import type { AboutFiles, AuditRow, Estimates, PredictRow, RecordedRows, RunRow, TestRow } from './history.ts'

/** Handed to the process as its only argument, as JSON. */
export type ProcessOptions = {
  /** Folder of `history.duckdb`. */
  readonly directory: string
  /** Where per-test results lie; credentials, if it needs any, are in the environment. */
  readonly blobsLocation: string
  /** Which log is fed; each has a position of its own. */
  readonly source: string
  readonly memoryLimitMb: number
  /** Per-test rows are dropped after this many days. */
  readonly testsDays: number
  /** Runs, attempts, batches and the audit are dropped after this many days. */
  readonly runsDays: number
}

export type FedEntry = { readonly position: number; readonly bytes: Uint8Array }

/** Every question and the type of its answer. */
export type Questions = {
  estimates: {
    readonly ask: { readonly project: string; readonly suite: string; readonly files: readonly string[] } & AboutFiles
    readonly answer: Estimates
  }
  predict: { readonly ask: { readonly project?: string; readonly files?: boolean }; readonly answer: PredictRow[] }
  runs: { readonly ask: { readonly project?: string; readonly limit: number }; readonly answer: RunRow[] }
  tests: {
    readonly ask: { readonly project?: string; readonly order: 'slowest' | 'flaky' | 'failed'; readonly limit: number }
    readonly answer: TestRow[]
  }
  lastFailed: { readonly ask: { readonly project: string; readonly suite: string }; readonly answer: string[] }
  audit: { readonly ask: { readonly run: string }; readonly answer: AuditRow[] }
  workerEvents: { readonly ask: { readonly untilMs: number; readonly limit: number }; readonly answer: AuditRow[] }
  schedulerChoices: { readonly ask: { readonly untilMs: number; readonly limit: number }; readonly answer: AuditRow[] }
  recordedRuns: {
    readonly ask: {
      readonly sinceMs: number
      readonly from?: string
      readonly runsMax: number
      readonly tasksMax: number
      readonly known: readonly string[]
    }
    readonly answer: RecordedRows
  }
  /** Copies the database as it is now into a file; the answer is its position. */
  copy: { readonly ask: { readonly to: string }; readonly answer: number }
}
export type QuestionName = keyof Questions
export type Question = { [N in QuestionName]: { readonly name: N } & Questions[N]['ask'] }[QuestionName]

export type ToProcess =
  | { readonly type: 'feed'; readonly entries: readonly FedEntry[] }
  /** Apply what has been fed now, without waiting for more. */
  | { readonly type: 'flush' }
  | { readonly type: 'ask'; readonly id: number; readonly question: Question }
  | { readonly type: 'close' }

export type ProcessFailure = { readonly code: ErrorCode; readonly message: string; readonly hint?: string | undefined }

export type FromProcess =
  | { readonly type: 'ready'; readonly position: number }
  /** It can't start; it exits after this. */
  | { readonly type: 'failed'; readonly failure: ProcessFailure }
  /** Durable up to here. */
  | { readonly type: 'applied'; readonly position: number }
  | { readonly type: 'answer'; readonly id: number; readonly value: unknown }
  | { readonly type: 'refused'; readonly id: number; readonly failure: ProcessFailure }
  | { readonly type: 'warning'; readonly text: string }
