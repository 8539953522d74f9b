/** What the ledger keeps of runs, tasks, attempts, batches and workers. */
import type { RunSpec } from '../../core/entities.ts'

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
