/**
 * The worker's main thread: heartbeats, ending processes, and reports until they are acknowledged.
 * It never parses what a framework prints and never serialises results; the executor thread does,
 * and may be busy for seconds without the coordinator noticing. What to do when is decided by
 * `WorkerProtocol`; here it meets the real world: connection, thread, process groups, reaper, spool.
 */
import os from 'node:os'
import type { MusterError } from '../protocol/errors.ts'
import type { Hello } from '../protocol/worker-messages.ts'
import { unreachable } from '../stdx/assert.ts'
import { BatchProcesses } from './batch-processes.ts'
import { Connection } from './connection.ts'
import { gpuEnvironment } from './detect/gpu-environment.ts'
import type { Endpoint } from './endpoint.ts'
import { attemptMark } from './environment.ts'
import { ExecutorThread } from './executor-thread.ts'
import { hostClock } from './host-clock.ts'
import { endLeftovers, killMarked } from './process-tree.ts'
import { WorkerProtocol, type WorkerPorts } from './protocol.ts'
import { Reaper } from './reaper.ts'
import { Spool } from './spool.ts'
import type { ExecutorOptions, FromExecutor, WorkerLog } from './thread-messages.ts'

export type AgentOptions = {
  readonly endpoints: readonly Endpoint[]
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
  readonly isAlone: boolean | undefined
  /** The coordinator has been away for orphanTimeoutMs. */
  readonly orphaned: () => void
}

export class Agent {
  readonly #options: AgentOptions
  readonly #connection: Connection
  readonly #executor: ExecutorThread
  readonly #reaper: Reaper
  readonly #spool: Spool
  readonly #protocol: WorkerProtocol
  /** Of the batches that the executor was given. */
  readonly #processes = new Map<string, BatchProcesses>()
  readonly #waitingForIdle: (() => void)[] = []
  #recycling = false

  constructor(options: AgentOptions) {
    this.#options = options
    const { worker, tempRoot } = options.executor
    const clock = hostClock()
    this.#spool = new Spool(options.spoolDir, worker)
    this.#reaper = new Reaper(workerMark(worker), tempRoot)
    this.#executor = new ExecutorThread(options.executor, {
      message: (message) => this.#fromExecutor(message),
      died: (why) => this.#executorDied(why),
    })
    this.#protocol = new WorkerProtocol({
      worker,
      clock,
      outbox: this.#spool,
      ports: this.#ports(),
      orphanTimeoutMs: options.orphanTimeoutMs,
      isAlone: options.isAlone,
    })
    this.#connection = new Connection(
      options.endpoints,
      clock,
      options.joinTimeoutMs,
      {
        opened: (index) => {
          this.#executor.connected(index)
          this.#protocol.opened()
        },
        message: (message) => this.#protocol.message(message),
        closed: () => this.#protocol.closed(),
        away: (sinceMs) => this.#protocol.away(sinceMs, options.endpoints.length),
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
    return this.#protocol.held.length
  }

  /** What `describe` says has changed. */
  described(): void {
    this.#protocol.described()
  }

  /** Resolves when nothing is held: at once, or when the last batch has gone. */
  whenIdle(): Promise<void> {
    return this.held === 0 ? Promise.resolve() : new Promise((resolve) => this.#waitingForIdle.push(resolve))
  }

  /** Takes no more work; `drained` follows when what is held is done and acknowledged. */
  drain(why: string): void {
    this.#protocol.drain(why)
  }

  /** Ends everything now. Reports that are not acknowledged are lost with the worker. */
  async close(): Promise<void> {
    this.#protocol.close()
    for (const processes of this.#processes.values()) processes.kill()
    await this.#connection.close()
    await this.#executor.close()
    await killMarked(workerMark(this.#options.executor.worker))
    await this.#reaper.close()
    this.#spool.close()
  }

  #ports(): WorkerPorts {
    const { describe, log, joined, drained, refused, orphaned } = this.#options
    return {
      send: (text) => this.#connection.send(text),
      bufferedBytes: () => this.#connection.bufferedBytes,
      reconnect: (why) => this.#connection.drop(why),
      describe,
      load: () => ({ load: os.loadavg()[0] ?? 0, memoryFreeBytes: os.freemem() }),
      start: (assign) => {
        this.#processes.set(assign.batch, new BatchProcesses())
        const { gpus = [] } = describe().capabilities
        const environment = gpuEnvironment(gpus, assign.gpus ?? [], process.env)
        this.#executor.post({ type: 'assign', assign, environment })
      },
      end: (batch, reason, why) => {
        this.#executor.post({ type: 'end', batch, reason, why })
        // Its end is told by the executor; should that have stopped answering, it is replaced.
        this.#executor.probe()
      },
      abandon: (batch) => {
        this.#executor.post({ type: 'abandon', batch })
        this.#executor.probe()
      },
      recycle: (why) => {
        log('info', `Recycling: ${why}`)
        this.#recycling = true
        this.#executor.post({ type: 'clear' })
      },
      terminate: (batch, graceMs) => this.#processes.get(batch)?.terminate(graceMs),
      kill: (batch) => this.#processes.get(batch)?.kill(),
      released: (batch) => {
        this.#processes.get(batch)?.close()
        this.#processes.delete(batch)
        if (this.held === 0) for (const resolve of this.#waitingForIdle.splice(0)) resolve()
      },
      log,
      joined: (fenceMs) => {
        this.#connection.joined(fenceMs / 3)
        joined()
      },
      drained,
      refused,
      orphaned,
    }
  }

  #fromExecutor(message: FromExecutor): void {
    switch (message.type) {
      case 'spawned':
        this.#reaper.add(message.pid)
        return this.#processes.get(message.batch)?.spawned(message.pid)
      case 'exited':
        return void this.#clean(message.batch, message.pid)
      case 'terminate':
        this.#processes.get(message.batch)?.terminate(message.graceMs)
        return this.#executor.probe()
      case 'report':
        return this.#protocol.reported(message.kind, message.batch, message.body, message.tasks)
      case 'live':
        return this.#protocol.live(message.body)
      case 'abandoned':
        return this.#protocol.abandoned(message.batch)
      case 'cleared':
        return this.#cleared()
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
    this.#processes.get(batch)?.exited(pid)
    this.#executor.post({ type: 'cleaned', pid, killed })
  }

  #cleared(): void {
    this.#recycling = false
    this.#executor.restart()
    this.#protocol.recycled()
  }

  /** The thread ended or stopped answering: a new one is there already, but it knows nothing of these batches. */
  #executorDied(why: string): void {
    const groups = [...this.#processes].flatMap(([batch, processes]) =>
      [...processes.groups].map((pid) => ({ batch, pid })),
    )
    this.#protocol.executorDied(why)
    for (const { batch, pid } of groups) void this.#clean(batch, pid)
    if (this.#recycling) this.#executor.post({ type: 'clear' })
  }
}

/** Every process of this worker's batches has it in its environment. */
function workerMark(worker: string): string {
  return `MUSTER_WORKER=${worker}`
}
