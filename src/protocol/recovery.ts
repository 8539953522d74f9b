/** What the API shows of recoveries: how each level did, by kind of failure, with what it cost. */
export type RecoveryLevelView = {
  readonly level: 'in-place' | 'fresh-process' | 'other-worker' | 'recycle-worker' | 'isolate'
  /** Attempts made at this level; for `isolate`, tasks given up. Lost workers and failed starts count once a batch. */
  readonly tried: number
  readonly worked: number
  /** Means of one try; null when none was made or, for CPU and memory, measured. */
  readonly wallMs: number | null
  readonly cpuMs: number | null
  readonly memoryBytes: number | null
}

export type RecoveryKindView = {
  readonly cause: 'failed' | 'timed-out' | 'lost' | 'crashed' | 'infrastructure'
  readonly framework: string
  readonly lastMs: number
  readonly levels: readonly RecoveryLevelView[]
}

export type RecoveryView = {
  /** The kind seen last comes first. */
  readonly kinds: readonly RecoveryKindView[]
  /** Workers that take no work because they clean up and start afresh. */
  readonly recycling: readonly { readonly worker: string; readonly sinceMs: number; readonly untilMs: number }[]
}
