/** Every limit of the core, named, with its default. The coordinator's configuration can override each. */
export type Limits = {
  /** A task whose worker or process was lost before it reported is run again this often. */
  readonly lostRetriesMax: number
  /** How long a task waits for a worker that it doesn't avoid while none is connected. */
  readonly avoidWaitMs: number
  /** Workers, hosts or classes that one task avoids; beyond, the oldest are forgotten. */
  readonly avoidMax: number
  /** How long a worker that is being recycled takes no work, at most. */
  readonly recycleMaxMs: number
  /** Time from one recycling of a worker to the next, at least. */
  readonly recycleEveryMs: number
  /** Kinds of failures whose recoveries are counted; beyond, the one not seen for longest is forgotten. */
  readonly recoveryKindsMax: number
  /** Tries per kind and level after which the counts are halved, so that they follow what changes. */
  readonly recoveryTriesMax: number
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
  /** Dead letters kept; the oldest are dropped. */
  readonly deadLettersMax: number
  /** Dead letters older than this are dropped. */
  readonly deadLetterAgeMaxMs: number
  /** A worker's breaker opens at so many failed batches … */
  readonly workerBreakerFailuresMin: number
  /** … that are at least this share of its batches … */
  readonly workerBreakerRatePercent: number
  /** … within this time (of breakers: at most ten minutes), for this long the first time. */
  readonly workerBreakerWindowMs: number
  readonly workerBreakerCoolDownMs: number
  /** Likewise for a class of tasks, whose failures must come from so many workers. */
  readonly classBreakerFailuresMin: number
  readonly classBreakerRatePercent: number
  readonly classBreakerWindowMs: number
  readonly classBreakerCoolDownMs: number
  readonly classBreakerWorkersMin: number
  /** Tasks that wait so long behind their class's breaker are lost. */
  readonly classBreakerWaitMaxMs: number
  /** Likewise for calls to something outside. */
  readonly integrationBreakerFailuresMin: number
  readonly integrationBreakerRatePercent: number
  readonly integrationBreakerWindowMs: number
  readonly integrationBreakerCoolDownMs: number
  /** Cool-downs double each time, up to this. */
  readonly breakerCoolDownMaxMs: number
  /** Batches (or calls) at once that try whether a half-open breaker can close, and tasks of such a batch. */
  readonly breakerProbesMax: number
  readonly breakerProbeTasksMax: number
}

export const defaultLimits: Limits = {
  lostRetriesMax: 3,
  avoidWaitMs: 30_000,
  avoidMax: 8,
  recycleMaxMs: 30_000,
  recycleEveryMs: 600_000,
  recoveryKindsMax: 100,
  recoveryTriesMax: 500,
  barrenBatchesMax: 3,
  runTasksMax: 1_000_000,
  queuedTasksMax: 2_000_000,
  batchTasksMax: 20_000,
  finishedRunsMax: 200,
  finishedTasksMax: 200_000,
  runErrorsMax: 20,
  deadLettersMax: 10_000,
  deadLetterAgeMaxMs: 30 * 24 * 3_600_000,
  workerBreakerFailuresMin: 3,
  workerBreakerRatePercent: 50,
  workerBreakerWindowMs: 300_000,
  workerBreakerCoolDownMs: 30_000,
  classBreakerFailuresMin: 6,
  classBreakerRatePercent: 80,
  classBreakerWindowMs: 300_000,
  classBreakerCoolDownMs: 30_000,
  classBreakerWorkersMin: 2,
  classBreakerWaitMaxMs: 600_000,
  integrationBreakerFailuresMin: 5,
  integrationBreakerRatePercent: 50,
  integrationBreakerWindowMs: 60_000,
  integrationBreakerCoolDownMs: 5_000,
  breakerCoolDownMaxMs: 600_000,
  breakerProbesMax: 1,
  breakerProbeTasksMax: 4,
}
