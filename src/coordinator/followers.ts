/**
 * The leader's side of its links to the other coordinators: tells them that it is alive, takes their
 * writes and the frames of workers connected to them, and sends what is in no log (who is connected,
 * live messages) to those who want it.
 */
import type { Input } from '../core/input.ts'
import {
  peerProtocolVersion,
  type ConnectionId,
  type FollowerMessage,
  type InputResult,
  type LeaderMessage,
} from '../protocol/peer-messages.ts'
import type { Live } from '../protocol/worker-messages.ts'
import type { Taken } from './leader.ts'
import type { PeerLink } from './ports.ts'
import type { WorkerConnection } from './worker-sessions.ts'
import type { Upstream } from './gateway.ts'

export type FollowersOptions = {
  readonly epoch: number
  readonly position: () => number
  readonly take: (input: Input, done: (taken: Taken) => void) => void
  readonly openWorker: Upstream
  readonly connectedWorkers: () => readonly string[]
  readonly onSnapshotted: (position: number) => void
  readonly onSnapshotFailed: (why: string) => void
  readonly nowMs: () => number
}

/** A follower says how far it is four times a second; one that is silent for so long can't take over now. */
const silentMaxMs = 1000

export type FollowerView = { readonly member: string; readonly position: number; readonly history: number }

class Follower {
  readonly member: string
  position: number
  /** What its history has applied; until it says, nothing. */
  history = 0
  heardMs: number
  readonly watches = new Set<string>()
  readonly connections = new Map<ConnectionId, WorkerConnection>()
  readonly #link: PeerLink

  constructor(member: string, position: number, nowMs: number, link: PeerLink) {
    this.member = member
    this.heardMs = nowMs
    this.position = position
    this.#link = link
  }

  send(message: LeaderMessage): void {
    this.#link.send(message)
  }

  close(): void {
    this.#link.close()
  }
}

export class Followers {
  readonly #options: FollowersOptions
  readonly #followers = new Set<Follower>()
  #snapshotting: Follower | undefined

  constructor(options: FollowersOptions) {
    this.#options = options
  }

  list(): FollowerView[] {
    return [...this.#followers].map(({ member, position, history }) => ({ member, position, history }))
  }

  /** After its `follow` message was read. */
  accept(
    follow: Extract<FollowerMessage, { type: 'follow' }>,
    link: PeerLink,
  ): { message(message: FollowerMessage): void; closed(): void } | undefined {
    if (follow.protocol !== peerProtocolVersion) {
      link.close()
      return undefined
    }
    // The same member again: its earlier link is broken, and it knows.
    for (const known of this.#followers) if (known.member === follow.member) this.#drop(known)
    const follower = new Follower(follow.member, follow.position, this.#options.nowMs(), link)
    this.#followers.add(follower)
    follower.send({ type: 'leading', epoch: this.#options.epoch, position: this.#options.position() })
    follower.send({ type: 'connected', workers: this.#options.connectedWorkers() })
    return {
      message: (message) => this.#message(follower, message),
      closed: () => this.#drop(follower),
    }
  }

  #drop(follower: Follower): void {
    if (!this.#followers.delete(follower)) return
    for (const connection of follower.connections.values()) connection.closed()
    follower.connections.clear()
    if (this.#snapshotting === follower) this.#snapshotFailed('the coordinator that made it is away')
    follower.close()
  }

  #message(follower: Follower, message: FollowerMessage): void {
    follower.heardMs = this.#options.nowMs()
    switch (message.type) {
      case 'at':
        follower.position = message.position
        follower.history = message.history
        return
      case 'input': {
        const { id, input } = message
        return this.#options.take(input, (taken) =>
          follower.send({ type: 'done', id, result: resultOf(taken, this.#options.position()) }),
        )
      }
      case 'opened':
        return this.#opened(follower, message.connection)
      case 'frame':
        return follower.connections.get(message.connection)?.message(message.text)
      case 'closed': {
        const connection = follower.connections.get(message.connection)
        follower.connections.delete(message.connection)
        return connection?.closed()
      }
      case 'watch':
        if (message.on) follower.watches.add(message.run)
        else follower.watches.delete(message.run)
        return
      case 'snapshotted':
        if (this.#snapshotting !== follower) return
        this.#snapshotting = undefined
        return this.#options.onSnapshotted(message.position)
      case 'snapshot-failed':
        if (this.#snapshotting === follower) this.#snapshotFailed(message.why)
        return
      default:
    }
  }

  #opened(follower: Follower, connection: ConnectionId): void {
    const worker = this.#options.openWorker({
      send: (text) => follower.send({ type: 'frame', connection, text }),
      close: (code, reason) => {
        follower.connections.delete(connection)
        follower.send({ type: 'close', connection, code, reason })
      },
    })
    follower.connections.set(connection, worker)
  }

  alive(): void {
    for (const follower of this.#followers) follower.send({ type: 'alive', position: this.#options.position() })
  }

  unsure(): void {
    for (const follower of this.#followers) follower.send({ type: 'unsure' })
  }

  connections(came: readonly string[], went: readonly string[]): void {
    for (const follower of this.#followers) follower.send({ type: 'connections', came, went })
  }

  live(run: string, worker: string, message: Live): void {
    for (const follower of this.#followers) {
      if (follower.watches.has(run)) follower.send({ type: 'live', run, worker, message })
    }
  }

  /** Who would lead next: the one named, or of those that don't leave the one that is furthest. Undefined when there is none. */
  heir(member: string | undefined, leaving: ReadonlySet<string> = new Set()): FollowerView | undefined {
    let best: Follower | undefined
    const heardAfterMs = this.#options.nowMs() - silentMaxMs
    for (const follower of this.#followers) {
      if (follower.heardMs < heardAfterMs) continue
      if (member === undefined ? leaving.has(follower.member) : follower.member !== member) continue
      if (!best || follower.position > best.position) best = follower
    }
    return best
  }

  yieldTo(member: string, position: number): void {
    for (const follower of this.#followers) {
      if (follower.member === member) follower.send({ type: 'yield', epoch: this.#options.epoch, position })
    }
  }

  /** Asks the one that is furthest to make a snapshot; false when nobody can, or one is being made. */
  requestSnapshot(): boolean {
    const heir = this.heir(undefined)
    if (!heir || this.#snapshotting) return false
    for (const follower of this.#followers) if (follower.member === heir.member) this.#snapshotting = follower
    this.#snapshotting!.send({ type: 'snapshot' })
    return true
  }

  #snapshotFailed(why: string): void {
    this.#snapshotting = undefined
    this.#options.onSnapshotFailed(why)
  }

  /** It leads no more: whoever followed is told whom to follow. */
  close(epoch: number, owner: string): void {
    for (const follower of this.#followers) {
      follower.send({ type: 'not-leading', epoch, owner })
      // Its workers' conversations were with sessions that are gone.
      follower.connections.clear()
      follower.close()
    }
    this.#followers.clear()
  }
}

function resultOf(taken: Taken, position: number): InputResult {
  switch (taken.type) {
    case 'ok':
      return { type: 'ok', position: taken.position, changed: taken.events.length > 0 }
    case 'refused':
      return { type: 'refused', code: taken.error.code, message: taken.error.message, position }
    default:
      return {
        type: 'unavailable',
        code: taken.error.code,
        message: taken.error.message,
        undecided: taken.undecided,
        ...(taken.error.retryAfterMs === undefined ? {} : { retryAfterMs: taken.error.retryAfterMs }),
        ...(taken.error.hint === undefined ? {} : { hint: taken.error.hint }),
      }
  }
}
