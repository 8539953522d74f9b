/**
 * Conversations with workers: who is connected, whose lease has run out, what each must be told. The
 * state says what a worker holds; a session only says whether it can be reached. After a lost
 * connection a worker keeps its work for one lease; every `hello` reconciles both sides by token.
 */
import { Compile } from 'typebox/compile'
import type { Event } from '../core/events.ts'
import { Refused, type Input } from '../core/input.ts'
import type { Run, State, Worker } from '../core/state.ts'
import { isMusterError } from '../protocol/errors.ts'
import {
  Hello,
  WorkerMessage,
  workerProtocolVersion,
  type Assign,
  type CoordinatorMessage,
} from '../protocol/worker-messages.ts'
import type { Leader } from './leader.ts'
import { endInput, reportInput } from './worker-reports.ts'
import type { Blobs } from '../blobs/blobs.ts'

export interface WorkerSocket {
  send(text: string): void
  close(code: number, reason: string): void
}

export type SessionTimes = { readonly heartbeatMs: number; readonly leaseMs: number }

/** A timer this late tells of a stopped or overloaded process, not of a silent worker. */
const lateTimerMs = 500
const blobRetryMs = 500
/** Files that run when their run is drained have so long to finish. */
const drainMaxMs = 10_000

export const defaultSessionTimes: SessionTimes = { heartbeatMs: 1000, leaseMs: 10_000 }

type Session = {
  readonly worker: string
  socket: WorkerSocket | undefined
  lastHeardMs: number
  lease: NodeJS.Timeout | undefined
}

type SessionsOptions = {
  readonly state: State
  readonly leader: () => Leader
  readonly blobs: Blobs
  readonly times: SessionTimes
  /** Results can't be stored (its words), or can again (undefined). */
  readonly onBlobTrouble: (trouble: string | undefined) => void
  readonly onLive: (run: Run, workerName: string, message: Extract<WorkerMessage, { type: 'live' }>) => void
  readonly log: (message: string, detail: Record<string, unknown>) => void
}

const checkMessage = Compile(WorkerMessage)
type HelloMessage = Extract<WorkerMessage, { type: 'hello' }>

export class WorkerSessions {
  readonly #options: SessionsOptions
  readonly #sessions = new Map<string, Session>()
  #closed = false

  constructor(options: SessionsOptions) {
    this.#options = options
  }

  /** After a restart: every worker in state has one lease to come back. */
  expectKnown(): void {
    for (const id of this.#options.state.workers.keys()) this.#startLease(this.#session(id))
  }

  isConnected(worker: Worker): boolean {
    return this.#sessions.get(worker.id)?.socket !== undefined
  }

  lastHeardMs(id: string): number {
    return this.#sessions.get(id)?.lastHeardMs ?? 0
  }

  get connected(): number {
    let sum = 0
    for (const session of this.#sessions.values()) if (session.socket) sum += 1
    return sum
  }

  /** One connection. Feed it every text frame, and tell it when the socket closes. */
  connect(socket: WorkerSocket): { message(text: string): void; closed(): void } {
    let session: Session | undefined
    // Order matters and the log's round trip must not: each message waits for the one before it to be
    // handed to the leader, not for its commit. What follows one that could not be taken is not taken
    // either: the worker connects again and repeats from there.
    let tail = Promise.resolve()
    let broken = false
    return {
      message: (text) => {
        // Heard when it arrives, however long what came before it takes.
        if (session?.socket === socket) this.#heard(session)
        tail = tail
          .then(async () => {
            if (broken) return
            const message = parse(text)
            if (typeof message === 'string') {
              broken = true
              socket.close(4400, message.slice(0, 120))
            } else if (message.type === 'hello') session = await this.#hello(socket, message)
            else if (session?.socket === socket) await this.#handle(session, message)
            else if (session === undefined) socket.close(4400, 'expected hello first')
          })
          .catch((error: unknown) => {
            broken = true
            this.#options.log('worker message failed', { error: String(error) })
            if (session) this.#break(session, socket, 4500, 'the coordinator could not take this message')
            else socket.close(4500, 'the coordinator could not take this message; connect again')
          })
      },
      closed: () => {
        if (session?.socket !== socket) return
        session.socket = undefined
        this.#options.log('worker disconnected', { worker: session.worker })
        this.#startLease(session)
      },
    }
  }

  /** Nothing more is taken from this connection. */
  #break(session: Session, socket: WorkerSocket, code: number, why: string): void {
    if (session.socket === socket) {
      session.socket = undefined
      this.#startLease(session)
    }
    socket.close(code, `${why}; connect again and repeat`)
  }

  #session(id: string): Session {
    let session = this.#sessions.get(id)
    if (!session) {
      session = { worker: id, socket: undefined, lastHeardMs: Date.now(), lease: undefined }
      this.#sessions.set(id, session)
    }
    return session
  }

  #startLease(session: Session): void {
    clearTimeout(session.lease)
    if (this.#closed) return
    session.lastHeardMs = Date.now()
    this.#armLease(session, this.#options.times.leaseMs)
  }

  #armLease(session: Session, waitMs: number): void {
    const dueMs = Date.now() + waitMs
    session.lease = setTimeout(() => {
      const nowMs = Date.now()
      const leftMs = session.lastHeardMs + this.#options.times.leaseMs - nowMs
      // A timer that fires late was held up with everything else in this process: what the worker sent
      // meanwhile has not been read yet. And hearing from it doesn't move the timer, only the end.
      if (nowMs - dueMs > lateTimerMs) this.#armLease(session, this.#options.times.leaseMs)
      else if (leftMs > 0) this.#armLease(session, leftMs)
      else void this.lost(session.worker, 'its lease ran out')
    }, waitMs)
    session.lease.unref()
  }

  #heard(session: Session): void {
    session.lastHeardMs = Date.now()
  }

  /** The worker is gone for good (lease over, or its process was seen to exit). */
  async lost(id: string, why: string): Promise<void> {
    const session = this.#sessions.get(id)
    if (session) {
      clearTimeout(session.lease)
      session.socket?.close(4408, why)
      session.socket = undefined
      this.#sessions.delete(id)
    }
    try {
      await this.#options.leader().submit({ type: 'leave', worker: id, why })
    } catch (error) {
      if (!isMusterError(error)) throw error
      this.#options.log('could not record a lost worker', { worker: id, error: error.message })
    }
  }

  async #hello(socket: WorkerSocket, hello: HelloMessage): Promise<Session | undefined> {
    if (hello.protocol !== workerProtocolVersion) {
      const why = `this coordinator speaks worker protocol ${workerProtocolVersion}, the worker ${hello.protocol}; install the same Muster version on both`
      socket.send(JSON.stringify({ type: 'refused', why } satisfies CoordinatorMessage))
      socket.close(4426, 'protocol version')
      return undefined
    }
    const { worker, name, version, capabilities, draining } = hello
    clearTimeout(this.#sessions.get(worker)?.lease)
    try {
      // Its lease may run out, by an input that was queued before, while this one waits for the log.
      do await this.#options.leader().submit({ type: 'join', worker, name, version, capabilities, draining })
      while (!this.#options.state.workers.has(worker))
    } catch (error) {
      if (!(error instanceof Refused)) throw error
      socket.send(JSON.stringify({ type: 'refused', why: error.message } satisfies CoordinatorMessage))
      socket.close(4409, 'refused')
      return undefined
    }
    const session = this.#session(worker)
    if (session.socket && session.socket !== socket) session.socket.close(4409, 'connected again elsewhere')
    session.socket = socket
    this.#startLease(session)
    this.#reconcile(session, hello)
    this.#options.log('worker connected', { worker, name, host: capabilities.host, cpus: capabilities.cpus })
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
      fenceMs: times.leaseMs * 0.6,
      keep: keep.map((one) => one.batch),
    })
    for (const id of state.workers.get(session.worker)?.batches ?? []) {
      const run = state.runs.get(state.batches.get(id)!.run)!
      if (!held.has(id)) this.#assign(session, id)
      if (run.cancelled) this.#tell(session, cancelMessage(id, run.cancelled))
    }
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
      }
    }
  }

  #assign(session: Session, id: string): void {
    const { state } = this.#options
    const batch = state.batches.get(id)
    if (!batch) return
    const run = state.runs.get(batch.run)!
    const { spec } = run
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
      taskTimeoutMs: spec.taskTimeoutMs,
    }
    this.#tell(session, message)
  }

  async #handle(session: Session, message: Exclude<WorkerMessage, { type: 'hello' }>): Promise<void> {
    const { state } = this.#options
    switch (message.type) {
      case 'heartbeat':
        return
      case 'live': {
        const batch = state.batches.get(message.batch)
        if (!batch || batch.worker !== session.worker) return
        const run = state.runs.get(batch.run)!
        this.#options.onLive(run, run.workers.get(session.worker)?.name ?? session.worker, message)
        return
      }
      case 'started': {
        const { batch, token, tasks, seq } = message
        this.#submit(session, seq, { type: 'start', worker: session.worker, batch, token, tasks })
        return
      }
      case 'reported':
        this.#submit(session, message.seq, await this.#stored((blobs) => reportInput(session.worker, message, blobs)))
        return
      case 'ended':
        this.#submit(session, message.seq, await this.#stored((blobs) => endInput(session.worker, message, blobs)))
        return
      case 'draining':
        this.#submit(session, message.seq, {
          type: 'drain',
          worker: session.worker,
          who: `worker:${session.worker}`,
          why: message.why,
        })
        return
      default:
    }
  }

  /** Blobs that can't be written (disk full) are tried until they can: what they hold exists nowhere else. */
  async #stored<T>(store: (blobs: Blobs) => Promise<T>): Promise<T> {
    const { blobs, onBlobTrouble } = this.#options
    for (;;) {
      try {
        const stored = await store(blobs)
        onBlobTrouble(undefined)
        return stored
      } catch (error) {
        if (this.#closed) throw error
        onBlobTrouble(error instanceof Error ? error.message : String(error))
        await new Promise((resolve) => setTimeout(resolve, blobRetryMs))
      }
    }
  }

  /** Acknowledges once durable; stale reports are acknowledged too, since repeating them is no use. */
  #submit(session: Session, seq: number, input: Input): void {
    const { socket } = session
    this.#options
      .leader()
      .submit(input)
      .then(
        () => this.#tell(session, { type: 'ack', seq }),
        (error: unknown) => {
          if (error instanceof Refused) {
            this.#options.log('stale or refused report', {
              worker: session.worker,
              input: input.type,
              why: error.message,
            })
            this.#tell(session, { type: 'ack', seq })
          } else if (socket) this.#break(session, socket, 4503, 'not recorded')
        },
      )
  }

  close(): void {
    this.#closed = true
    for (const session of this.#sessions.values()) {
      clearTimeout(session.lease)
      session.socket?.close(1012, 'the coordinator is going down; connect again')
    }
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
