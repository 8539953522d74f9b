/**
 * The log: the only truth. One entry holds the events of every input that arrived while the append
 * before it was under way. Positions start at 1 and have no holes. A writer holds an epoch, gained
 * by `claim`; an append under an older epoch is refused, so a deposed leader can't write.
 * Backends: memory (tests, one-off runs) and SQLite; etcd later. All pass one conformance suite.
 */
export type Entry = {
  readonly position: number
  readonly epoch: number
  /** Opaque to the log. */
  readonly bytes: Uint8Array
}

export type Head = { readonly position: number; readonly epoch: number; readonly firstPosition: number }

export type AppendResult =
  | { readonly type: 'ok' }
  /** Another epoch has been claimed; nothing was written. */
  | { readonly type: 'fenced'; readonly epoch: number }
  /** The position is taken by an entry with other bytes. The same bytes again at the same position are `ok`. */
  | { readonly type: 'taken' }

export type ReadResult =
  | { readonly type: 'entries'; readonly entries: readonly Entry[] }
  /** The asked position has been trimmed; a snapshot at or above firstPosition - 1 must be loaded. */
  | { readonly type: 'trimmed'; readonly firstPosition: number }

export type Snapshot = {
  /** State after applying the entry at this position. */
  readonly position: number
  readonly bytes: Uint8Array
}

export interface Log extends AsyncDisposable {
  /** Compare-and-set on the leader: succeeds and returns a larger epoch than any before. */
  claim(owner: string): Promise<Head>
  /** Durable when it resolves. `position` must be head + 1. Throws MusterError log_failed / disk_full when the medium fails; the outcome is then unknown and the same bytes may be appended again at the same position. */
  append(epoch: number, position: number, bytes: Uint8Array): Promise<AppendResult>
  /** Up to maxBytes (at least one entry if there is one), contiguous from `from`. */
  read(from: number, maxBytes: number): Promise<ReadResult>
  head(): Promise<Head>
  /** Stores a snapshot durably; keeps the newest two. */
  putSnapshot(epoch: number, snapshot: Snapshot): Promise<void>
  /** The newest snapshot that verifies (checksum), or undefined. */
  getSnapshot(): Promise<Snapshot | undefined>
  /** Drops entries below `below`; refused (assert) above the newest snapshot's position + 1. */
  trim(below: number): Promise<void>
  /** Bytes on the medium, for metrics and limits. */
  sizeBytes(): Promise<number>
}
