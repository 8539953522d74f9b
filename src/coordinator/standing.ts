/**
 * What a coordinator is at this moment, for whoever watches from outside: probes, metrics, the log of
 * the program. Plain data, cheap enough to be asked for with every probe. Leaves out why something is
 * degraded: that is `health()`, whose words may name paths and hosts and so need a token.
 */
export type Standing = {
  /** Which coordinator this is; the owner of its epochs. */
  readonly coordinator: string
  readonly role: 'leader' | 'follower'
  /** The newest leadership it knows of. */
  readonly epoch: number
  /** Of the last entry it has applied. */
  readonly position: number
  /** Of the last entry there is, as far as it knows. */
  readonly headPosition: number
  /** How long it has not been in step with the leader; 0 for the leader itself. */
  readonly behindMs: number
  /** False while entries can't be written, whoever ought to write them. */
  readonly logWritable: boolean
  /** Live bytes of a shared log against its budget: 1 = full. Undefined for a log of one coordinator's own. */
  readonly logFill: number | undefined
  /** Entries that history has not taken yet; undefined without history. */
  readonly historyBehind: number | undefined
}

/** Shown without a token: each reason is a short phrase that names no path, host, run or person. */
export type Readiness = { readonly ready: boolean; readonly reasons: readonly string[] }
