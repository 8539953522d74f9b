/**
 * How fast a cluster notices and acts. Safety rests on none of these: only on the log's fence. They
 * trade the length of a failover against needless ones.
 */
export type ClusterTimes = {
  /** The leader says so often that it is alive, from its main loop. */
  readonly heartbeatMs: number
  /** A leader that is silent for so long is suspected. */
  readonly suspicionMs: number
  /** How long the log's head is watched, and the others are asked, before a suspected leader is replaced. */
  readonly guardMs: number
  /** How long is waited for the others' answers, should they be slow: whoever is slow to be reached must not depose everybody. */
  readonly answerMs: number
  /** Between the first and the second that may take over, and so on. */
  readonly staggerMs: number
  readonly redialMs: number
  /** A claim or a question to the log whose answer got lost is repeated after this. */
  readonly againMs: number
  /** How long a handed-over leadership may take before it is taken back. */
  readonly transferMs: number
  /** How long a write waits for somebody to lead. */
  readonly submitWaitMs: number
}

export const defaultClusterTimes: ClusterTimes = {
  heartbeatMs: 50,
  suspicionMs: 400,
  guardMs: 60,
  answerMs: 1000,
  staggerMs: 40,
  redialMs: 50,
  againMs: 20,
  transferMs: 1000,
  submitWaitMs: 10_000,
}
