/** Every limit of the core, named, with its default. The coordinator's configuration can override each. */
export type Limits = {
  /** A task whose worker or process was lost before it reported is run again this often. */
  readonly lostRetriesMax: number
  /** Batches of one run that end without any file having begun, in a row, before the rest is given up. */
  readonly barrenBatchesMax: number
  /** Tasks of one run. */
  readonly runTasksMax: number
  /** Tasks waiting in all runs; further submissions are refused. */
  readonly queuedTasksMax: number
  /** Tasks in one batch. */
  readonly batchTasksMax: number
  /** Finished runs kept in memory (history keeps all). */
  readonly finishedRunsMax: number
  /** Tasks of finished runs kept in memory. */
  readonly finishedTasksMax: number
  /** Failures outside any file that are kept per run. */
  readonly runErrorsMax: number
}

export const defaultLimits: Limits = {
  lostRetriesMax: 3,
  barrenBatchesMax: 3,
  runTasksMax: 1_000_000,
  queuedTasksMax: 2_000_000,
  batchTasksMax: 20_000,
  finishedRunsMax: 200,
  finishedTasksMax: 200_000,
  runErrorsMax: 20,
}
