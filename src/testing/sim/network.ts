/**
 * Connections between processes as TCP gives them: frames of a connection arrive in order, once, or
 * not at all; a path that is cut holds them back until it is whole again, and nobody is told. A
 * process that dies closes its connections, because its kernel goes on; a host that loses power
 * doesn't. Dialling a host where nobody listens is refused; dialling one that can't be reached is
 * answered by nothing. Cuts are one-way, so that requests may pass where answers don't.
 */
import type { Host, SimProcess } from './process.ts'
import type { Random } from './random.ts'
import type { Timeline } from './timeline.ts'

export type Handlers = {
  opened(): void
  message(frame: unknown): void
  /** Once, unless this side's process died. `refused`: the host answered, and nobody listens. */
  closed(refused: boolean): void
}

type Accept = (end: End) => Omit<Handlers, 'opened'>
type Listener = { readonly process: SimProcess; readonly accept: Accept }
type Frame = { readonly type: 'opened' | 'data' | 'close'; readonly value: unknown; readonly readyUs: number }

const dialTimeoutMs = 5000
const silent: Handlers = { opened: () => {}, message: () => {}, closed: () => {} }

export class Network {
  readonly timeline: Timeline
  readonly random: Random
  readonly #hosts = new Map<string, Host>()
  readonly #listeners = new Map<string, Listener>()
  /** `from>to`, `from>*`, `*>to`: how many faults cut it. */
  readonly #cuts = new Map<string, number>()
  readonly #slow = new Map<string, number>()
  readonly #stalled = new Set<End>()
  readonly #ends = new Map<SimProcess, Set<End>>()

  constructor(timeline: Timeline, random: Random) {
    this.timeline = timeline
    this.random = random
  }

  add(host: Host): void {
    this.#hosts.set(host.name, host)
  }

  listen(address: string, process: SimProcess, accept: Accept): void {
    this.#listeners.set(address, { process, accept })
  }

  /** `*` stands for every host. */
  cut(from: string, to: string): void {
    const key = `${from}>${to}`
    this.#cuts.set(key, (this.#cuts.get(key) ?? 0) + 1)
  }

  mend(from: string, to: string): void {
    const key = `${from}>${to}`
    const left = (this.#cuts.get(key) ?? 1) - 1
    if (left > 0) this.#cuts.set(key, left)
    else this.#cuts.delete(key)
    this.changed()
  }

  /** Frames to and from the host take so much longer. */
  slow(host: string, extraMs: number): void {
    this.#slow.set(host, (this.#slow.get(host) ?? 0) + extraMs)
  }

  /** A path may be open again: what waits is sent again, when its sender's next try is due. */
  changed(): void {
    for (const end of this.#stalled) {
      this.#stalled.delete(end)
      this.timeline.after(this.random.delay(1, 60, 400), () => end.pump())
    }
  }

  isOpen(from: string, to: string): boolean {
    if (from === to) return true
    if (this.#hosts.get(from)?.up === false || this.#hosts.get(to)?.up === false) return false
    if (this.#cuts.size === 0) return true
    return !this.#cuts.has(`${from}>${to}`) && !this.#cuts.has(`${from}>*`) && !this.#cuts.has(`*>${to}`)
  }

  delayMs(from: string, to: string): number {
    const extra = (this.#slow.get(from) ?? 0) + (this.#slow.get(to) ?? 0)
    const drawn = this.random.delay(0.1, 0.25, 8)
    return extra === 0 ? drawn : drawn + extra * (0.5 + this.random.unit())
  }

  stall(end: End): void {
    this.#stalled.add(end)
  }

  /** Resets every connection between the two hosts. */
  reset(one: string, other: string): void {
    for (const ends of this.#ends.values()) {
      for (const end of ends) {
        if (end.process.host.name === one && end.peer?.process.host.name === other) end.broken()
      }
    }
  }

  dial(process: SimProcess, address: string, handlers: Handlers): End {
    const end = new End(this, process, handlers)
    this.#register(end)
    const host = address.split('/')[0]!
    this.timeline.after(dialTimeoutMs, () => {
      if (end.state === 'connecting') end.fail(false)
    })
    this.#knock(end, host, address, 250)
    return end
  }

  #knock(end: End, host: string, address: string, againMs: number): void {
    if (end.state !== 'connecting') return
    const from = end.process.host.name
    this.timeline.after(this.delayMs(from, host), () => {
      if (end.state !== 'connecting') return
      if (!this.isOpen(from, host)) {
        this.timeline.after(againMs, () => this.#knock(end, host, address, againMs * 2))
        return
      }
      const listener = this.#listeners.get(address)
      if (listener && !listener.process.dead) this.#accept(end, listener)
      else if (this.isOpen(host, from)) this.timeline.after(this.delayMs(host, from), () => end.fail(true))
    })
  }

  #accept(dialler: End, { process, accept }: Listener): void {
    const end = new End(this, process, silent)
    end.peer = dialler
    dialler.peer = end
    this.#register(end)
    process.enter(() => {
      if (end.state !== 'connecting') return
      end.state = 'open'
      end.handlers = { ...silent, ...accept(end) }
      end.push('opened', undefined)
    })
  }

  #register(end: End): void {
    let ends = this.#ends.get(end.process)
    if (!ends) {
      ends = new Set()
      this.#ends.set(end.process, ends)
      end.process.onDeath(() => this.#died(end.process))
    }
    ends.add(end)
  }

  forget(end: End): void {
    this.#ends.get(end.process)?.delete(end)
  }

  #died(process: SimProcess): void {
    const ends = this.#ends.get(process)
    this.#ends.delete(process)
    for (const end of ends ?? []) end.died()
  }
}

export class End {
  readonly process: SimProcess
  handlers: Handlers
  peer: End | undefined
  state: 'connecting' | 'open' | 'closed' = 'connecting'
  readonly #network: Network
  #queue: Frame[] = []
  #lastUs = 0
  #pumpAtUs = -1

  constructor(network: Network, process: SimProcess, handlers: Handlers) {
    this.#network = network
    this.process = process
    this.handlers = handlers
  }

  /** Bytes can wait here: nothing says whether or when they arrive. */
  send(frame: unknown): void {
    if (this.state === 'open') this.push('data', frame)
  }

  /** Says good-bye; what was sent before may still arrive, what comes no longer does. */
  close(): void {
    if (this.state === 'closed') return
    const was = this.state
    this.state = 'closed'
    if (this.peer !== undefined && was === 'open') this.push('close', undefined)
    const { handlers } = this
    this.#network.timeline.after(0.5, () => this.process.enter(() => handlers.closed(false)))
    this.#network.forget(this)
  }

  push(type: Frame['type'], value: unknown): void {
    const { timeline } = this.#network
    const delayMs = this.#network.delayMs(this.process.host.name, this.peer!.process.host.name)
    this.#lastUs = Math.max(this.#lastUs, timeline.nowUs + Math.round(delayMs * 1000))
    this.#queue.push({ type, value, readyUs: this.#lastUs })
    this.pump()
  }

  pump(): void {
    const { timeline } = this.#network
    while (this.#queue.length > 0) {
      const { readyUs } = this.#queue[0]!
      if (readyUs > timeline.nowUs) {
        if (this.#pumpAtUs > timeline.nowUs && this.#pumpAtUs <= readyUs) return
        this.#pumpAtUs = readyUs
        timeline.at(readyUs, () => this.pump())
        return
      }
      if (!this.#network.isOpen(this.process.host.name, this.peer!.process.host.name)) {
        this.#network.stall(this)
        return
      }
      this.#deliver(this.#queue.shift()!)
    }
  }

  #deliver(frame: Frame): void {
    const peer = this.peer!
    if (peer.state === 'closed' || peer.process.dead) {
      // The other kernel knows no such connection and says so.
      if (frame.type !== 'close') this.#network.timeline.after(1, () => this.broken())
      return
    }
    if (frame.type === 'close') return peer.fail(false)
    if (frame.type === 'opened') peer.state = 'open'
    peer.process.enter(() => {
      if (peer.state === 'closed') return
      if (frame.type === 'opened') peer.handlers.opened()
      else peer.handlers.message(frame.value)
    })
  }

  /** The connection is over as far as this side's kernel can tell. */
  fail(refused: boolean): void {
    if (this.state === 'closed') return
    this.state = 'closed'
    this.#network.forget(this)
    const { handlers } = this
    this.process.enter(() => handlers.closed(refused))
  }

  /** A reset came in: what was on the way is gone. */
  broken(): void {
    this.#queue = []
    const { peer } = this
    this.fail(false)
    peer?.fail(false)
  }

  /** Its process is gone. The kernel closes the connection, with or without what was still in its buffers. */
  died(): void {
    if (this.state === 'closed') return
    this.state = 'closed'
    if (!this.process.host.up) {
      this.#queue = []
      return
    }
    if (this.#network.random.chance(0.5)) this.#queue = this.#queue.slice(0, this.#network.random.int(0, 2))
    if (this.peer !== undefined) this.push('close', undefined)
  }
}
