/**
 * The worker's part of the protocol as one synchronous state machine: which batches are held, what
 * was reported and not acknowledged, whether the coordinator may still count on this worker. It owns
 * no socket, thread, process or timer of its own, so that the simulator runs the very same code.
 *
 * How to drive it. Construct it with a clock, an outbox and ports, then feed it what happens:
 * - `opened()` a connection is there, `message(m)` each message in order, `closed()` it is gone (also
 *   after the port `reconnect`; what an old connection still brings must not be fed);
 * - `reported`, `live`, `abandoned`, `executorDied`, `recycled`: the executor's answers to the ports
 *   `start`, `end`, `abandon` and `recycle`. After `end` and `abandon` it must answer once for every
 *   batch that it was given and hasn't reported as ended: `reported('ended', …)`, or `abandoned`;
 * - `away(sinceMs, known)`: every known coordinator refused a connection, each at `sinceMs` or later;
 * - `drain(why)`: take no more work;
 * - `described()`: what the port `describe` says has changed.
 * Every entry first looks at the time: after a pause of this process, what is overdue is ended before
 * anything else is read or sent.
 *
 * Nothing but `hello` is sent between a connection's opening, or a `greet`, and `welcome`; nothing but
 * `welcome`, `greet` and `refused` is obeyed there.
 */
import type { Assign, CoordinatorMessage, Hello, Welcome } from '../protocol/worker-messages.ts'
import { workerProtocolVersion } from '../protocol/worker-protocol-version.ts'
import type { Clock } from '../stdx/clock.ts'
import { Contact } from './contact.ts'
import { HeldBatch, type ReportKind } from './held-batch.ts'
import type { Outbox } from './outbox.ts'

const cancelGraceMs = 5000
const abandonGraceMs = 1000
/** What is written beyond that only delays heartbeats; live messages are dropped rather than queued behind it. */
const bufferedBytesMax = 1024 * 1024
/** A connection on which nothing comes for this part of `fenceMs` is given up: there is time left to try another. */
const patience = 0.5
/** The same before the first welcome, when `fenceMs` is not known. */
const firstPatienceMs = 10_000
/** At least so many heartbeats in `fenceMs`. */
const heartbeatsMin = 5
/** Batches done that are remembered: a replaced leader may assign one again. */
const doneMax = 1024

export interface WorkerPorts {
  /** One text frame on the open connection. */
  send(text: string): void
  /** Handed over and not yet taken by the kernel. */
  bufferedBytes(): number
  /** Give up this connection and dial the next address. */
  reconnect(why: string): void
  /** What is said of this worker at every (re)connection. */
  describe(): Pick<Hello, 'name' | 'version' | 'capabilities'>
  load(): { readonly load?: number; readonly memoryFreeBytes?: number }
  /** Executor: begin this batch. */
  start(assign: Assign): void
  /** Executor: this batch's processes are being ended; it ends for this reason. */
  end(batch: string, reason: 'cancelled' | 'fenced', why: string): void
  /** Executor: as `end`, and nothing is to be reported. */
  abandon(batch: string): void
  /** Executor, while nothing is held: clean the workspaces, start afresh. */
  recycle(why: string): void
  /** SIGTERM to the batch's processes, SIGKILL after graceMs. */
  terminate(batch: string, graceMs: number): void
  /** SIGKILL to the batch's processes now, and to any that it starts later. */
  kill(batch: string): void
  /** The batch is not held any more. */
  released(batch: string): void
  log(level: 'debug' | 'info' | 'warning' | 'error', message: string): void
  /** Welcomed; again after every reconnection and greeting. Without contact for `fenceMs`, what runs is ended. */
  joined(fenceMs: number): void
  /** Drained: nothing is held and everything is acknowledged. */
  drained(): void
  /** The coordinator will not have this worker. */
  refused(why: string): void
  /** No coordinator for orphanTimeoutMs. */
  orphaned(): void
}

export type ProtocolOptions = {
  readonly worker: string
  readonly clock: Clock
  readonly outbox: Outbox
  readonly ports: WorkerPorts
  /** Once joined: `orphaned` when there was no coordinator for so long. Default: never. */
  readonly orphanTimeoutMs?: number | undefined
  /** Nobody else can be given its batches: it never ends them for want of contact. */
  readonly isAlone?: boolean | undefined
}

export class WorkerProtocol {
  readonly #worker: string
  readonly #clock: Clock
  readonly #outbox: Outbox
  readonly #ports: WorkerPorts
  readonly #orphanTimeoutMs: number | undefined
  readonly #isAlone: boolean
  readonly #contact = new Contact()
  readonly #held = new Map<string, HeldBatch>()
  /** Batches that the newest hello named: only these can its welcome disown. */
  #told: ReadonlySet<string> = new Set()
  /** Ended and acknowledged; oldest first. */
  readonly #done = new Set<string>()
  #connected = false
  #welcomed = false
  /** The capabilities that this connection's coordinator knows of, as JSON. */
  #toldCapabilities = ''
  #takesCapabilities = false
  #draining = false
  #heartbeatMs = Infinity
  /** When something came over this connection last, or bytes were seen to leave. */
  #heardMs = 0
  #bufferedBytes = 0
  #pulseMs = 0
  #recycle: { readonly id: number; readonly why: string; begun: boolean } | undefined
  #forgetPulse: (() => void) | undefined
  #forgetFence: (() => void) | undefined
  #forgetOrphan: (() => void) | undefined

  constructor(options: ProtocolOptions) {
    this.#worker = options.worker
    this.#clock = options.clock
    this.#outbox = options.outbox
    this.#ports = options.ports
    this.#orphanTimeoutMs = options.orphanTimeoutMs
    this.#isAlone = options.isAlone === true
  }

  /** Batches that run or have unacknowledged reports. */
  get held(): readonly HeldBatch[] {
    return [...this.#held.values()]
  }

  /** The highest in any welcome. */
  get epoch(): number {
    return this.#contact.epoch
  }

  get isWelcomed(): boolean {
    return this.#welcomed
  }

  /** Takes no more work; `drained` follows when what is held is done and acknowledged. */
  drain(why: string): void {
    this.#enter()
    if (this.#draining) return
    this.#draining = true
    this.#report('', JSON.stringify({ type: 'draining', why }))
    this.#checkDrained()
  }

  /** No timer goes off afterwards. */
  close(): void {
    this.#forgetPulse?.()
    this.#forgetFence?.()
    this.#forgetOrphan?.()
    for (const held of this.#held.values()) held.close()
  }

  // The connection.

  opened(): void {
    this.#enter()
    this.#connected = true
    this.#hello()
  }

  closed(): void {
    this.#enter()
    if (this.#welcomed) this.#startOrphanTimer()
    this.#connected = false
    this.#welcomed = false
    this.#forgetPulse?.()
    this.#checkDrained()
  }

  away(sinceMs: number, known = Infinity): void {
    this.#enter()
    this.#contact.away(sinceMs, known)
  }

  message(message: CoordinatorMessage): void {
    this.#enter()
    if (!this.#connected) return
    this.#heardMs = this.#clock.monotonicMs()
    switch (message.type) {
      case 'welcome':
        return this.#welcome(message)
      case 'greet':
        if (this.#welcomed) this.#startOrphanTimer()
        return this.#hello()
      case 'refused':
        return this.#ports.refused(message.why)
      default:
        // From a leader that was replaced meanwhile: what still holds is repeated after the welcome.
        if (this.#welcomed) this.#obey(message)
    }
  }

  #obey(message: Exclude<CoordinatorMessage, { type: 'welcome' | 'greet' | 'refused' }>): void {
    switch (message.type) {
      case 'assign':
        return this.#assign(message)
      case 'cancel':
        return this.#cancel(message.batch, message.why, message.drainMs ?? 0)
      case 'ack':
        return this.#acknowledged(message.seq)
      case 'beat':
        this.#contact.answered(message.n, this.#clock.monotonicMs())
        this.#contact.counted(message.coordinators)
        return this.#startWaiting()
      case 'drain':
        return this.drain(message.why)
      case 'recycle':
        return this.#askedToRecycle(message.id, message.why)
      default:
        // A newer coordinator may say more than this worker understands; the protocol number guards what matters.
        this.#ports.log('debug', `Unknown message from the coordinator: ${(message as { type?: string }).type}`)
    }
  }

  #hello(): void {
    this.#welcomed = false
    const held = this.held.filter((one) => !one.abandoned).map(({ batch, token }) => ({ batch, token }))
    this.#told = new Set(held.map((one) => one.batch))
    const described = this.#ports.describe()
    this.#toldCapabilities = JSON.stringify(described.capabilities)
    this.#ports.send(
      JSON.stringify({
        type: 'hello',
        protocol: workerProtocolVersion,
        worker: this.#worker,
        ...described,
        held,
        draining: this.#draining,
      } satisfies Hello),
    )
    this.#heardMs = this.#clock.monotonicMs()
    this.#schedulePulse(this.#patienceMs())
  }

  #welcome({ epoch, heartbeatMs, keep, ...welcome }: Welcome): void {
    const nowMs = this.#clock.monotonicMs()
    const fenceMs = this.#isAlone ? Infinity : welcome.fenceMs
    if (!this.#contact.welcomed(epoch, fenceMs, nowMs, this.#held.size === 0)) {
      return this.#leave(`it leads as epoch ${epoch}, and this worker has seen epoch ${this.#contact.epoch}`)
    }
    this.#contact.counted(welcome.coordinators)
    const kept = new Set(keep)
    this.#outbox.rewind()
    // A greeting may cross another: what was assigned after the hello is not meant by its welcome.
    for (const held of this.#held.values()) {
      if (this.#told.has(held.batch) && !kept.has(held.batch)) this.#abandon(held)
    }
    this.#welcomed = true
    this.#forgetOrphan?.()
    this.#heartbeatMs = Math.min(heartbeatMs, fenceMs / heartbeatsMin)
    this.#takesCapabilities = welcome.understands?.includes('capabilities') === true
    this.#beat(nowMs)
    // They may have changed since the hello.
    this.#tellCapabilities()
    this.#flush()
    this.#ports.joined(fenceMs)
    this.#checkDrained()
  }

  #patienceMs(): number {
    return Math.min(this.#contact.fenceMs * patience, firstPatienceMs)
  }

  #schedulePulse(delayMs: number): void {
    this.#forgetPulse?.()
    this.#pulseMs = this.#clock.monotonicMs() + delayMs
    this.#forgetPulse = this.#clock.after(delayMs, () => this.#pulse())
  }

  #pulse(): void {
    this.#enter()
    const nowMs = this.#clock.monotonicMs()
    const bufferedBytes = this.#ports.bufferedBytes()
    const moved = bufferedBytes < this.#bufferedBytes
    // Late by its own fault: what came meanwhile has not been read yet.
    if (moved || nowMs - this.#pulseMs > this.#patienceMs() / 2) this.#heardMs = nowMs
    const silentMs = nowMs - this.#heardMs
    if (silentMs >= this.#patienceMs()) return this.#leave(`nothing was heard for ${Math.round(silentMs)} ms`)
    if (!this.#welcomed) return this.#schedulePulse(this.#patienceMs() - silentMs)
    this.#beat(nowMs)
    this.#flush()
  }

  #beat(nowMs: number): void {
    const n = this.#contact.beats(nowMs)
    this.#ports.send(JSON.stringify({ type: 'heartbeat', n, ...this.#ports.load() }))
    this.#bufferedBytes = this.#ports.bufferedBytes()
    this.#schedulePulse(this.#heartbeatMs)
  }

  #leave(why: string): void {
    this.#ports.log('warning', `This coordinator is left: ${why}`)
    this.#forgetPulse?.()
    if (this.#welcomed) this.#startOrphanTimer()
    this.#connected = false
    this.#welcomed = false
    this.#ports.reconnect(why)
  }

  #startOrphanTimer(): void {
    if (this.#orphanTimeoutMs === undefined) return
    this.#forgetOrphan?.()
    this.#forgetOrphan = this.#clock.after(this.#orphanTimeoutMs, () => this.#ports.orphaned())
  }

  // Contact.

  /** Begins every entry. */
  #enter(): void {
    if (!this.#contact.isLost(this.#clock.monotonicMs())) return
    const running = this.held.filter((held) => held.isRunning && !held.abandoned && held.ending?.reason !== 'fenced')
    if (running.length === 0) return
    const why = `no coordinator has confirmed for ${Math.round(this.#contact.fenceMs)} ms that it is still this worker's`
    this.#ports.log('warning', `Ended at once: ${running.map((held) => held.batch).join(', ')}: ${why}`)
    const message = `Ended by the worker itself: ${why}`
    for (const held of running) {
      held.ending = { reason: 'fenced', message }
      this.#ports.kill(held.batch)
    }
    for (const held of running) this.#ports.end(held.batch, 'fenced', message)
  }

  /** One timer, as long as anything runs; it is set anew only when it goes off. */
  #watch(): void {
    const endsMs = this.#contact.endsMs
    if (this.#forgetFence !== undefined || endsMs === undefined) return
    // Lost only when the end is passed, so a moment later.
    const waitMs = Math.max(0, endsMs - this.#clock.monotonicMs()) + 1
    this.#forgetFence = this.#clock.after(waitMs, () => {
      this.#forgetFence = undefined
      this.#enter()
      if (this.held.some((held) => held.isRunning && held.ending?.reason !== 'fenced')) this.#watch()
    })
  }

  // Batches.

  #assign(assign: Assign): void {
    // Assigning is repeated after a coordinator's restart; what is held already goes on.
    const held = this.#held.get(assign.batch)
    if (held !== undefined && held.token !== assign.token)
      this.#ports.log('error', `Batch ${assign.batch} came with token ${assign.token}: held under ${held.token}`)
    if (held !== undefined || this.#done.has(assign.batch)) return
    this.#held.set(assign.batch, new HeldBatch(assign, this.#clock))
    this.#startWaiting()
  }

  /** Nothing is begun on the word of a leader that may have been replaced, nor while the place is being cleaned. */
  #startWaiting(): void {
    if (this.#recycle?.begun || this.#contact.isLost(this.#clock.monotonicMs())) return
    for (const held of this.#held.values()) {
      if (held.started || held.endedSeq !== undefined) continue
      held.started = true
      this.#ports.start(held.assign)
    }
    if (this.held.some((held) => held.isRunning)) this.#watch()
  }

  #cancel(batch: string, why: string, drainMs: number): void {
    const held = this.#held.get(batch)
    if (held === undefined || held.endedSeq !== undefined) return
    if (drainMs > 0 && held.started) return held.whenDrained(drainMs, () => this.#cancel(batch, why, 0))
    held.ending ??= { reason: 'cancelled', message: why }
    if (!held.started) return this.#reportEnd(held, held.endedBody(held.ending))
    this.#ports.end(batch, 'cancelled', why)
    this.#ports.terminate(batch, cancelGraceMs)
  }

  #abandon(held: HeldBatch): void {
    if (held.abandoned) return
    this.#ports.log(
      'warning',
      `Batch ${held.batch} is not this worker's any more: it is stopped and its reports are dropped`,
    )
    this.#outbox.forget(held.batch)
    held.abandoned = true
    if (!held.isRunning) return this.#release(held)
    this.#ports.abandon(held.batch)
    this.#ports.terminate(held.batch, abandonGraceMs)
  }

  #release(held: HeldBatch): void {
    held.close()
    this.#held.delete(held.batch)
    this.#ports.released(held.batch)
    this.#recycleWhenIdle()
    this.#checkDrained()
  }

  // The executor's answers.

  /** `body` is a JSON object without `seq`; `tasks` are those it concerns (started, reported). */
  reported(kind: ReportKind, batch: string, body: string, tasks: readonly number[]): void {
    this.#enter()
    const held = this.#held.get(batch)
    if (held === undefined || held.abandoned || held.endedSeq !== undefined) return
    held.saw(kind, tasks)
    if (kind === 'ended') this.#reportEnd(held, body)
    else this.#report(batch, body)
  }

  /** For whoever is watching; nobody misses it. */
  live(body: string): void {
    this.#enter()
    if (this.#welcomed && this.#ports.bufferedBytes() < bufferedBytesMax) this.#ports.send(body)
  }

  abandoned(batch: string): void {
    this.#enter()
    const held = this.#held.get(batch)
    if (held?.abandoned) this.#release(held)
  }

  /** It knows nothing of the batches any more that it was given; a new one is there already. */
  executorDied(why: string): void {
    this.#enter()
    const message = `The worker's executor ${why}`
    this.#ports.log('error', `${message}; its batches count as crashed`)
    for (const held of this.held) {
      if (!held.isRunning) continue
      this.#ports.kill(held.batch)
      if (held.abandoned) this.#release(held)
      else this.#reportEnd(held, held.endedBody(held.ending ?? { reason: 'crashed', message }))
    }
  }

  recycled(): void {
    this.#enter()
    if (!this.#recycle?.begun) return
    const { id } = this.#recycle
    this.#recycle = undefined
    this.#report('', JSON.stringify({ type: 'recycled', id }))
    this.#startWaiting()
  }

  #askedToRecycle(id: number, why: string): void {
    // Repeated after a reconnection, it may be under way.
    this.#recycle = { id, why, begun: this.#recycle?.begun === true }
    this.#recycleWhenIdle()
  }

  #recycleWhenIdle(): void {
    if (this.#recycle === undefined || this.#recycle.begun || this.#held.size > 0) return
    this.#recycle.begun = true
    this.#ports.recycle(this.#recycle.why)
  }

  /** What `describe` says may have changed. */
  described(): void {
    this.#enter()
    this.#tellCapabilities()
  }

  /** Said again by every hello, so nothing needs to be kept for a coordinator that is away or does not understand. */
  #tellCapabilities(): void {
    if (!this.#welcomed || !this.#takesCapabilities) return
    const { capabilities } = this.#ports.describe()
    const text = JSON.stringify(capabilities)
    if (text === this.#toldCapabilities) return
    this.#toldCapabilities = text
    this.#ports.send(`{"type":"capabilities","capabilities":${text}}`)
  }

  // Reports.

  #report(batch: string, body: string): number {
    const seq = this.#outbox.append(batch, body)
    this.#flush()
    return seq
  }

  #reportEnd(held: HeldBatch, body: string): void {
    held.endedSeq = this.#report(held.batch, body)
  }

  #flush(): void {
    if (!this.#welcomed) return
    // The rest follows with an acknowledgement or a heartbeat: a heartbeat must not queue for long.
    while (this.#ports.bufferedBytes() < bufferedBytesMax) {
      const entry = this.#outbox.next()
      if (entry === undefined) return
      this.#ports.send(entry.text)
    }
  }

  #acknowledged(seq: number): void {
    this.#outbox.acknowledge(seq)
    for (const held of this.held) {
      if (held.endedSeq === undefined || held.endedSeq > seq) continue
      this.#done.add(held.batch)
      if (this.#done.size > doneMax) this.#done.delete(this.#done.values().next().value!)
      this.#release(held)
    }
    this.#flush()
    this.#checkDrained()
  }

  /** A batch is held until its reports are acknowledged. Without one only the goodbye can wait, and it is not worth an absent coordinator. */
  #checkDrained(): void {
    const told = this.#outbox.size === 0 || !this.#connected
    if (this.#draining && this.#held.size === 0 && told) this.#ports.drained()
  }
}
