/** The agent's end of the executor thread: starts it, and replaces it when it ends, no longer answers, or is to begin afresh. */
import { getCompileCacheDir } from 'node:module'
import { dirname } from 'node:path'
import { Worker } from 'node:worker_threads'
import type { ExecutorOptions, FromExecutor, ToExecutor } from './thread-messages.ts'

/** A thread that is busy reading a flood of results is late; one that hangs never answers. */
const answerTimeoutMs = 30_000

export type ExecutorHandlers = {
  readonly message: (message: FromExecutor) => void
  /** A new thread is in place already. */
  readonly died: (why: string) => void
}

export class ExecutorThread {
  readonly #options: ExecutorOptions
  readonly #handlers: ExecutorHandlers
  #thread: Worker
  #closed = false
  #probe: NodeJS.Timeout | undefined
  /** Index of the coordinator that the worker is connected to. */
  #connected = 0

  constructor(options: ExecutorOptions, handlers: ExecutorHandlers) {
    this.#options = options
    this.#handlers = handlers
    this.#thread = this.#start()
  }

  post(message: ToExecutor): void {
    this.#thread.postMessage(message)
  }

  /** Makes sure that the thread still answers. */
  probe(): void {
    if (this.#probe !== undefined) return
    this.post({ type: 'ping' })
    this.#probe = setTimeout(() => this.#replace(`did not answer for ${answerTimeoutMs / 1000} s`), answerTimeoutMs)
  }

  /** The worker is connected to the coordinator of this index: it is asked first. */
  connected(index: number): void {
    this.#connected = index
    this.post({ type: 'connected', index })
  }

  /** A new thread takes its place; what it was given is forgotten. */
  restart(): void {
    clearTimeout(this.#probe)
    this.#probe = undefined
    const old = this.#thread
    this.#thread = this.#start()
    this.post({ type: 'connected', index: this.#connected })
    void old.terminate()
  }

  async close(): Promise<void> {
    this.#closed = true
    clearTimeout(this.#probe)
    await this.#thread.terminate()
  }

  #start(): Worker {
    const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js'
    const thread = new Worker(new URL(`./executor.${extension}`, import.meta.url), {
      ...withCompileCache(this.#options),
      // Its pipes are opened by number and closed by their sockets, which Node's own count would not see.
      trackUnmanagedFds: false,
    })
    let failure: unknown
    thread.on('message', (message: FromExecutor) => {
      // What one that was replaced still says is about batches that count as over.
      if (thread !== this.#thread) return
      clearTimeout(this.#probe)
      this.#probe = undefined
      this.#handlers.message(message)
    })
    thread.on('error', (error) => (failure = error))
    thread.on('exit', (code) => {
      if (this.#closed || thread !== this.#thread) return
      this.#replace(`stopped: ${failure instanceof Error ? (failure.stack ?? failure.message) : `exit code ${code}`}`)
    })
    return thread
  }

  #replace(why: string): void {
    this.restart()
    this.#handlers.died(why)
  }
}

/**
 * A thread doesn't take over its process's cache of compiled code, unless the environment names it. From a clone, whose
 * TypeScript is compiled at each start, one without takes four times as long to be there.
 */
function withCompileCache(options: ExecutorOptions): {
  readonly workerData: ExecutorOptions
  readonly env?: NodeJS.ProcessEnv
} {
  const cache = getCompileCacheDir()
  if (cache === undefined || process.env['NODE_COMPILE_CACHE']) return { workerData: options }
  // Below the directory that one asks for, Node makes one for its version.
  const env = { ...process.env, NODE_COMPILE_CACHE: dirname(cache) }
  return { workerData: { ...options, ownCompileCache: true }, env }
}
