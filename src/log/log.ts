/**
 * The log: the only truth. One entry holds the events of every input that arrived while the append
 * before it was under way. Positions start at 1 and have no holes. A writer holds an epoch, gained
 * by `claim`; an append under an older epoch is refused, so a deposed leader can't write.
 * Backends: memory (tests, one-off runs), SQLite (one coordinator), etcd (several). All pass one conformance suite.
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

/** What a coordinator says of itself to the others of its cluster. */
export type MemberCard = {
  /** Made at the first start, kept in its directory. */
  readonly member: string
  readonly name: string
  /** Where the others and, by default, clients reach it: `http://host:port`. */
  readonly address: string
  readonly version: string
  readonly build: string
  /** Formats of events that it can read: up to this one. */
  readonly format: number
  /** It is about to leave, and must not lead. */
  readonly draining: boolean
  readonly startedAtMs: number
}

export type Leadership = { readonly epoch: number; readonly owner: string }

export interface TailHandlers {
  /** Entries as they were appended. May skip and repeat: the caller checks positions and reads what is missing. */
  entries(entries: readonly Entry[]): void
  /** Somebody claimed; may be late or repeated. */
  claimed(leadership: Leadership): void
  /** The hint stopped for a while and is back: entries may have been missed. */
  resumed(): void
}

export type EngineMember = {
  readonly name: string
  readonly endpoint: string
  readonly healthy: boolean
  readonly leader: boolean
  readonly version?: string
  readonly dbBytes?: number
  readonly problem?: string
}

export type EngineStatus = {
  readonly kind: 'etcd' | 'memory'
  readonly members: readonly EngineMember[]
  readonly quotaBytes?: number
  /** For people; empty when all is well. */
  readonly problems: readonly string[]
}

/**
 * A log that several coordinators share. `append` returns as soon as its outcome is known or its
 * deadline has passed (then MusterError log_failed: outcome unknown); the caller repeats the same bytes at the
 * same position. It never repeats by itself at another position, and never decides who leads.
 */
export interface SharedLog extends Log {
  /** As `claim`, but only while `epoch` is still the newest; undefined when somebody else has claimed. An own claim whose answer was lost is recognised when repeated. */
  claimFrom(epoch: number, owner: string): Promise<Head | undefined>
  /** Linearizable: who claimed last. Epoch 0 and owner '' when nobody ever did. */
  leadership(): Promise<Leadership>
  /** Calls back about what happens after position `from - 1`, until the returned function is called. A hint only. */
  tail(from: number, handlers: TailHandlers): () => void
  /** Shows this member to the others for as long as this process lives; called again, replaces its card. */
  announce(card: MemberCard): Promise<void>
  members(): Promise<readonly MemberCard[]>
  /** A small record shared by the cluster and written once: the value made by whoever asked first. */
  record(name: string, make: () => string): Promise<string>
  engine(): Promise<EngineStatus>
  /** Keys of blobs that the log itself needs (its snapshots): they must outlive any disuse. */
  namedBlobs(): Promise<readonly string[]>
  /** Live bytes of the log against its own budget, as last known: 1 = full, submissions must wait. */
  readonly fill: number
}
