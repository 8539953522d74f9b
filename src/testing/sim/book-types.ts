/** What the ledger keeps of runs, tasks, attempts, batches and workers. */
import type { RunSpec } from '../../core/entities.ts'
import type { Limits } from '../../core/limits.ts'

export type BookAttempt = {
  /** From 1. */
  readonly number: number
  readonly batch: string
  readonly token: number
  readonly worker: string
  begun: boolean
  /** How it ended: a reported outcome, or why its batch ended. */
  ended: string | undefined
  reported: boolean
}

export type BookTask = {
  readonly file: string
  /** Something comes before it. */
  readonly after: boolean
  state: string
  batch: string | undefined
  batchMax: number
  readonly attempts: BookAttempt[]
  /** Causes of its requeuing, in order. */
  readonly requeued: string[]
  /** Crashes while nobody else was in its batch. */
  crashedAlone: number
  notBeforeMs: number
  why: string | undefined
}

export type BookRun = {
  readonly id: string
  readonly key: string | undefined
  readonly submittedAt: number
  readonly spec: RunSpec
  readonly tasks: BookTask[]
  paused: boolean
  open: boolean
  cancelled: boolean
  finishedAt: number | undefined
  verdict: string | undefined
  forgotten: boolean
  errors: number
}

export type BookBatch = {
  readonly id: string
  readonly run: string
  readonly worker: string
  readonly token: number
  readonly cpus: number
  readonly tasks: readonly number[]
  /** Position of its assignment, and of its end. */
  readonly assignedAt: number
  endedAt: number | undefined
  endedBy: string | undefined
}

export type BookWorker = {
  readonly id: string
  cpus: number
  cpusUsed: number
  draining: boolean
  readonly batches: Set<string>
  /** Position at which it joined, the last time. */
  readonly joinedAt: number
}

/** The ledger, as each part of it sees the whole. */
export interface Books {
  readonly limits: Limits
  /** Of the entry that is being read. */
  readonly position: number
  readonly atMs: number
  lastToken: number
  readonly runs: Map<string, BookRun>
  readonly batches: Map<string, BookBatch>
  readonly workers: Map<string, BookWorker>
  /** Idempotency key → run. */
  readonly keys: Map<string, string>
  /** Tasks whose attempt is over and whose fate this entry must still tell, as `run/index`. */
  readonly undecided: Set<string>
  readonly breakers: { assigned(run: BookRun, batch: BookBatch): void; ended(batch: string): void }
  /** Called for each task that comes to its end. */
  onTaskEnded: (run: BookRun, index: number) => void
  check(holds: boolean, check: string, words: () => string): void
}
