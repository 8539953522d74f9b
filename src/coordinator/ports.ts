/**
 * What a coordinator's synchronous part (leader loop, worker sessions, its seat in a cluster) needs
 * from the world, as calls with a callback: no promises, so that the simulator can run the same code
 * on a virtual clock with a modelled log and network. Every callback is called exactly once, later.
 */
import type { AppendResult, Entry, Head, Leadership, ReadResult, Snapshot } from '../log/log.ts'
import type { PeerMessage } from '../protocol/peer-messages.ts'

export type AppendOutcome =
  | AppendResult
  /** Nobody knows whether it was written. The same bytes may be sent again to the same position. */
  | { readonly type: 'unknown'; readonly why: string; readonly code: 'log_failed' | 'disk_full' }

/** An `undefined` answer: it failed or nobody knows; ask again. */
export type LogPort = {
  readonly append: (epoch: number, position: number, bytes: Uint8Array, done: (outcome: AppendOutcome) => void) => void
  /** Only while `fromEpoch` is the newest. `lost`: somebody else claimed. */
  readonly claim: (fromEpoch: number, owner: string, done: (head: Head | 'lost' | undefined) => void) => void
  readonly leadership: (done: (leadership: Leadership | undefined) => void) => void
  readonly head: (done: (head: Head | undefined) => void) => void
  readonly read: (from: number, maxBytes: number, done: (result: ReadResult | undefined) => void) => void
  /** The newest that verifies; `none` when there is none. */
  readonly snapshot: (done: (snapshot: Snapshot | 'none' | undefined) => void) => void
  /** Hints from now on; the returned function ends them. */
  readonly tail: (
    from: number,
    handlers: {
      readonly entries: (entries: readonly Entry[]) => void
      readonly claimed: (leadership: Leadership) => void
      readonly resumed: () => void
    },
  ) => () => void
}

/** One end of a connection between two coordinators. */
export interface PeerLink {
  send(message: PeerMessage): void
  close(): void
}

export interface PeerLinkHandlers {
  opened(): void
  message(message: PeerMessage): void
  /** Once. `refused`: the host answered and nobody listens there, so that process is gone. */
  closed(refused: boolean): void
}

export interface PeerPort {
  dial(address: string, handlers: PeerLinkHandlers): PeerLink
}

/** A worker's connection, as its coordinator sees it. */
export interface WorkerSocket {
  send(text: string): void
  close(code: number, reason: string): void
}
