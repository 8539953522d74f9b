/**
 * What the coordinators of a cluster say to each other, as JSON lines, one or more to a text frame of one
 * WebSocket (`/api/v1/peer`): a follower dials whoever leads. Nothing here carries truth: that is in the log.
 * A message that is lost costs time (a link is dialled again, a hole in the tail is read), never a fact.
 */
import type { Input } from '../core/input.ts'
import type { Live } from './worker-messages.ts'

export const peerProtocolVersion = 1

/** Of a worker's connection to a follower, chosen by the follower; unique for the life of the link. */
export type ConnectionId = number

export type FollowerMessage =
  /** First. `epoch`: whom it takes for the leader. */
  | {
      readonly type: 'follow'
      readonly protocol: number
      readonly member: string
      readonly epoch: number
      readonly position: number
    }
  /** How far it has applied the log, and its history; now and then. */
  | { readonly type: 'at'; readonly position: number; readonly history: number }
  /** A write made here. Answered by `done` with the same id, or not at all when the leader goes away: then the outcome is unknown. */
  | { readonly type: 'input'; readonly id: number; readonly input: Input }
  /** A worker's connection: it opened, it said something, it closed. */
  | { readonly type: 'opened'; readonly connection: ConnectionId }
  | { readonly type: 'frame'; readonly connection: ConnectionId; readonly text: string }
  | { readonly type: 'closed'; readonly connection: ConnectionId }
  /** Whether somebody here watches the run, and so wants its unlogged messages. */
  | { readonly type: 'watch'; readonly run: string; readonly on: boolean }
  /** From a third coordinator that no longer hears the leader of `epoch`: does this one? */
  | { readonly type: 'ask'; readonly epoch: number }
  | { readonly type: 'snapshotted'; readonly position: number; readonly bytes: number }
  | { readonly type: 'snapshot-failed'; readonly why: string }

export type InputResult =
  /** Durable; `position` is that of its entry, or of the last one when it changed nothing. */
  | { readonly type: 'ok'; readonly position: number; readonly changed: boolean }
  /** In view of the log up to `position`. */
  | { readonly type: 'refused'; readonly code: string; readonly message: string; readonly position: number }
  /** `undecided`: it may turn out to be in the log. */
  | {
      readonly type: 'unavailable'
      readonly code: string
      readonly message: string
      readonly undecided: boolean
      readonly retryAfterMs?: number
      readonly hint?: string
    }

export type LeaderMessage =
  | { readonly type: 'leading'; readonly epoch: number; readonly position: number }
  /** Another leads, as far as it knows. */
  | { readonly type: 'not-leading'; readonly epoch: number; readonly owner: string }
  /** Answer to `ask`: it leads, or has heard from the leader just now. */
  | { readonly type: 'heard'; readonly epoch: number; readonly heard: boolean }
  /** From the main loop, every heartbeatMs. */
  | { readonly type: 'alive'; readonly position: number }
  /** Instead, while the log does not tell it whether it still leads: the link is whole, and that is all. */
  | { readonly type: 'unsure' }
  | { readonly type: 'done'; readonly id: number; readonly result: InputResult }
  | { readonly type: 'frame'; readonly connection: ConnectionId; readonly text: string }
  | { readonly type: 'close'; readonly connection: ConnectionId; readonly code: number; readonly reason: string }
  /** Which workers are connected, to whichever coordinator: all of them, at first. */
  | { readonly type: 'connected'; readonly workers: readonly string[] }
  /** Who has come and who has gone since. */
  | { readonly type: 'connections'; readonly came: readonly string[]; readonly went: readonly string[] }
  | { readonly type: 'live'; readonly run: string; readonly worker: string; readonly message: Live }
  /** Leadership is handed over: claim it now, from this epoch, once this position is applied. */
  | { readonly type: 'yield'; readonly epoch: number; readonly position: number }
  | { readonly type: 'snapshot' }

export type PeerMessage = FollowerMessage | LeaderMessage
