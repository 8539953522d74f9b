/**
 * The worker's main thread: heartbeats, ending processes, and reports until they are acknowledged.
 * It never parses what a framework prints and never serialises results; the executor thread does,
 * and may be busy for seconds without the coordinator noticing. The agent owns what must outlive
 * trouble: which batches are held, which process groups exist, which reports are unacknowledged.
 */
import os from 'node:os'
import type { MusterError } from '../protocol/errors.ts'
import type { Assign, CoordinatorMessage, Hello, Welcome } from '../protocol/worker-messages.ts'
import { workerProtocolVersion } from '../protocol/worker-protocol-version.ts'
import { unreachable } from '../stdx/assert.ts'
import { Connection } from './connection.ts'
import type { Endpoint } from './endpoint.ts'
import { attemptMark } from './environment.ts'
import { ExecutorThread } from './executor-thread.ts'
import { HeldBatch } from './held-batch.ts'
import { endLeftovers, killMarked } from './process-tree.ts'
import { Reaper } from './reaper.ts'
import { Spool } from './spool.ts'
import type { ExecutorOptions, FromExecutor, WorkerLog } from './thread-messages.ts'

const cancelGraceMs = 5000
const abandonGraceMs = 1000
/** Live messages are dropped rather than queued behind so much. */
const liveBufferBytesMax = 1024 * 1024

export type AgentOptions = {
  readonly endpoint: Endpoint
  readonly joinTimeoutMs: number
  /** What is said of this worker at every (re)connection. */
  readonly describe: () => Pick<Hello, 'name' | 'version' | 'capabilities'>
  readonly executor: ExecutorOptions
  readonly spoolDir: string
  readonly log: WorkerLog
  readonly joined: () => void
  /** It will not go on: refused, or unauthorised. */
  readonly failed: (error: MusterError) => void
  /** Drained: nothing is held and everything is acknowledged. */
  readonly drained: () => void
  readonly refused: (why: string) => void
  readonly orphanTimeoutMs: number | undefined
  /** The coordinator has been away for orphanTimeoutMs. */
  readonly orphaned: () => void
}

export class Agent {
  readonly #options: AgentOptions
  readonly #connection: Connection
  readonly #executor: ExecutorThread
  readonly #reaper: Reaper
  readonly #spool: Spool
  readonly #held = new Map<string, HeldBatch>()
  #welcomed = false
  #draining = false
  #heartbeat: NodeJS.Timeout | undefined
  #orphan: NodeJS.Timeout | undefined

  constructor(options: AgentOptions) {
    this.#options = options
    const { worker, tempRoot } = options.executor
    this.#spool = new Spool(options.spoolDir, worker)
    this.#reaper = new Reaper(workerMark(worker), tempRoot)
    this.#executor = new ExecutorThread(options.executor, {
      message: (message) => this.#fromExecutor(message),
      died: (why) => this.#executorDied(why),
    })
    this.#connection = new Connection(
      options.endpoint,
      options.joinTimeoutMs,
      {
        opened: () => this.#opened(),
        message: (message) => this.#fromCoordinator(message),
        closed: () => this.#closed(),
        failed: (error) => options.failed(error),
      },
      options.log,
    )
  }

  dial(): void {
    this.#connection.dial()
  }

  /** Batches that run or have unacknowledged reports. */
  get held(): number {
    return this.#held.size
  }

  /** Takes no more work; `drained` follows when what is held is done and acknowledged. */
  drain(why: string): void {
    if (this.#draining) return
    this.#draining = true
    this.#report('', JSON.stringify({ type: 'draining', why }))
    this.#checkDrained()
  }

  /** Ends everything now. Reports that are not acknowledged are lost with the worker. */
  async close(): Promise<void> {
    clearInterval(this.#heartbeat)
    clearTimeout(this.#orphan)
    for (const held of this.#held.values()) held.kill()
    await this.#connection.close()
    await this.#executor.close()
    await killMarked(workerMark(this.#options.executor.worker))
    await this.#reaper.close()
    for (const held of this.#held.values()) held.close()
    this.#spool.close()
  }

  #opened(): void {
    const held = [...this.#held.values()].filter((one) => !one.abandoned).map(({ batch, token }) => ({ batch, token }))
    const { worker } = this.#options.executor
    this.#connection.send(
      JSON.stringify({
        type: 'hello',
        protocol: workerProtocolVersion,
        worker,
        ...this.#options.describe(),
        held,
        draining: this.#draining,
      } satisfies Hello),
    )
  }

  #closed(): void {
    const { orphanTimeoutMs, orphaned } = this.#options
    if (this.#welcomed && orphanTimeoutMs !== undefined) this.#orphan = setTimeout(orphaned, orphanTimeoutMs)
    this.#welcomed = false
    clearInterval(this.#heartbeat)
    this.#spool.rewind()
    this.#checkDrained()
  }

  #fromCoordinator(message: CoordinatorMessage): void {
    switch (message.type) {
      case 'welcome':
        return this.#welcome(message)
      case 'assign':
        return this.#assign(message)
      case 'cancel':
        return this.#cancel(message.batch, message.why, message.drainMs ?? 0)
      case 'ack':
        return this.#acknowledged(message.seq)
      case 'drain':
        return this.drain(message.why)
      case 'refused':
        return this.#options.refused(message.why)
      default:
        // A newer coordinator may say more than this worker understands; the protocol number guards what matters.
        this.#options.log('debug', `Unknown message from the coordinator: ${(message as { type?: string }).type}`)
    }
  }

  #welcome(message: Welcome): void {
    const keep = new Set(message.keep)
    this.#spool.rewind()
    for (const held of this.#held.values()) if (!keep.has(held.batch)) this.#abandon(held)
    this.#welcomed = true
    clearTimeout(this.#orphan)
    this.#connection.joined()
    clearInterval(this.#heartbeat)
    this.#heartbeat = setInterval(() => this.#beat(message.leaseMs), message.heartbeatMs)
    this.#beat(message.leaseMs)
    this.#flush()
    this.#options.joined()
  }

  #beat(leaseMs: number): void {
    const load = os.loadavg()[0] ?? 0
    this.#connection.send(JSON.stringify({ type: 'heartbeat', load, memoryFreeBytes: os.freemem() }))
    this.#connection.probe(leaseMs)
  }

  #assign(assign: Assign): void {
    // Assigning is repeated after a coordinator's restart; what is held already goes on.
    if (this.#held.has(assign.batch)) return
    this.#held.set(assign.batch, new HeldBatch(assign))
    this.#executor.post({ type: 'assign', assign })
  }

  #cancel(batch: string, why: string, drainMs: number): void {
    const held = this.#held.get(batch)
    if (held === undefined || held.endedSeq !== undefined) return
    if (drainMs > 0) return held.whenDrained(drainMs, () => this.#cancel(batch, why, 0))
    this.#executor.post({ type: 'cancel', batch, why })
    this.#terminate(held, cancelGraceMs)
  }

  #abandon(held: HeldBatch): void {
    if (held.abandoned) return
    this.#options.log(
      'warning',
      `Batch ${held.batch} is not this worker's any more: it is stopped and its reports are dropped`,
    )
    this.#spool.forget(held.batch)
    held.abandoned = true
    if (held.endedSeq !== undefined) return this.#release(held)
    this.#executor.post({ type: 'abandon', batch: held.batch })
    this.#terminate(held, abandonGraceMs)
  }

  #terminate(held: HeldBatch, graceMs: number): void {
    held.terminate(graceMs)
    // Its end is told by the executor; should that have stopped answering, it is replaced.
    this.#executor.probe()
  }

  #fromExecutor(message: FromExecutor): void {
    switch (message.type) {
      case 'spawned':
        this.#reaper.add(message.pid)
        return this.#held.get(message.batch)?.spawned(message.pid)
      case 'exited':
        return void this.#clean(message.batch, message.pid)
      case 'terminate': {
        const held = this.#held.get(message.batch)
        if (held !== undefined) this.#terminate(held, message.graceMs)
        return
      }
      case 'report':
        return this.#reported(message)
      case 'live':
        if (this.#welcomed && this.#connection.bufferedBytes < liveBufferBytesMax) this.#connection.send(message.body)
        return
      case 'abandoned': {
        const held = this.#held.get(message.batch)
        if (held !== undefined) this.#release(held)
        return
      }
      case 'log':
        return this.#options.log(message.level, message.message)
      case 'pong':
        return
      default:
        unreachable(message)
    }
  }

  async #clean(batch: string, pid: number): Promise<void> {
    const killed = await endLeftovers(pid, `MUSTER_ATTEMPT=${attemptMark(this.#options.executor.worker, batch)}`)
    this.#reaper.remove(pid)
    this.#held.get(batch)?.exited(pid)
    this.#executor.post({ type: 'cleaned', pid, killed })
  }

  #reported(message: Extract<FromExecutor, { type: 'report' }>): void {
    const held = this.#held.get(message.batch)
    if (held === undefined || held.abandoned) return
    held.saw(message.kind, message.tasks)
    const seq = this.#report(message.batch, message.body)
    if (message.kind === 'ended') held.endedSeq = seq
  }

  #report(batch: string, body: string): number {
    const seq = this.#spool.append(batch, body)
    this.#flush()
    return seq
  }

  #flush(): void {
    if (!this.#welcomed) return
    for (let entry = this.#spool.next(); entry !== undefined; entry = this.#spool.next())
      this.#connection.send(entry.text)
  }

  #acknowledged(seq: number): void {
    this.#spool.acknowledge(seq)
    for (const held of this.#held.values()) {
      if (held.endedSeq !== undefined && held.endedSeq <= seq) this.#release(held)
    }
    this.#flush()
    this.#checkDrained()
  }

  #release(held: HeldBatch): void {
    held.close()
    this.#held.delete(held.batch)
    this.#checkDrained()
  }

  /** A batch is held until its reports are acknowledged. Without one only the goodbye can wait, and it is not worth an absent coordinator. */
  #checkDrained(): void {
    const told = this.#spool.size === 0 || !this.#welcomed
    if (this.#draining && this.#held.size === 0 && told) this.#options.drained()
  }

  /** The thread ended or stopped answering: a new one is there already, but it knows nothing of these batches. */
  #executorDied(why: string): void {
    this.#options.log('error', `The worker's executor ${why}; its batches count as crashed`)
    for (const held of this.#held.values()) {
      if (held.endedSeq !== undefined) continue
      held.kill()
      for (const pid of held.groups) void this.#clean(held.batch, pid)
      if (held.abandoned) this.#release(held)
      else held.endedSeq = this.#report(held.batch, held.crashedBody(`The worker's executor ${why}`))
    }
  }
}

/** Every process of this worker's batches has it in its environment. */
function workerMark(worker: string): string {
  return `MUSTER_WORKER=${worker}`
}
