/**
 * A follower's link to the leader of one epoch: dials it and dials again, notices when it falls
 * silent or is gone, carries writes and workers' frames to it. It decides nothing: what silence means
 * is the seat's business.
 */
import type { Input } from '../core/input.ts'
import {
  peerProtocolVersion,
  type ConnectionId,
  type InputResult,
  type LeaderMessage,
  type PeerMessage,
} from '../protocol/peer-messages.ts'
import type { Clock } from '../stdx/clock.ts'
import type { Upstream } from './gateway.ts'
import type { PeerLink, PeerPort, WorkerSocket } from './ports.ts'
import type { ClusterTimes } from './cluster-times.ts'

export type LeaderLinkOptions = {
  readonly clock: Clock
  readonly peers: PeerPort
  readonly times: ClusterTimes
  readonly member: string
  readonly epoch: number
  readonly address: string
  readonly position: () => number
  readonly history: () => number
  /** The leader answers: from now on it takes writes and workers. */
  readonly onLinked: () => void
  readonly onUnlinked: () => void
  /** It is silent for too long, or (`gone`) its process is. */
  readonly onSuspect: (gone: boolean) => void
  /** It says that another leads. */
  readonly onOther: (epoch: number, owner: string) => void
  readonly onMessage: (message: LeaderMessage) => void
}

type Pending = (result: InputResult | undefined) => void

const atEveryMs = 250
/** A link on which nothing came for so many times `suspicionMs` is dead, though nobody has said so: TCP takes minutes. */
const deadTimes = 5

export class LeaderLink {
  readonly #options: LeaderLinkOptions
  #link: PeerLink | undefined
  #generation = 0
  #linked = false
  /** It said last that it doesn't know whether it leads. */
  #unsure = false
  #wasLinked = false
  #ended = false
  #heardMs: number
  /** From when on it is held against the leader that nothing is heard. */
  #trustedMs: number
  /** From when on it is held against the link. */
  #excusedMs: number
  #watchedMs: number
  #told = false
  #toldPositionMs = 0
  readonly #pending = new Map<number, Pending>()
  readonly #sockets = new Map<ConnectionId, WorkerSocket>()
  #lastId = 0

  constructor(options: LeaderLinkOptions) {
    this.#options = options
    this.#heardMs = options.clock.monotonicMs()
    this.#trustedMs = this.#heardMs
    this.#excusedMs = this.#heardMs
    this.#watchedMs = this.#heardMs
    this.#dial()
    this.#watch()
  }

  get linked(): boolean {
    return this.#linked
  }

  /** It has answered once: the address is right, and the way there was open. */
  get wasLinked(): boolean {
    return this.#wasLinked
  }

  /** Milliseconds since the leader last gave a sign of life. */
  get silentMs(): number {
    return this.#options.clock.monotonicMs() - this.#heardMs
  }

  #dial(): void {
    this.#generation += 1
    this.#excusedMs = this.#options.clock.monotonicMs()
    const generation = this.#generation
    const current = () => generation === this.#generation && !this.#ended
    const { member, epoch, position } = this.#options
    this.#link = this.#options.peers.dial(this.#options.address, {
      opened: () => {
        if (!current()) return
        this.send({ type: 'follow', protocol: peerProtocolVersion, member, epoch, position: position() })
      },
      message: (message) => {
        if (current()) this.#message(message as LeaderMessage)
      },
      closed: (refused) => {
        if (current()) this.#closed(refused)
      },
    })
  }

  #closed(refused: boolean): void {
    const was = this.#linked
    this.#unlink()
    if (this.#ended) return
    // A process that is gone refuses the next call at once; so it is asked without waiting.
    const waitMs = was ? 0 : this.#options.times.redialMs
    this.#link = undefined
    this.#generation += 1
    const generation = this.#generation
    this.#options.clock.after(waitMs, () => {
      if (!this.#ended && generation === this.#generation) this.#dial()
    })
    if (refused) this.#suspect(true)
  }

  /** The other end may never learn of it; whoever waits for an answer does. */
  #drop(): void {
    const link = this.#link
    this.#closed(false)
    link?.close()
  }

  #unlink(): void {
    if (!this.#linked) return
    this.#linked = false
    this.#sockets.clear()
    const pending = [...this.#pending.values()]
    this.#pending.clear()
    this.#options.onUnlinked()
    // Last: each may try again at once, elsewhere.
    for (const done of pending) done(undefined)
  }

  #suspect(gone: boolean): void {
    if (this.#told && !gone) return
    this.#told = true
    this.#options.onSuspect(gone)
  }

  /** The suspicion came to nothing: it begins anew. It is no sign of life. */
  trust(): void {
    this.#told = false
    this.#trustedMs = this.#options.clock.monotonicMs()
  }

  #watch(): void {
    const { clock, times } = this.#options
    clock.after(times.heartbeatMs, () => {
      if (this.#ended) return
      const nowMs = clock.monotonicMs()
      // We were held up ourselves: what the leader sent meanwhile has not been read yet.
      if (nowMs - this.#watchedMs > times.suspicionMs / 2) {
        this.#trustedMs = nowMs
        this.#excusedMs = nowMs
      }
      this.#watchedMs = nowMs
      if (this.#linked && nowMs - this.#toldPositionMs >= atEveryMs) {
        this.#toldPositionMs = nowMs
        this.send({ type: 'at', position: this.#options.position(), history: this.#options.history() })
      }
      if (nowMs - Math.max(this.#heardMs, this.#trustedMs) > times.suspicionMs) this.#suspect(false)
      if (this.#link && nowMs - Math.max(this.#heardMs, this.#excusedMs) > times.suspicionMs * deadTimes) this.#drop()
      this.#watch()
    })
  }

  #message(message: LeaderMessage): void {
    this.#excusedMs = this.#options.clock.monotonicMs()
    if (message.type === 'unsure' || message.type === 'alive' || message.type === 'leading') {
      this.#unsure = message.type === 'unsure'
    }
    // A leader that has its hands full with workers may be late with its heartbeat, which says no more than they do.
    if (this.#linked && !this.#unsure && !this.#told && message.type !== 'not-leading') this.#heardMs = this.#excusedMs
    switch (message.type) {
      case 'leading':
        if (message.epoch < this.#options.epoch) return
        this.#heard()
        if (this.#linked) return
        this.#linked = true
        this.#wasLinked = true
        return this.#options.onLinked()
      case 'not-leading':
        return this.#options.onOther(message.epoch, message.owner)
      case 'alive':
        this.#heard()
        return this.#options.onMessage(message)
      case 'done': {
        const done = this.#pending.get(message.id)
        this.#pending.delete(message.id)
        return done?.(message.result)
      }
      case 'frame':
        return this.#sockets.get(message.connection)?.send(message.text)
      case 'close': {
        const socket = this.#sockets.get(message.connection)
        this.#sockets.delete(message.connection)
        return socket?.close(message.code, message.reason)
      }
      default:
        this.#options.onMessage(message)
    }
  }

  #heard(): void {
    this.#heardMs = this.#options.clock.monotonicMs()
    this.#told = false
  }

  send(message: PeerMessage): void {
    this.#link?.send(message)
  }

  /** Calls back with the leader's answer, or with undefined when it went away first: the outcome is unknown. */
  take(input: Input, done: Pending): void {
    this.#lastId += 1
    this.#pending.set(this.#lastId, done)
    this.send({ type: 'input', id: this.#lastId, input })
  }

  /** Workers' frames through this link. */
  readonly upstream: Upstream = (socket) => {
    this.#lastId += 1
    const connection = this.#lastId
    this.#sockets.set(connection, socket)
    this.send({ type: 'opened', connection })
    return {
      message: (text) => this.send({ type: 'frame', connection, text }),
      closed: () => {
        this.#sockets.delete(connection)
        this.send({ type: 'closed', connection })
      },
    }
  }

  end(): void {
    if (this.#ended) return
    this.#ended = true
    this.#link?.close()
    this.#unlink()
  }
}
