/**
 * The contract of a reporter: what a person or a program sees of a run. `muster run` feeds every
 * chosen reporter the same messages in the same order; a reporter never talks to the coordinator and
 * never decides anything. People's reporters write to stderr, data goes to stdout or into files.
 *
 * Order of calls: `start` once, before the run is submitted (it may throw: an output that can't be
 * written is said now, not after an hour of tests); `message` per feed message; `finish` once, when
 * the run is over; `close` once and last in every case, also after an exception or Ctrl-C.
 */
import type { FeedMessage, RunView, TaskRecord } from '../../protocol/run-view.ts'
import { digestRecords } from '../../reports/digest.ts'
import type { Digest } from '../../reports/digest.ts'

/** What is known before the run is submitted. */
export type RunInfo = {
  readonly framework: string
  readonly frameworkVersion: string
  /** Shown when it differs from the framework's name. */
  readonly suite?: string
  /** Tasks (files) of the run. */
  readonly planned: number
  /** Where it runs, for people: `this host (2 CPUs)`, `http://ci:7357 (4 workers, 32 CPUs)`. */
  readonly where: string
  readonly predictedMs?: number
  /** Share of files with a duration from history, 0..1. */
  readonly knownRatio?: number
}

/** A finished run. `records()` may be called by every reporter; each call reads from the start, in index order. */
export type RunSummary = Digest & {
  readonly run: RunView
  readonly exitCode: number
  /** Where it ran and why, when that isn't where it was meant to. */
  readonly place?: string
  records(): AsyncIterable<TaskRecord>
}

export interface Reporter {
  start?(info: RunInfo): void | Promise<void>
  message(message: FeedMessage): void
  finish(summary: RunSummary): void | Promise<void>
  close?(): void | Promise<void>
}

/** One pass over the records for what all reporters need. */
export async function summarise(
  run: RunView,
  exitCode: number,
  records: () => AsyncIterable<TaskRecord>,
  place?: string,
): Promise<RunSummary> {
  return { ...(await digestRecords(records())), run, exitCode, records, ...(place === undefined ? {} : { place }) }
}
