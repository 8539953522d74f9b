/**
 * A process on a host, as the machines inside can tell: it runs one thing at a time, may be paused
 * (SIGSTOP, a long collection, a frozen machine), and may die at any instant between two things. What
 * reaches a paused process waits; on waking, overdue timers come before what arrived, or not. Nothing
 * of a dead one is ever called again. The host's clock is the process's clock: the wall clock may
 * jump; the monotonic one only runs a little fast or slow.
 */
import type { Clock } from '../../stdx/clock.ts'
import type { Random } from './random.ts'
import type { Timeline } from './timeline.ts'

const epochMs = 1_790_000_000_000

export class Host {
  readonly name: string
  /** Switched off: nothing is sent, received or answered. */
  up = true
  /** How far the wall clock is off. */
  skewMs: number
  /** Seconds of this host's monotonic clock per true second. */
  readonly rate: number
  readonly zeroMs: number

  constructor(name: string, random: Random) {
    this.name = name
    this.skewMs = (random.unit() - 0.5) * 4000
    this.rate = 1 + (random.unit() - 0.5) * 0.002
    this.zeroMs = random.int(0, 1_000_000)
  }
}

type Held = { readonly timer: boolean; readonly call: () => void }

export class SimProcess {
  readonly name: string
  readonly host: Host
  readonly clock: Clock
  readonly #timeline: Timeline
  readonly #random: Random
  readonly #failed: (error: unknown) => void
  #state: 'running' | 'paused' | 'dead' = 'running'
  #held: Held[] = []
  #soon: (() => void)[] = []
  #inside = false
  #afterDeath: (() => void)[] = []

  constructor(name: string, host: Host, timeline: Timeline, random: Random, failed: (error: unknown) => void) {
    this.name = name
    this.host = host
    this.#timeline = timeline
    this.#random = random
    this.#failed = failed
    this.clock = {
      wallMs: () => Math.floor(epochMs + timeline.nowMs + host.skewMs),
      monotonicMs: () => host.zeroMs + timeline.nowMs * host.rate,
      after: (delayMs, call) => this.#timer(delayMs, call),
      later: (call) => void timeline.after(0.01, () => this.enter(call)),
      soon: (call) => {
        this.#soon.push(call)
        // Outside of it (a test's own call) there is no end of a turn to wait for.
        if (!this.#inside) timeline.after(0, () => this.enter(() => {}))
      },
    }
  }

  get dead(): boolean {
    return this.#state === 'dead'
  }

  get paused(): boolean {
    return this.#state === 'paused'
  }

  /** Something reaches the process: now, when it wakes, or never. */
  enter(call: () => void, timer = false): void {
    if (this.#state === 'dead') return
    if (this.#state === 'paused') {
      this.#held.push({ timer, call })
      return
    }
    if (this.#inside) {
      call()
      return
    }
    this.#inside = true
    try {
      call()
      for (let at = 0; at < this.#soon.length && !this.dead; at += 1) this.#soon[at]!()
      this.#soon = []
    } catch (error) {
      this.#soon = []
      this.#failed(error)
    } finally {
      this.#inside = false
    }
  }

  #timer(delayMs: number, call: () => void): () => void {
    const lateMs = this.#random.unit() * 1.5
    let forgotten = false
    const run = () => {
      if (!forgotten) call()
    }
    const forget = this.#timeline.after(Math.max(delayMs, 1) / this.host.rate + lateMs, () => this.enter(run, true))
    return () => {
      forgotten = true
      forget()
    }
  }

  /** What the kernel does for a process that is gone: close its sockets. */
  onDeath(call: () => void): void {
    this.#afterDeath.push(call)
  }

  kill(): void {
    if (this.#state === 'dead') return
    this.#state = 'dead'
    this.#held = []
    this.#soon = []
    for (const call of this.#afterDeath.splice(0)) call()
  }

  pause(): void {
    if (this.#state === 'running') this.#state = 'paused'
  }

  resume(): void {
    if (this.#state !== 'paused') return
    this.#state = 'running'
    const held = this.#held
    this.#held = []
    const timersFirst = this.#random.chance(0.5)
    const order = timersFirst ? [...held.filter((one) => one.timer), ...held.filter((one) => !one.timer)] : held
    for (let at = 0; at < order.length; at += 1) {
      // It may be paused or killed by what it does.
      if (this.paused) {
        this.#held = [...order.slice(at), ...this.#held]
        return
      }
      this.enter(order[at]!.call, order[at]!.timer)
    }
  }
}
