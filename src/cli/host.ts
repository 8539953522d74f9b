/**
 * A coordinator with its listeners and, if wanted, this host's own worker: what `muster serve`, the
 * host daemon, and a run without a daemon all are.
 */
import { spawn, type ChildProcess } from 'node:child_process'
import { rm } from 'node:fs/promises'
import type { FastifyInstance } from 'fastify'
import { createApi } from '../api/server.ts'
import { ensureTokens } from '../api/tokens.ts'
import { Coordinator, type CoordinatorOptions } from '../coordinator/coordinator.ts'
import { MusterError } from '../protocol/errors.ts'
import { hostId } from '../worker/host-id.ts'
import { readSettings } from './settings.ts'
import { buildId, launcher, packageVersion, privateDirectory, socketPath } from './places.ts'

export type HostOptions = {
  readonly directory: string
  readonly log?: CoordinatorOptions['log']
  readonly history?: CoordinatorOptions['history']
  /** TCP besides the Unix socket. */
  readonly listen?: { readonly host: string; readonly port: number; readonly hostNames: readonly string[] }
  /** Start this host's worker. `bound`: it ends with this process, else it outlives a crash and reconnects. */
  readonly worker?: { readonly dataDirectory: string; readonly cpus?: number; readonly bound: boolean }
  readonly onLog: NonNullable<CoordinatorOptions['onLog']>
  readonly onShutdown: () => void
  readonly onFatal: (error: unknown) => void
}

const workerRestartMs = [100, 500, 2000, 10_000]
const adoptWaitMs = 1500

export class Host implements AsyncDisposable {
  readonly coordinator: Coordinator
  readonly socket: string
  readonly #options: HostOptions
  readonly #apis: FastifyInstance[] = []
  /** Where TCP clients and workers reach it. */
  address: string | undefined
  #worker: ChildProcess | undefined
  #workerFailures = 0
  #closing = false

  private constructor(options: HostOptions, coordinator: Coordinator) {
    this.#options = options
    this.coordinator = coordinator
    this.socket = socketPath(options.directory)
  }

  static async start(options: HostOptions): Promise<Host> {
    privateDirectory(options.directory)
    const { limits, times } = readSettings(options.directory)
    const coordinator = await Coordinator.open({
      directory: options.directory,
      version: packageVersion(),
      limits,
      times,
      ...(options.log === undefined ? {} : { log: options.log }),
      ...(options.history === undefined ? {} : { history: options.history }),
      onLog: options.onLog,
      onFatal: options.onFatal,
    })
    const host = new Host(options, coordinator)
    try {
      await host.#listen()
      host.#startWorker()
      return host
    } catch (error) {
      await host.close()
      throw error
    }
  }

  async #listen(): Promise<void> {
    const { coordinator } = this
    const common = { coordinator, build: buildId(), onShutdown: this.#options.onShutdown }
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

  /** A worker that outlived our predecessor is adopted instead of joined by a second one. */
  #startWorker(): void {
    const { worker } = this.#options
    if (!worker) return
    const here = hostId()
    const known = [...this.coordinator.state.workers.values()].some(
      (one) => one.capabilities.host === here && !one.draining,
    )
    if (!known) return this.#spawnWorker()
    setTimeout(() => {
      const back = this.coordinator.workers().some((one) => one.host === here && one.state !== 'disconnected')
      if (!back && !this.#closing) this.#spawnWorker()
    }, adoptWaitMs).unref()
  }

  #spawnWorker(): void {
    const { worker, onLog } = this.#options
    if (!worker || this.#closing) return
    const args = [launcher, 'worker', '--join', `unix:${this.socket}`, '--data', worker.dataDirectory]
    if (worker.cpus !== undefined) args.push('--cpus', String(worker.cpus))
    args.push(worker.bound ? '--bound' : '--orphan-timeout=10m')
    const child = spawn(process.execPath, args, {
      stdio: [worker.bound ? 'pipe' : 'ignore', 'ignore', 'pipe'],
      detached: true,
      env: { ...process.env, MUSTER_TOKEN: '' },
    })
    this.#worker = child
    let words = ''
    child.stderr!.setEncoding('utf8')
    child.stderr!.on('data', (text: string) => {
      words = (words + text).slice(-4000)
    })
    ;(child.stderr as unknown as { unref(): void }).unref()
    child.unref()
    child.on('error', (error) => onLog('error', 'the worker could not be started', { error: error.message }))
    child.on('exit', (code, signal) => {
      if (this.#closing) return
      onLog('warn', 'the worker ended', { code, signal, words: words.trim().split('\n').at(-1) })
      void this.#workerGone(child.pid, signal ?? `exit code ${code}`)
      const waitMs = workerRestartMs[Math.min(this.#workerFailures, workerRestartMs.length - 1)]!
      this.#workerFailures += 1
      setTimeout(() => this.#spawnWorker(), waitMs).unref()
    })
  }

  /** Its process was seen to end: no need to wait for the lease. */
  async #workerGone(pid: number | undefined, how: string): Promise<void> {
    for (const worker of this.coordinator.state.workers.values()) {
      if (worker.capabilities.labels['muster.pid'] === String(pid)) {
        await this.coordinator.sessions.lost(worker.id, `its process ended: ${how}`)
      }
    }
  }

  /** Ends the worker first, so that what it holds is accounted for or requeued by a successor. */
  async close(): Promise<void> {
    if (this.#closing) return
    this.#closing = true
    const worker = this.#worker
    if (worker && worker.exitCode === null && worker.signalCode === null) {
      const ended = new Promise((resolve) => worker.once('exit', resolve))
      worker.kill('SIGTERM')
      await ended
    }
    for (const api of this.#apis) await api.close()
    await this.coordinator.close()
    await rm(this.socket, { force: true })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }
}
