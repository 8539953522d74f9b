/**
 * Conversations with workers: who is connected, whose lease has run out, what each must be told. The
 * state says what a worker holds; a session only says whether it can be reached. After a lost
 * connection a worker keeps its work for one lease; every `hello` reconciles both sides by token.
 *
 * Synchronous, with time given. What a report carries into the blobs is stored by `inputOf`, which
 * may take its time; the order of a connection's messages is kept.
 */
import { Compile } from 'typebox/compile'
import type { Event } from '../core/events.ts'
import type { Input } from '../core/input.ts'
import type { Run, State, Worker } from '../core/state.ts'
import {
  Hello,
  WorkerMessage,
  workerProtocolVersion,
  type Assign,
  type CoordinatorMessage,
} from '../protocol/worker-messages.ts'
import { systemClock, type Clock } from '../stdx/clock.ts'
import type { Leader, Taken } from './leader.ts'
import type { WorkerSocket } from './ports.ts'

export type SessionTimes = { readonly heartbeatMs: number; readonly leaseMs: number }

/** A timer this late tells of a stopped or overloaded process, not of a silent worker. */
const lateTimerMs = 500
/** Files that run when their run is drained have so long to finish. */
const drainMaxMs = 10_000
/**
 * Part of the lease after which a worker without contact ends what it runs. The rest covers the time
 * for which a leader may take itself for one (`confirmedMaxMs`), and the killing itself.
 */
const fencePart = 0.6

export const defaultSessionTimes: SessionTimes = { heartbeatMs: 1000, leaseMs: 10_000 }

type Session = {
  readonly worker: string
  socket: WorkerSocket | undefined
  lastHeardMs: number
  /** Wall time, for people. */
  lastHeardAtMs: number
  forgetLease: () => void
}

/** What a worker reports, whose bulk must be stored before the log may name it. */
export type ReportMessage = Extract<WorkerMessage, { type: 'reported' | 'ended' }>

export type SessionsOptions = {
  readonly clock?: Clock
  readonly state: State
  readonly leader: () => Pick<Leader, 'take' | 'kick' | 'epoch'>
  readonly times: SessionTimes
  /** Stores what is bulky and calls back with the input; with undefined when that can't be done and the worker must repeat it. */
  readonly inputOf: (worker: string, message: ReportMessage, done: (input: Input | undefined) => void) => void
  /** Whether this coordinator still knows that it leads. */
  readonly confirmed: () => boolean
  /** How many coordinators there are; default: this one. */
  readonly coordinators?: () => number
  readonly onLive: (run: Run, workerName: string, message: Extract<WorkerMessage, { type: 'live' }>) => void
  /** This worker connected or went. */
  readonly onConnected?: (worker: string) => void
  readonly log: (message: string, detail: Record<string, unknown>) => void
}

const checkMessage = Compile(WorkerMessage)
type HelloMessage = Extract<WorkerMessage, { type: 'hello' }>

export type WorkerConnection = { message(text: string): void; closed(): void }

export class WorkerSessions {
  readonly #options: SessionsOptions
  readonly #clock: Clock
  readonly #sessions = new Map<string, Session>()
  /** Grows with every worker that connects or goes. */
  connections = 0
  #closed = false
  #abandoned = false

  constructor(options: SessionsOptions) {
    this.#options = options
    this.#clock = options.clock ?? systemClock
  }

  /** After a restart or a takeover: every worker in state has one lease, from now, to come back. */
  expectKnown(): void {
    for (const id of this.#options.state.workers.keys()) this.#startLease(this.#session(id))
  }

  isConnected(worker: Pick<Worker, 'id'>): boolean {
    return this.#sessions.get(worker.id)?.socket !== undefined
  }

  /** Wall time; 0 = never. */
  lastHeardMs(id: string): number {
    return this.#sessions.get(id)?.lastHeardAtMs ?? 0
  }

  get connected(): number {
    let sum = 0
    for (const session of this.#sessions.values()) if (session.socket) sum += 1
    return sum
  }

  connectedIds(): string[] {
    return [...this.#sessions.values()].filter((session) => session.socket).map((session) => session.worker)
  }

  /** One connection. Feed it every text frame, and tell it when the socket closes. */
  connect(socket: WorkerSocket): WorkerConnection {
    return new Conversation(this, socket)
  }

  closed(session: Session, socket: WorkerSocket): void {
    if (session.socket !== socket) return
    session.socket = undefined
    this.connections += 1
    this.#options.log('worker disconnected', { worker: session.worker })
    this.#startLease(session)
    this.#options.onConnected?.(session.worker)
  }

  /** Nothing more is taken from this connection. */
  break(session: Session | undefined, socket: WorkerSocket, code: number, why: string): void {
    // The next leader greets the worker, which then repeats what it says.
    if (this.#abandoned) return
    if (session) this.closed(session, socket)
    socket.close(code, `${why}; connect again and repeat`)
  }

  #session(id: string): Session {
    let session = this.#sessions.get(id)
    if (!session) {
      session = { worker: id, socket: undefined, lastHeardMs: 0, lastHeardAtMs: 0, forgetLease: () => undefined }
      this.#sessions.set(id, session)
      this.heard(session)
    }
    return session
  }

  #startLease(session: Session): void {
    session.forgetLease()
    if (this.#closed) return
    this.heard(session)
    this.#armLease(session, this.#options.times.leaseMs)
  }

  #armLease(session: Session, waitMs: number): void {
    const dueMs = this.#clock.monotonicMs() + waitMs
    session.forgetLease = this.#clock.after(waitMs, () => {
      const nowMs = this.#clock.monotonicMs()
      const leftMs = session.lastHeardMs + this.#options.times.leaseMs - nowMs
      // A timer that fires late was held up with everything else in this process: what the worker sent
      // meanwhile has not been read yet. And hearing from it doesn't move the timer, only the end.
      if (nowMs - dueMs > lateTimerMs) this.#armLease(session, this.#options.times.leaseMs)
      else if (leftMs > 0) this.#armLease(session, leftMs)
      else this.lost(session.worker, 'its lease ran out')
    })
  }

  heard(session: Session): void {
    session.lastHeardMs = this.#clock.monotonicMs()
    session.lastHeardAtMs = this.#clock.wallMs()
  }

  /** The worker is gone for good (lease over, or its process was seen to exit). */
  lost(id: string, why: string): void {
    const session = this.#sessions.get(id)
    if (session) {
      session.forgetLease()
      session.socket?.close(4408, why)
      session.socket = undefined
      this.connections += 1
      this.#sessions.delete(id)
      this.#options.onConnected?.(id)
    }
    this.#options.leader().take({ type: 'leave', worker: id, why }, (taken) => {
      if (taken.type !== 'ok') {
        this.#options.log('could not record a lost worker', { worker: id, error: taken.error.message })
      }
    })
  }

  /** Calls back with the session once the worker has joined, or undefined when it was turned away. */
  hello(socket: WorkerSocket, hello: HelloMessage, done: (session: Session | undefined) => void): void {
    if (hello.protocol !== workerProtocolVersion) {
      const why = `this coordinator speaks worker protocol ${workerProtocolVersion}, the worker ${hello.protocol}; install the same Muster version on both`
      socket.send(JSON.stringify({ type: 'refused', why } satisfies CoordinatorMessage))
      socket.close(4426, 'protocol version')
      return done(undefined)
    }
    const { worker, name, version, capabilities, draining } = hello
    this.#sessions.get(worker)?.forgetLease()
    this.#options.leader().take({ type: 'join', worker, name, version, capabilities, draining }, (taken) => {
      if (taken.type === 'refused') {
        socket.send(JSON.stringify({ type: 'refused', why: taken.error.message } satisfies CoordinatorMessage))
        socket.close(4409, 'refused')
        return done(undefined)
      }
      if (taken.type === 'unavailable') {
        const known = this.#sessions.get(worker)
        if (known) this.#startLease(known)
        this.break(undefined, socket, 4503, 'not recorded')
        return done(undefined)
      }
      // Its lease may have run out, by an input that was queued before, while this one waited for the log.
      if (!this.#options.state.workers.has(worker)) return this.hello(socket, hello, done)
      done(this.#welcome(socket, hello))
    })
  }

  #welcome(socket: WorkerSocket, hello: HelloMessage): Session {
    const { worker, name, capabilities } = hello
    const session = this.#session(worker)
    if (session.socket && session.socket !== socket) session.socket.close(4409, 'connected again elsewhere')
    session.socket = socket
    this.connections += 1
    this.#startLease(session)
    this.#reconcile(session, hello)
    this.#options.log('worker connected', { worker, name, host: capabilities.host, cpus: capabilities.cpus })
    this.#options.onConnected?.(worker)
    this.#options.leader().kick()
    return session
  }

  /** What the worker holds against what state says it should hold. */
  #reconcile(session: Session, hello: HelloMessage): void {
    const { state, times } = this.#options
    const held = new Set(hello.held.map((one) => one.batch))
    const keep = hello.held.filter((one) => {
      const batch = state.batches.get(one.batch)
      return batch !== undefined && batch.worker === session.worker && batch.token === one.token
    })
    this.#tell(session, {
      type: 'welcome',
      epoch: this.#options.leader().epoch,
      heartbeatMs: times.heartbeatMs,
      leaseMs: times.leaseMs,
      fenceMs: Math.floor(times.leaseMs * fencePart),
      keep: keep.map((one) => one.batch),
      understands: ['capabilities'],
      ...this.#count,
    })
    const worker = state.workers.get(session.worker)
    for (const id of worker?.batches ?? []) {
      const run = state.runs.get(state.batches.get(id)!.run)!
      if (!held.has(id)) this.#assign(session, id)
      if (run.cancelled) this.#tell(session, cancelMessage(id, run.cancelled))
    }
    if (worker?.recycling)
      this.#tell(session, { type: 'recycle', id: worker.recycling.id, why: 'it was asked to recycle' })
    if (worker?.draining && !hello.draining) this.#tell(session, { type: 'drain', why: 'it was asked to drain' })
  }

  /** A worker that knows fewer of them can't tell whether all are away. */
  get #count(): { readonly coordinators?: number } {
    const coordinators = this.#options.coordinators?.() ?? 1
    return coordinators === 1 ? {} : { coordinators }
  }

  #tell(session: Session, message: CoordinatorMessage): void {
    session.socket?.send(JSON.stringify(message))
  }

  /** Carries out what committed events ask of workers. Repeatable: reconciliation does the same. */
  committed(events: readonly Event[]): void {
    const { state } = this.#options
    for (const event of events) {
      if (event.type === 'batch.assigned') {
        const session = this.#sessions.get(event.worker)
        if (session?.socket) this.#assign(session, event.batch)
      } else if (event.type === 'run.cancelled') {
        for (const id of state.runs.get(event.run)?.batches ?? []) {
          const session = this.#sessions.get(state.batches.get(id)!.worker)
          if (session) this.#tell(session, cancelMessage(id, event))
        }
      } else if (event.type === 'worker.drained') {
        const session = this.#sessions.get(event.worker)
        if (session && !event.who.startsWith('worker:')) this.#tell(session, { type: 'drain', why: event.why })
      } else if (event.type === 'worker.recycling') {
        const session = this.#sessions.get(event.worker)
        if (session) this.#tell(session, { type: 'recycle', id: event.id, why: event.why })
      }
    }
  }

  #assign(session: Session, id: string): void {
    const { state } = this.#options
    const batch = state.batches.get(id)
    if (!batch) return
    const run = state.runs.get(batch.run)!
    const { spec } = run
    const { cards: _, ...granted } = batch.grant ?? {}
    const message: Assign = {
      type: 'assign',
      batch: id,
      token: batch.token,
      run: run.id,
      framework: spec.framework,
      cwd: spec.cwd,
      workspace: spec.workspace,
      context: spec.context,
      paths: spec.paths,
      args: spec.args,
      complete: spec.complete && batch.tasks.length === run.tasks.length,
      tasks: batch.tasks,
      files: batch.tasks.map((index) => run.tasks[index]!.file),
      cpus: batch.cpus,
      ...granted,
      taskTimeoutMs: spec.taskTimeoutMs,
    }
    this.#tell(session, message)
  }

  /** Calls back when the next message of this connection may be handled. */
  handle(session: Session, message: Exclude<WorkerMessage, { type: 'hello' }>, next: () => void): void {
    const { state } = this.#options
    switch (message.type) {
      case 'heartbeat':
        if (message.n !== undefined && this.#options.confirmed())
          this.#tell(session, { type: 'beat', n: message.n, ...this.#count })
        return next()
      case 'live': {
        const batch = state.batches.get(message.batch)
        if (batch && batch.worker === session.worker) {
          const run = state.runs.get(batch.run)!
          this.#options.onLive(run, run.workers.get(session.worker)?.name ?? session.worker, message)
        }
        return next()
      }
      case 'started': {
        const { batch, token, tasks, seq } = message
        this.#submit(session, seq, { type: 'start', worker: session.worker, batch, token, tasks })
        return next()
      }
      case 'reported':
      case 'ended': {
        const { socket } = session
        return this.#options.inputOf(session.worker, message, (input) => {
          if (input) this.#submit(session, message.seq, input, socket)
          else if (socket) this.break(session, socket, 4500, 'the coordinator could not take this message')
          next()
        })
      }
      case 'draining':
        this.#submit(session, message.seq, {
          type: 'drain',
          worker: session.worker,
          who: `worker:${session.worker}`,
          why: message.why,
        })
        return next()
      case 'capabilities':
        this.#describe(session, message.capabilities)
        return next()
      case 'recycled': {
        const { id, seq } = message
        this.#submit(session, seq, { type: 'recycled', worker: session.worker, id })
        return next()
      }
      default:
        return next()
    }
  }

  /** Joining again with the same id changes what is known of a worker. What is not recorded now, its next hello says. */
  #describe(session: Session, capabilities: HelloMessage['capabilities']): void {
    const worker = this.#options.state.workers.get(session.worker)
    if (worker === undefined) return
    const { id, name, version, draining } = worker
    this.#options.leader().take({ type: 'join', worker: id, name, version, capabilities, draining }, (taken) => {
      if (taken.type === 'ok') return this.#options.leader().kick()
      this.#options.log('capabilities not taken', { worker: id, why: taken.error.message })
    })
  }

  /** Acknowledges once durable; stale reports are acknowledged too, since repeating them is no use. */
  #submit(session: Session, seq: number, input: Input, socket = session.socket): void {
    // Order: the input is with the leader before the connection's next message is looked at.
    this.#options.leader().take(input, (taken: Taken) => {
      // An acknowledgement belongs to the connection that the report came by: another numbers on its own.
      if (socket === undefined || session.socket !== socket) return
      if (taken.type === 'unavailable') return this.break(session, socket, 4503, 'not recorded')
      if (taken.type === 'refused') {
        const { worker } = session
        this.#options.log('stale or refused report', { worker, input: input.type, why: taken.error.message })
      }
      this.#tell(session, { type: 'ack', seq })
    })
  }

  /** Ends without a word: somebody else leads, and the workers' connections go on elsewhere. */
  abandon(): void {
    this.#closed = true
    this.#abandoned = true
    for (const session of this.#sessions.values()) session.forgetLease()
    this.#sessions.clear()
    this.connections += 1
  }

  close(): void {
    this.#closed = true
    for (const session of this.#sessions.values()) {
      session.forgetLease()
      session.socket?.close(1012, 'the coordinator is going down; connect again')
    }
  }
}

/**
 * One connection's messages in their order: each waits until the one before it has been handed to the
 * leader, not for its commit. What follows one that could not be taken is not taken either: the
 * worker connects again and repeats from there.
 */
class Conversation implements WorkerConnection {
  readonly #sessions: WorkerSessions
  readonly #socket: WorkerSocket
  readonly #waiting: string[] = []
  #session: Session | undefined
  #busy = false
  #draining = false
  #broken = false

  constructor(sessions: WorkerSessions, socket: WorkerSocket) {
    this.#sessions = sessions
    this.#socket = socket
  }

  message(text: string): void {
    // Heard when it arrives, however long what came before it takes.
    if (this.#session?.socket === this.#socket) this.#sessions.heard(this.#session)
    this.#waiting.push(text)
    this.#drain()
  }

  /** A loop, not a recursion: what waited for a blob store may be thousands. */
  #drain(): void {
    if (this.#draining) return
    this.#draining = true
    while (!this.#busy && !this.#broken && this.#waiting.length > 0) this.#take(this.#waiting.shift()!)
    this.#draining = false
  }

  #take(text: string): void {
    const message = parse(text)
    if (typeof message === 'string') {
      this.#broken = true
      this.#sessions.break(this.#session, this.#socket, 4400, message.slice(0, 100))
    } else if (message.type === 'hello') {
      this.#busy = true
      this.#sessions.hello(this.#socket, message, (session) => {
        this.#session = session
        this.#broken = session === undefined
        this.#next()
      })
    } else if (this.#session?.socket === this.#socket) {
      this.#busy = true
      this.#sessions.handle(this.#session, message, () => this.#next())
    } else if (this.#session === undefined) {
      this.#broken = true
      this.#socket.close(4400, 'expected hello first')
    }
  }

  #next(): void {
    this.#busy = false
    this.#drain()
  }

  closed(): void {
    this.#broken = true
    if (this.#session) this.#sessions.closed(this.#session, this.#socket)
  }
}

function cancelMessage(
  batch: string,
  { why, drain }: { readonly why: string; readonly drain: boolean },
): CoordinatorMessage {
  return { type: 'cancel', batch, why, ...(drain ? { drainMs: drainMaxMs } : {}) }
}

function parse(text: string): WorkerMessage | string {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return 'expected JSON'
  }
  if (checkMessage.Check(value)) return value
  if ((value as { type?: unknown } | null)?.type === 'hello') {
    const [first] = Compile(Hello).Errors(value)
    return `hello: ${first?.instancePath ?? ''} ${first?.message ?? 'not understood'}`
  }
  return 'message not understood'
}
