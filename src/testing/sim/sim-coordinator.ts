/**
 * A coordinator of the simulation: the real `Seat` with its leader loop, worker sessions, gateway and host of schedulers,
 * on a process that may be paused and killed, with the shell's few duties done here: snapshots and
 * trimming, cards of the members, connections in. It keeps nothing over a restart.
 *
 * Blobs are left out: reports carry no bulk, and what would be stored takes a moment and no more.
 */
import { Seat } from '../../coordinator/seat.ts'
import type { ReportMessage } from '../../coordinator/worker-sessions.ts'
import { defaultClusterTimes } from '../../coordinator/cluster-times.ts'
import type { LogPort } from '../../coordinator/ports.ts'
import { readableFormat, UnreadableFormat } from '../../core/format.ts'
import type { Input } from '../../core/input.ts'
import type { Limits } from '../../core/limits.ts'
import type { Shares } from '../../core/shares.ts'
import { restore, type SnapshotData } from '../../core/snapshot.ts'
import { Registry } from '../../plugins/registry.ts'
import { SchedulerHost } from '../../plugins/scheduler-host.ts'
import type { MemberCard } from '../../log/log.ts'
import type { Scheduler } from '../../scheduling/strategy.ts'
import type { PeerMessage } from '../../protocol/peer-messages.ts'
import type { WorkerMessage } from '../../protocol/worker-messages.ts'
import type { Checker } from './checker.ts'
import type { ClientCall, ClientAnswer } from './sim-client.ts'
import { countedPort } from './counted-port.ts'
import { hostilePlugin, SimGuard } from './hostile-schedulers.ts'
import { LogAccess } from './log-access.ts'
import type { LogStore } from './log-store.ts'
import type { Members } from './members.ts'
import { oldFormat, oldReader } from './old-reader.ts'
import { plainInput } from './plain-input.ts'
import type { Network, End } from './network.ts'
import type { SimProcess } from './process.ts'
import type { Random } from './random.ts'
import type { Sabotage } from './sabotage.ts'
import { digestOf } from './shadow.ts'
import { snapshotText } from './state-hash.ts'
import type { Counters } from './counters.ts'

export type CoordinatorOptions = {
  readonly name: string
  readonly process: SimProcess
  readonly network: Network
  readonly store: LogStore
  readonly members: Members
  readonly random: Random
  readonly limits: Limits
  readonly shares: Shares
  readonly alone: boolean
  /** The version before this one: it can read format 1. */
  readonly old: boolean
  /** Without plugins. */
  readonly bare: boolean
  readonly checker: Checker
  readonly count: Counters
  readonly sabotage: Sabotage
  readonly trace: (words: () => string) => void
  readonly onExit: (error: unknown) => void
}

export const sessionTimes = { heartbeatMs: 300, leaseMs: 3000 }
const membersEveryMs = 400
const encoder = new TextEncoder()
const decoder = new TextDecoder()

export class SimCoordinator {
  readonly name: string
  readonly process: SimProcess
  readonly seat: Seat
  readonly access: LogAccess
  readonly old: boolean
  readonly #options: CoordinatorOptions
  #card: MemberCard
  /** Worker id → its connection here, when it is a direct one. */
  readonly #workers = new Map<string, End>()
  #previousSnapshot = 0

  constructor(options: CoordinatorOptions) {
    this.#options = options
    const { name, process, store, network, random, count, old } = options
    this.name = name
    this.process = process
    this.old = old
    this.access = new LogAccess(process, store, network, random, count, options.alone)
    this.#card = {
      member: name,
      name,
      address: name,
      version: old ? '0.1.0' : '0.2.0',
      build: old ? 'old' : 'new',
      format: old ? oldFormat : readableFormat,
      draining: false,
      startedAtMs: process.clock.wallMs(),
    }
    const host = this.#schedulers()
    const asked: Scheduler = {
      place: (view) => host.place(view),
      refused: (placement, why) => host.refused(placement, why),
      takeFaults: () => host.takeFaults(),
    }
    this.seat = new Seat({
      clock: process.clock,
      scheduler: options.sabotage.scheduler?.(asked) ?? asked,
      log: this.#port(),
      ...(options.alone ? {} : { peers: { dial: (address, handlers) => this.#dial(address, handlers) } }),
      card: this.#card,
      limits: options.limits,
      shares: options.shares,
      sessionTimes,
      times: { ...defaultClusterTimes, submitWaitMs: 2000 },
      restore: ({ bytes }) => {
        count.reached('snapshot installed')
        const data = JSON.parse(decoder.decode(bytes)) as SnapshotData
        if (old && data.version > oldFormat) throw new UnreadableFormat('the snapshot', data.version)
        return restore(data, options.limits, options.shares)
      },
      inputOf: (worker, message, done) => this.#inputOf(worker, message, done),
      onCommitted: (entry) => {
        host.committed(entry.events)
        options.sabotage.state?.(this.seat.state)
        options.checker.applied(name, entry.position, this.seat.state)
      },
      onReset: () => {},
      onRole: (role) => {
        options.trace(() => `is ${role}, epoch ${this.seat.epoch}, at ${this.seat.position}`)
        if (role === 'leading') {
          options.sabotage.state?.(this.seat.state)
          options.checker.leads(name, this.seat.epoch)
          for (const { suspended } of this.seat.state.schedulerFaults.values())
            if (suspended) count.reached('leads with a suspended scheduler')
        }
      },
      onLive: () => {},
      onSnapshotWanted: () => this.#snapshot((result) => this.seat.snapshotted(result)),
      onSnapshotted: (position) => this.#trim(position),
      onHealth: (trouble) => {
        if (trouble !== undefined) count.reached('leader in trouble with its log')
      },
      onFatal: (error) => this.#exit(error),
      historyPosition: () => this.seat.position,
      say: (message, detail) => {
        if (message === 'the leader is suspected')
          count.reached(detail['gone'] === true ? 'leader gone' : 'leader silent')
        options.trace(() => `${message} ${JSON.stringify(detail)}`)
      },
    })
    this.#listen()
    process.enter(() => {
      this.seat.start()
      this.#announce()
    })
  }

  #schedulers(): SchedulerHost {
    const { bare, checker, count, random, trace } = this.#options
    const registry = new Registry()
    const builtIn = new Set(registry.names)
    const guard = new SimGuard()
    if (!bare) registry.add('simulation', hostilePlugin(random.fork('schedulers'), guard))
    return new SchedulerHost({
      registry,
      guard,
      say: (_level, message, detail) => trace(() => `${message} ${JSON.stringify(detail)}`),
      onRound: (strategy) => count.reached(`scheduler asked: ${strategy}`),
      onFault: (strategy, kind) => {
        if (builtIn.has(strategy))
          checker.violations.found('a built-in scheduler breaks no rule', `${strategy} ${kind}`)
      },
    })
  }

  #exit(error: unknown): void {
    this.#options.trace(() => `exits: ${String(error)}`)
    this.process.kill()
    this.#options.onExit(error)
  }

  // ---- the log ----

  #port(): LogPort {
    const { sabotage, store, name, process, checker } = this.#options
    const port = this.old ? oldReader(this.access, (format) => this.#tooNew(format)) : this.access
    const wrapped =
      sabotage.log?.(port, {
        store,
        clock: process.clock,
        coordinator: name,
        ledger: checker.ledger,
        tellWorker: (worker, message) => this.#workers.get(worker)?.send(JSON.stringify(message)),
      }) ?? port
    return countedPort(wrapped, this.#options.count, () => this.seat.position)
  }

  #tooNew(format: number): void {
    this.#options.count.reached('older binary met a newer log')
    this.#exit(new UnreadableFormat('the log', format))
  }

  requestSnapshot(): void {
    this.process.enter(() => {
      if (this.seat.role !== 'leading') return
      if (this.seat.requestSnapshot()) return
      this.#snapshot((result) => {
        if ('position' in result) this.#trim(result.position)
      })
    })
  }

  #snapshot(done: (result: { position: number; bytes: number } | { why: string }) => void): void {
    this.seat.between(() => {
      const { position } = this.seat
      const bytes = encoder.encode(snapshotText(this.seat.state))
      if (this.#options.sabotage.trimsFirst === true) this.access.trim(position + 1, () => {})
      this.access.putSnapshot({ position, bytes }, (ok) => {
        if (ok) this.#options.count.reached('snapshot stored')
        if (ok && this.seat.role !== 'leading') this.#previousSnapshot = position
        done(ok ? { position, bytes: bytes.length } : { why: 'it could not be stored' })
      })
    })
  }

  /** As the shell does: to the older of two snapshots, and only as the leader, not past what it knows of. */
  #trim(newest: number): void {
    const { seat } = this
    const previous = Math.max(this.#previousSnapshot, Math.min(seat.loadedSnapshotPosition, newest))
    this.#previousSnapshot = newest
    seat.snapshotMade(newest)
    if (seat.role !== 'leading') return
    const below = Math.min(previous, seat.position) + 1
    if (below > 1) this.access.trim(below, () => {})
  }

  /** Hands over if somebody can take it, says good-bye, and exits. */
  leave(): void {
    this.#options.trace(() => 'is asked to end')
    this.#card = { ...this.#card, draining: true }
    this.process.enter(() => {
      this.seat.drain(() => {
        this.seat.stop(() => {
          this.#options.count.reached('coordinator ended in order')
          // What it has said is let go.
          this.process.clock.after(2, () => this.process.kill())
        })
      })
    })
  }

  // ---- the others ----

  #announce(): void {
    const { members, network, process } = this.#options
    const again = (): void => {
      if (network.isOpen(this.name, 'log')) {
        members.announce(this.#card)
        this.seat.setMembers(members.list())
      }
      process.clock.after(membersEveryMs, again)
    }
    // The first announcement takes a moment, like every request.
    process.clock.after(5, again)
  }

  #dial(
    address: string,
    handlers: { opened(): void; message(message: PeerMessage): void; closed(refused: boolean): void },
  ) {
    const end = this.#options.network.dial(this.process, `${address}/peer`, {
      opened: () => handlers.opened(),
      message: (text) => handlers.message(JSON.parse(text as string) as PeerMessage),
      closed: (refused) => handlers.closed(refused),
    })
    return {
      send: (message: PeerMessage) => end.send(JSON.stringify(message)),
      close: () => end.close(),
    }
  }

  #listen(): void {
    const { network } = this.#options
    network.listen(`${this.name}/peer`, this.process, (end) => {
      const peer = this.seat.accept({
        send: (message) => end.send(JSON.stringify(message)),
        close: () => end.close(),
      })
      return {
        message: (text) => peer.message(JSON.parse(text as string) as PeerMessage),
        closed: () => peer.closed(),
      }
    })
    network.listen(`${this.name}/worker`, this.process, (end) => this.#acceptWorker(end))
    network.listen(`${this.name}/client`, this.process, (end) => ({
      message: (call) => this.#call(call as ClientCall, (answer) => end.send(answer)),
      closed: () => {},
    }))
  }

  #acceptWorker(end: End): { message(text: unknown): void; closed(): void } {
    const { sabotage } = this.#options
    const worker = this.seat.connectWorker({
      send: (text) => end.send(text),
      close: () => end.close(),
    })
    let id: string | undefined
    return {
      message: (text) => {
        const message = sabotage.name === 'none' ? undefined : (JSON.parse(text as string) as WorkerMessage)
        if (message?.type === 'hello') this.#workers.set((id = message.worker), end)
        const answer = message && sabotage.answer?.(message)
        if (answer) end.send(JSON.stringify(answer))
        worker.message(text as string)
      },
      closed: () => {
        if (id !== undefined && this.#workers.get(id) === end) this.#workers.delete(id)
        worker.closed()
      },
    }
  }

  // ---- what is asked of it ----

  #call(call: ClientCall, answer: (answer: ClientAnswer) => void): void {
    if (call.type === 'read') {
      this.seat.whenReached(call.position, () => {
        this.seat.between(() => {
          const { position, state } = this.seat
          answer({ type: 'read', position, digest: digestOf(state.runs.get(call.run)) })
        })
      })
      return
    }
    this.seat.submit(call.input, (outcome) => {
      if (outcome.type === 'ok') answer({ type: 'ok', position: outcome.position })
      else if (outcome.type === 'refused') answer({ type: 'refused', code: outcome.error.code })
      else answer({ type: 'unavailable' })
    })
  }

  #inputOf(worker: string, message: ReportMessage, done: (input: Input | undefined) => void): void {
    const { random, sabotage, checker } = this.#options
    const input = plainInput(worker, message)
    const given = sabotage.input?.(input, checker.ledger) ?? input
    if (random.chance(0.3)) this.process.clock.after(random.delay(1, 3, 40), () => done(given))
    else done(given)
  }
}
