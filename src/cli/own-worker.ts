/**
 * The worker that a coordinator starts on its own host, and keeps running. That of a daemon outlives a crash
 * of the daemon with all that it runs; the next daemon adopts it instead of starting a second one, watches it
 * by its process id, and ends it like one of its own.
 */
import { spawn, type ChildProcess } from 'node:child_process'
import { readFileSync } from 'node:fs'
import type { Coordinator, CoordinatorOptions } from '../coordinator/coordinator.ts'
import type { Worker } from '../core/state.ts'
import { hostId } from '../worker/host-id.ts'
import { isRunning } from '../worker/process-tree.ts'
import { launcher } from './places.ts'
import { daemonLabel, pidLabel } from './worker-labels.ts'

export type OwnWorkerOptions = {
  readonly coordinator: Coordinator
  readonly socket: string
  readonly dataDirectory: string
  readonly cpus?: number | undefined
  /** It ends with this process; else it outlives a crash and reconnects. */
  readonly bound: boolean
  readonly onLog: NonNullable<CoordinatorOptions['onLog']>
}

const restartMs = [100, 500, 2000, 10_000]
/** An adopted one has so long to connect; then another one is started. */
const adoptWaitMs = 1500
const lookEveryMs = 250
const politeMs = 5000

export class OwnWorker {
  readonly #options: OwnWorkerOptions
  #child: ChildProcess | undefined
  #adopted: number | undefined
  #failures = 0
  #closing = false
  #unobserve: () => void = () => undefined

  constructor(options: OwnWorkerOptions) {
    this.#options = options
  }

  start(): void {
    const { coordinator } = this.#options
    for (const worker of this.#ofDaemons()) {
      const pid = pidOf(worker)
      if (isRunning(pid) && this.#adopted === undefined) this.#adopt(pid)
      else if (!isRunning(pid)) this.#gone(pid, 'it was gone when the daemon came back')
    }
    if (this.#adopted === undefined) this.#spawn()
    // One that our predecessor had just started joins us beside our own: a host has one worker.
    this.#unobserve = coordinator.observe(({ events }) => {
      const joined = new Set(events.flatMap((event) => (event.type === 'worker.joined' ? [event.worker] : [])))
      if (joined.size === 0) return
      for (const worker of this.#ofDaemons()) {
        const pid = pidOf(worker)
        if (pid === this.#child?.pid || pid === this.#adopted) continue
        if (joined.has(worker.id) || coordinator.isConnected(worker)) endPolitely(pid)
      }
    })
  }

  /** Workers that a daemon started on this host, this one or its predecessors. */
  #ofDaemons(): Worker[] {
    const here = hostId()
    return [...this.#options.coordinator.state.workers.values()].filter(
      ({ capabilities }) => capabilities.host === here && capabilities.labels[daemonLabel] !== undefined,
    )
  }

  #adopt(pid: number): void {
    this.#adopted = pid
    const { coordinator, onLog } = this.#options
    const deadlineMs = Date.now() + adoptWaitMs
    const look = setInterval(() => {
      if (this.#closing) return clearInterval(look)
      if (isRunning(pid)) {
        if (Date.now() < deadlineMs || this.#isConnected(pid)) return
        // Its lease runs: it may still come back with its work, but the runs don't wait for that.
        if (coordinator.workers().some((one) => one.labels[pidLabel] === String(pid))) {
          clearInterval(look)
          this.#adopted = undefined
          this.#spawn()
          return
        }
      }
      clearInterval(look)
      this.#adopted = undefined
      onLog('warn', 'the adopted worker ended', { pid })
      this.#gone(pid, 'it was seen to be gone')
      this.#spawn()
    }, lookEveryMs)
    look.unref()
  }

  #isConnected(pid: number): boolean {
    return this.#options.coordinator
      .workers()
      .some((one) => one.labels[pidLabel] === String(pid) && one.state !== 'disconnected')
  }

  #spawn(): void {
    const { bound, socket, dataDirectory, cpus, onLog } = this.#options
    if (this.#closing) return
    const args = [launcher, 'worker', '--join', `unix:${socket}`, '--data', dataDirectory]
    if (cpus !== undefined) args.push('--cpus', String(cpus))
    args.push(bound ? '--bound' : '--orphan-timeout=10m')
    const child = spawn(process.execPath, args, {
      stdio: [bound ? 'pipe' : 'ignore', 'ignore', 'pipe'],
      detached: true,
      env: { ...process.env, MUSTER_TOKEN: '' },
    })
    this.#child = child
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
      this.#gone(child.pid, signal ?? `exit code ${code}`)
      const waitMs = restartMs[Math.min(this.#failures, restartMs.length - 1)]!
      this.#failures += 1
      setTimeout(() => this.#spawn(), waitMs).unref()
    })
  }

  /** Its process was seen to end: no need to wait for the lease. */
  #gone(pid: number | undefined, how: string): void {
    const { coordinator } = this.#options
    for (const worker of coordinator.state.workers.values()) {
      if (worker.capabilities.labels[pidLabel] === String(pid)) {
        coordinator.workerLost(worker.id, `its process ended: ${how}`)
      }
    }
  }

  async close(): Promise<void> {
    const { coordinator } = this.#options
    this.#closing = true
    this.#unobserve()
    const child = this.#child
    if (child && child.exitCode === null && child.signalCode === null) {
      const ended = new Promise((resolve) => child.once('exit', resolve))
      child.kill('SIGTERM')
      await ended
    }
    for (const worker of this.#ofDaemons()) {
      const pid = pidOf(worker)
      // One that has not come back yet after our predecessor's death would dial for minutes.
      if (!coordinator.isConnected(worker) && !dials(pid, this.#options.socket)) continue
      endPolitely(pid)
      const impatientMs = Date.now() + politeMs
      while (isRunning(pid) && Date.now() < impatientMs) await new Promise((resolve) => setTimeout(resolve, 20))
      // A second signal ends what it still runs.
      endPolitely(pid)
      while (isRunning(pid)) await new Promise((resolve) => setTimeout(resolve, 20))
    }
  }
}

/** Whether the process is a worker that was started for this socket, and not a later one with the same number. */
function dials(pid: number, socket: string): boolean {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').includes(`unix:${socket}`)
  } catch {
    // It is gone, or this system has no /proc to tell.
    return false
  }
}

function pidOf(worker: Worker): number {
  return Number(worker.capabilities.labels[pidLabel])
}

/** It finishes what it holds. */
function endPolitely(pid: number): void {
  if (isRunning(pid)) process.kill(pid, 'SIGTERM')
}
