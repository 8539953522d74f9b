/** A WorkerProtocol on a clock that is turned by hand, with a scripted coordinator and executor. */
import type { Assign, CoordinatorMessage, WorkerCapabilities, WorkerMessage } from '../protocol/worker-messages.ts'
import type { Clock } from '../stdx/clock.ts'
import { MemoryOutbox } from './outbox.ts'
import { WorkerProtocol, type ProtocolOptions } from './protocol.ts'

type Timer = { readonly atMs: number; readonly call: () => void }

export class ManualClock implements Clock {
  nowMs = 1000
  #timers: Timer[] = []

  wallMs(): number {
    return this.nowMs
  }

  monotonicMs(): number {
    return this.nowMs
  }

  after(delayMs: number, call: () => void): () => void {
    const timer = { atMs: this.nowMs + delayMs, call }
    this.#timers.push(timer)
    return () => void (this.#timers = this.#timers.filter((one) => one !== timer))
  }

  soon(call: () => void): void {
    this.after(0, call)
  }

  later(call: () => void): void {
    this.after(0, call)
  }

  /** Each timer goes off at its time. */
  advance(ms: number): void {
    const untilMs = this.nowMs + ms
    for (;;) {
      const next = this.#timers.filter((one) => one.atMs <= untilMs).sort((a, b) => a.atMs - b.atMs)[0]
      if (next === undefined) break
      this.nowMs = Math.max(this.nowMs, next.atMs)
      this.#timers = this.#timers.filter((one) => one !== next)
      next.call()
    }
    this.nowMs = untilMs
  }

  /** As after SIGSTOP and SIGCONT: time has passed, and nothing has run. */
  pause(ms: number): void {
    this.nowMs += ms
  }
}

export type Done = { readonly type: string; readonly batch?: string; readonly why?: string }

export class ProtocolRig {
  readonly clock = new ManualClock()
  readonly outbox = new MemoryOutbox()
  /** In the order in which they were sent. */
  sent: WorkerMessage[] = []
  /** What the other ports were asked, in order, sending included as `send`. */
  done: Done[] = []
  /** Answer heartbeats as they come. */
  beats = true
  /** Executor: end what is to be ended, at once. */
  obedient = true
  bufferedBytes = 0
  capabilities: WorkerCapabilities = {
    os: 'linux',
    arch: 'x64',
    cpus: 1,
    memoryBytes: 1,
    host: 'h',
    labels: {},
    tools: {},
  }
  readonly protocol: WorkerProtocol
  readonly #lastN = { n: 0 }

  constructor(options: Partial<ProtocolOptions> = {}) {
    const note =
      (type: string) =>
      (batch?: string, why?: unknown): void => {
        this.done.push({ type, ...(batch !== undefined && { batch }), ...(typeof why === 'string' && { why }) })
      }
    this.protocol = new WorkerProtocol({
      worker: 'w',
      clock: this.clock,
      outbox: this.outbox,
      ports: {
        send: (text) => this.#sent(JSON.parse(text) as WorkerMessage),
        bufferedBytes: () => this.bufferedBytes,
        reconnect: (why) => this.done.push({ type: 'reconnect', why }),
        describe: () => ({
          name: 'w',
          version: '0',
          capabilities: this.capabilities,
        }),
        load: () => ({}),
        start: ({ batch }) => note('start')(batch),
        end: (batch, reason, why) => {
          note(`end:${reason}`)(batch, why)
          if (this.obedient) this.ended(batch, reason)
        },
        abandon: (batch) => {
          note('abandon')(batch)
          if (this.obedient) this.protocol.abandoned(batch)
        },
        recycle: (why) => this.done.push({ type: 'recycle', why }),
        terminate: note('terminate'),
        kill: note('kill'),
        released: note('released'),
        log: () => {},
        joined: () => note('joined')(),
        drained: note('drained'),
        refused: note('refused'),
        orphaned: note('orphaned'),
      },
      ...options,
    })
  }

  /** Opens a connection and is welcomed. */
  join(welcome: Partial<Extract<CoordinatorMessage, { type: 'welcome' }>> = {}): this {
    this.protocol.opened()
    return this.welcome(welcome)
  }

  welcome(welcome: Partial<Extract<CoordinatorMessage, { type: 'welcome' }>> = {}): this {
    const keep = this.protocol.held.map((held) => held.batch)
    this.protocol.message({
      type: 'welcome',
      epoch: 1,
      heartbeatMs: 1000,
      leaseMs: 10_000,
      fenceMs: 6000,
      keep,
      ...welcome,
    })
    return this
  }

  /** The coordinator dies. */
  lose(): this {
    this.protocol.closed()
    return this
  }

  say(message: CoordinatorMessage): this {
    this.protocol.message(message)
    return this
  }

  assign(batch: string, token = 1): this {
    return this.say({ type: 'assign', batch, token, tasks: [0, 1] } as unknown as Assign)
  }

  started(batch: string, ...tasks: number[]): this {
    this.protocol.reported('started', batch, JSON.stringify({ type: 'started', batch, tasks }), tasks)
    return this
  }

  ended(batch: string, reason = 'completed'): this {
    this.protocol.reported('ended', batch, JSON.stringify({ type: 'ended', batch, reason }), [])
    return this
  }

  /** Which messages were sent since the last look, but heartbeats; with their batch. */
  news(): string[] {
    const news = this.sent.filter((one) => one.type !== 'heartbeat')
    this.sent = []
    return news.map((one) =>
      [one.type, 'batch' in one ? one.batch : '', 'reason' in one ? one.reason : ''].filter(Boolean).join(' '),
    )
  }

  /** What was asked of the ports since the last look. */
  asked(...types: readonly string[]): string[] {
    const asked = this.done.filter((one) => types.length === 0 || types.includes(one.type))
    this.done = []
    return asked.map((one) => (one.batch === undefined ? one.type : `${one.type} ${one.batch}`))
  }

  get heartbeats(): number {
    return this.#lastN.n
  }

  #sent(message: WorkerMessage): void {
    this.sent.push(message)
    this.done.push({ type: 'send', batch: message.type })
    if (message.type !== 'heartbeat') return
    this.#lastN.n = message.n!
    if (this.beats) this.protocol.message({ type: 'beat', n: message.n! })
  }
}
