/** A coordinator in a process of its own, so that a test can stop it (SIGSTOP), kill it and start it again. */
import { type ChildProcess, fork } from 'node:child_process'
import { EventEmitter, on } from 'node:events'
import { rmSync } from 'node:fs'
import path from 'node:path'
import type { WorkerMessage } from '../protocol/worker-messages.ts'
import { temporarySocket, type TestCoordinator } from './test-coordinator.ts'

type Settings = Partial<Pick<TestCoordinator, 'heartbeatMs' | 'leaseMs' | 'fenceMs' | 'epoch'>>
type Told = WorkerMessage | { readonly type: 'listening' }

export class CoordinatorProcess {
  readonly socketPath = temporarySocket()
  /** From this process and those before it. */
  readonly received: Told[] = []
  readonly #settings: Settings
  readonly #heard = new EventEmitter()
  #child: ChildProcess | undefined

  constructor(settings: Settings = {}) {
    this.#settings = settings
  }

  get url(): string {
    return `unix:${this.socketPath}`
  }

  async start(): Promise<this> {
    const script = path.join(import.meta.dirname, 'fixtures', 'coordinator-process.ts')
    this.#child = fork(script, [this.socketPath, JSON.stringify(this.#settings)])
    this.#child.on('message', (message) => {
      this.received.push(message as Told)
      this.#heard.emit('message')
    })
    const before = this.received.length
    await this.until((one) => one.type === 'listening', before)
    return this
  }

  assign(files: readonly string[], options: object = {}): void {
    this.#child!.send({ files, options })
  }

  signal(name: 'SIGSTOP' | 'SIGCONT'): void {
    this.#child!.kill(name)
  }

  /** With SIGKILL: its socket file stays. */
  async kill(): Promise<void> {
    const child = this.#child
    this.#child = undefined
    if (child === undefined) return
    const exited = new Promise((resolve) => child.once('exit', resolve))
    child.kill('SIGKILL')
    await exited
  }

  /** The first message that fits, of those received and to come. */
  async until(fits: (message: Told) => boolean, from = 0): Promise<Told> {
    const signal = AbortSignal.timeout(30_000)
    const news = on(this.#heard, 'message', { signal })
    for (;;) {
      const found = this.received.slice(from).find(fits)
      if (found !== undefined) return found
      await news.next()
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill()
    rmSync(this.socketPath, { force: true })
  }
}
