/**
 * A worker of the simulation: the real `WorkerProtocol` with a connection that dials as the real one
 * does (next address when one is lost, back-off after each round, `away` when all refuse), and an
 * executor whose processes do what the oracle says. A worker's process that dies takes its spool with
 * it; the next one is a new worker.
 */
import type { CoordinatorMessage } from '../../protocol/worker-messages.ts'
import { MemoryOutbox } from '../../worker/outbox.ts'
import { WorkerProtocol, type WorkerPorts } from '../../worker/protocol.ts'
import { simCapabilities } from './asks.ts'
import type { End, Network } from './network.ts'
import type { SimProcess } from './process.ts'
import type { Random } from './random.ts'
import { SimExecutor, type Physical } from './sim-executor.ts'

/** What a worker saw, for the checker. */
export interface WorkerWitness extends Physical {
  assigned(worker: string, batch: string, token: number): void
  acknowledged(worker: string, seq: number, messages: readonly string[]): void
  abandoned(worker: string, batch: string, token: number): void
  welcomed(worker: string, epoch: number): void
}

export type WorkerOptions = {
  readonly id: string
  readonly process: SimProcess
  readonly cpus: number
  readonly addresses: readonly string[]
  readonly network: Network
  readonly random: Random
  readonly witness: WorkerWitness
  readonly count: (what: string) => void
  /** It left of its own accord, or was turned away. */
  readonly onExit: (why: string) => void
  readonly wrapPorts: (ports: WorkerPorts) => WorkerPorts
  readonly wrapMessage: (message: CoordinatorMessage, held: readonly string[]) => CoordinatorMessage
  readonly trace: (words: () => string) => void
}

const quickRounds = 4
const firstDelayMs = 50
const delayMaxMs = 1000

/** Remembers what was reported under which number. */
class WitnessedOutbox extends MemoryOutbox {
  readonly reports = new Map<number, string>()

  override append(batch: string, body: string): number {
    const seq = super.append(batch, body)
    this.reports.set(seq, body)
    return seq
  }
}

export class SimWorker {
  readonly id: string
  readonly process: SimProcess
  readonly protocol: WorkerProtocol
  readonly executor: SimExecutor
  readonly outbox = new WitnessedOutbox()
  readonly #options: WorkerOptions
  readonly #refusedAtMs: (number | undefined)[]
  #index: number
  #end: End | undefined
  #tries = 0
  #ackedSeq = 0

  constructor(options: WorkerOptions) {
    this.#options = options
    const { id, process, random, network, witness } = options
    this.id = id
    this.process = process
    this.#refusedAtMs = options.addresses.map(() => undefined)
    this.#index = random.int(0, options.addresses.length - 1)
    this.executor = new SimExecutor(id, process, network.timeline, random, witness, () => this.protocol)
    this.protocol = new WorkerProtocol({
      worker: id,
      clock: process.clock,
      outbox: this.outbox,
      ports: options.wrapPorts(this.#ports()),
    })
    process.onDeath(() => this.executor.reap())
    process.enter(() => this.#dial())
  }

  /** Nothing is held and nothing waits to be acknowledged. */
  get idle(): boolean {
    return this.protocol.held.length === 0 && this.outbox.size === 0
  }

  get connected(): boolean {
    return this.#end?.state === 'open'
  }

  #ports(): WorkerPorts {
    const { options, executor } = { options: this.#options, executor: this.executor }
    return {
      send: (text) => this.#end?.send(text),
      bufferedBytes: () => 0,
      reconnect: (why) => {
        options.trace(() => `leaves its coordinator: ${why}`)
        this.#end?.close()
        this.#lost()
      },
      describe: () => ({
        name: this.id,
        version: '1',
        capabilities: simCapabilities(options.cpus, this.process.host.name),
      }),
      load: () => ({}),
      start: (assign) => {
        options.trace(() => `starts ${assign.batch} (${assign.run}: ${assign.tasks.join(' ')})`)
        executor.start(assign)
      },
      end: (batch, reason, why) => {
        options.trace(() => `ends ${batch}: ${reason}, ${why}`)
        if (reason === 'fenced') options.count('worker fenced itself')
        executor.end(batch, reason, why)
      },
      abandon: (batch) => executor.abandon(batch),
      recycle: () => {
        options.count('worker recycled')
        executor.recycle()
      },
      terminate: (batch, graceMs) => executor.terminate(batch, graceMs),
      kill: (batch) => executor.kill(batch),
      released: () => {},
      log: (level, message) => options.trace(() => `${level}: ${message}`),
      joined: () => {
        this.#tries = 0
      },
      drained: () => this.#exit('drained'),
      refused: (why) => this.#exit(`refused: ${why}`),
      orphaned: () => this.#exit('orphaned'),
    }
  }

  #exit(why: string): void {
    this.#options.trace(() => `exits: ${why}`)
    this.protocol.close()
    // What is on its way is let go.
    this.process.clock.soon(() => {
      this.process.kill()
      this.#options.onExit(why)
    })
  }

  #dial(): void {
    const index = this.#index
    const dialledAtMs = this.process.clock.monotonicMs()
    this.#refusedAtMs[index] = undefined
    const end: End = this.#options.network.dial(this.process, `${this.#options.addresses[index]!}/worker`, {
      opened: () => {
        if (this.#end === end) this.protocol.opened()
      },
      message: (text) => {
        if (this.#end === end) this.#message(JSON.parse(text as string) as CoordinatorMessage)
      },
      closed: (refused) => {
        if (this.#end !== end) return
        if (refused) this.#refusedAtMs[index] = dialledAtMs
        this.#lost()
      },
    })
    this.#end = end
  }

  #lost(): void {
    this.#end = undefined
    this.protocol.closed()
    this.#tellAway()
    const { addresses, random } = this.#options
    this.#index = (this.#index + 1) % addresses.length
    this.#tries += 1
    const rounds = Math.floor(this.#tries / addresses.length)
    const quick = rounds < quickRounds || this.#tries % addresses.length > 0
    const ceilingMs = quick ? firstDelayMs : Math.min(delayMaxMs, firstDelayMs * 2 ** (rounds - quickRounds + 1))
    this.process.clock.after(random.unit() * ceilingMs, () => {
      if (this.#end === undefined) this.#dial()
    })
  }

  #tellAway(): void {
    let sinceMs = Infinity
    for (const refusedAtMs of this.#refusedAtMs) {
      if (refusedAtMs === undefined) return
      sinceMs = Math.min(sinceMs, refusedAtMs)
    }
    if (this.protocol.held.some((held) => held.isRunning)) this.#options.count('worker goes on while all are away')
    this.protocol.away(sinceMs)
  }

  #message(given: CoordinatorMessage): void {
    const held = this.protocol.held.map((one) => one.batch)
    const message = this.#options.wrapMessage(given, held)
    const { witness, count } = this.#options
    const before = new Map(this.protocol.held.map((held) => [held, held.abandoned]))
    switch (message.type) {
      case 'assign':
        witness.assigned(this.id, message.batch, message.token)
        break
      case 'ack': {
        const messages: string[] = []
        for (let seq = this.#ackedSeq + 1; seq <= message.seq; seq += 1) {
          const report = this.outbox.reports.get(seq)
          if (report !== undefined) messages.push(report)
          this.outbox.reports.delete(seq)
        }
        this.#ackedSeq = Math.max(this.#ackedSeq, message.seq)
        witness.acknowledged(this.id, message.seq, messages)
        break
      }
      case 'greet':
        count('worker greeted')
        break
      case 'welcome':
        if (message.epoch < this.protocol.epoch) count('worker refused an older epoch')
        break
      default:
    }
    this.protocol.message(message)
    if (message.type !== 'welcome' || !this.protocol.isWelcomed) return
    witness.welcomed(this.id, message.epoch)
    for (const [held, was] of before) if (held.abandoned && !was) witness.abandoned(this.id, held.batch, held.token)
  }
}
