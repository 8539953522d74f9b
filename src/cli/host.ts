/**
 * A coordinator with its listeners and, if wanted, this host's own worker: what `muster serve`, the
 * host daemon, and a run without a daemon all are.
 */
import { rm } from 'node:fs/promises'
import type { FastifyInstance } from 'fastify'
import { createApi } from '../api/server.ts'
import { ensureTokens, readTokens, tokensRecord } from '../api/tokens.ts'
import { Coordinator, type ClusterOptions, type CoordinatorOptions } from '../coordinator/coordinator.ts'
import { loadPlugins, type Wanted } from '../plugins/load.ts'
import { MusterError } from '../protocol/errors.ts'
import { logLife } from '../telemetry/life-log.ts'
import { Metrics } from '../telemetry/metrics.ts'
import type { Say } from '../telemetry/say.ts'
import { openTraces, type Traces } from '../telemetry/traces/traces.ts'
import { lockDirectory } from './directory-lock.ts'
import { readSettings } from './settings.ts'
import { OwnWorker } from './own-worker.ts'
import { buildId, packageVersion, privateDirectory, socketPath } from './places.ts'

export type HostOptions = {
  readonly directory: string
  readonly log?: CoordinatorOptions['log']
  readonly history?: CoordinatorOptions['history']
  /** TCP besides the Unix socket. */
  readonly listen?: { readonly host: string; readonly port: number; readonly hostNames: readonly string[] }
  /** One of several coordinators: opens what they share, given where the others reach this one. */
  readonly cluster?: { readonly address: string; readonly open: () => Promise<ClusterOptions> }
  /** Beside those of coordinator.json. */
  readonly plugins?: readonly Wanted[]
  /** Metrics need no token. */
  readonly metricsOpen?: boolean
  /** Start this host's worker. `bound`: it ends with this process, else it outlives a crash and reconnects. */
  readonly worker?: { readonly dataDirectory: string; readonly cpus?: number; readonly bound: boolean }
  readonly onLog: Say
  /** Whether lines about every batch and attempt are wanted. */
  readonly debug?: boolean
  readonly onShutdown: () => void
  readonly onFatal: (error: unknown) => void
}

/** Nobody waits longer for a connection or for history that doesn't end; what is committed is safe either way. */
const closeMaxMs = 8000
const handOverMaxMs = 3000

function within(limitMs: number, work: Promise<unknown>): Promise<unknown> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise((resolve) => {
    timer = setTimeout(resolve, limitMs)
  })
  return Promise.race([work, late]).finally(() => clearTimeout(timer))
}

export class Host implements AsyncDisposable {
  readonly coordinator: Coordinator
  readonly socket: string
  /** When somebody last asked for something. */
  lastRequestMs = Date.now()
  readonly #options: HostOptions
  readonly #apis: FastifyInstance[] = []
  readonly #metrics: Metrics
  /** On the data directory. */
  readonly #lock: Disposable
  /** Where TCP clients and workers reach it. */
  address: string | undefined
  #worker: OwnWorker | undefined
  #traces: Traces | undefined
  #closing = false

  private constructor(options: HostOptions, coordinator: Coordinator, metrics: Metrics, lock: Disposable) {
    this.#options = options
    this.#lock = lock
    this.coordinator = coordinator
    this.#metrics = metrics
    metrics.watch(coordinator, () => this.#traces?.counts())
    logLife(coordinator, (...line) => this.#say(...line), options.debug === true)
    this.socket = socketPath(options.directory)
  }

  static async start(options: HostOptions): Promise<Host> {
    privateDirectory(options.directory)
    const { limits, times, overload, shares, plugins } = readSettings(options.directory)
    const registry = await loadPlugins([...plugins, ...(options.plugins ?? [])])
    const metrics = new Metrics()
    // What it says while it opens has no name yet.
    let say: Say = options.onLog
    using opening = new DisposableStack()
    // A log of its own is locked anyway.
    if (options.cluster) opening.use(lockDirectory(options.directory))
    const cluster = await options.cluster?.open()
    const coordinator = await Coordinator.open({
      ...(cluster === undefined ? {} : { cluster }),
      directory: options.directory,
      version: packageVersion(),
      limits,
      times,
      overload,
      shares,
      plugins: registry,
      ...(options.log === undefined ? {} : { log: options.log }),
      ...(options.history === undefined ? {} : { history: options.history }),
      wrapBlobs: metrics.wrapBlobs,
      onLog: (...line) => say(...line),
      onFatal: options.onFatal,
    })
    const host = new Host(options, coordinator, metrics, opening.move())
    say = (...line) => host.#say(...line)
    try {
      host.#traces = await openTraces(coordinator, packageVersion(), say)
      await host.#listen()
      // Now that the others can reach it.
      if (cluster) await coordinator.start()
      if (options.worker) {
        host.#worker = new OwnWorker({ coordinator, socket: host.socket, onLog: say, ...options.worker })
        host.#worker.start()
      }
      return host
    } catch (error) {
      await host.close()
      throw error
    }
  }

  /** Which coordinator says it, and whether it leads: a line may be read beside those of others. */
  #say(...[level, message, detail]: Parameters<Say>): void {
    const { coordinator, role, epoch } = this.coordinator.standing()
    this.#options.onLog(level, message, { ...detail, coordinator, role, epoch })
  }

  async #listen(): Promise<void> {
    const { coordinator } = this
    const common = {
      coordinator,
      metrics: this.#metrics,
      metricsOpen: this.#options.metricsOpen === true,
      say: (...line: Parameters<Say>) => this.#say(...line),
      build: buildId(),
      records: async () => tokensRecord(readTokens(this.#options.directory)),
      onShutdown: this.#options.onShutdown,
      onRequest: () => {
        this.lastRequestMs = Date.now()
      },
    }
    // We hold the log, so whoever left this socket is gone.
    await rm(this.socket, { force: true })
    const local = await createApi({ ...common, access: { type: 'socket' } })
    this.#apis.push(local)
    await local.listen({ path: this.socket })
    const { listen, directory } = this.#options
    if (!listen) return
    const hostNames = [listen.host, ...listen.hostNames]
    const remote = await createApi({ ...common, access: { type: 'tcp', tokens: ensureTokens(directory), hostNames } })
    this.#apis.push(remote)
    try {
      this.address = await remote.listen({ host: listen.host, port: listen.port })
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException
      const what =
        code === 'EADDRINUSE'
          ? 'the port is in use'
          : code === 'EACCES'
            ? 'this user may not use the port'
            : String(error)
      throw new MusterError('config_invalid', `Cannot listen on ${listen.host}:${listen.port}: ${what}`, {
        cause: error,
        hint: 'Choose another with --listen HOST:PORT.',
      })
    }
  }

  /** Ends the worker first, so that what it holds is accounted for or requeued by a successor. */
  async close(): Promise<void> {
    if (this.#closing) return
    this.#closing = true
    this.coordinator.leave()
    await this.#worker?.close()
    await within(handOverMaxMs, this.coordinator.handOver())
    await within(closeMaxMs, Promise.all(this.#apis.map((api) => api.close())))
    await this.#traces?.[Symbol.asyncDispose]()
    await within(closeMaxMs, this.coordinator.close())
    this.#metrics[Symbol.dispose]()
    await rm(this.socket, { force: true })
    this.#lock[Symbol.dispose]()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }
}
