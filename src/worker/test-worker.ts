/** Starts workers for tests, in this process or as one of their own. */
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { startWorker, type WorkerHandle, type WorkerOptions } from './main.ts'

/** A folder that is removed at the end of the scope. */
export function temporaryFolder(): Disposable & { readonly path: string } {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'worker-test-'))
  return { path: folder, [Symbol.dispose]: () => rmSync(folder, { recursive: true, force: true }) }
}

export async function startTestWorker(
  coordinator: { readonly url: string },
  options: Partial<WorkerOptions> = {},
): Promise<WorkerHandle> {
  const folder = temporaryFolder()
  try {
    const worker = await startWorker({
      urls: [coordinator.url],
      labels: {},
      dataDir: folder.path,
      version: '0.0.0',
      log: () => {},
      detect: 'none',
      runnersModule: new URL('./fixtures/fake-runner.ts', import.meta.url).href,
      ...options,
    })
    void worker.done.then(() => folder[Symbol.dispose]())
    return worker
  } catch (error) {
    folder[Symbol.dispose]()
    throw error
  }
}

export class WorkerProcess {
  readonly child: ChildProcess
  readonly exited: Promise<{ code: number | null; signal: string | null }>
  stderr = ''
  readonly #folder = temporaryFolder()

  constructor(coordinator: { readonly url: string }, options: object = {}) {
    const script = path.join(import.meta.dirname, 'fixtures', 'worker-process.ts')
    const argv = [script, coordinator.url, this.#folder.path, JSON.stringify(options)]
    this.child = spawn(process.execPath, argv, { stdio: ['ignore', 'ignore', 'pipe'] })
    this.child.stderr!.on('data', (chunk: Buffer) => (this.stderr += chunk.toString()))
    this.exited = new Promise((resolve) => this.child.once('exit', (code, signal) => resolve({ code, signal })))
  }

  /** Resolves once it has said so; rejects when it ends without. */
  async says(pattern: RegExp): Promise<void> {
    const stderr = this.child.stderr!
    const ended = stderr.readableEnded ? Promise.resolve() : once(stderr, 'end')
    while (!pattern.test(this.stderr)) {
      if (stderr.readableEnded) throw new Error(`it ended without ${pattern}:\n${this.stderr}`)
      await Promise.race([once(stderr, 'data'), ended])
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.child.exitCode === null && this.child.signalCode === null) this.child.kill('SIGKILL')
    await this.exited
    this.#folder[Symbol.dispose]()
  }
}

/** Running, and not a zombie that its parent has not read yet. */
export function isAlive(pid: number): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
    return !['Z', 'X'].includes(stat.slice(stat.lastIndexOf(')') + 2)[0]!)
  } catch {
    // No such process.
    return false
  }
}

/** A process that isn't our child can't be waited for: looked at until it is gone. */
export async function untilGone(pids: readonly number[], timeoutMs = 30_000): Promise<void> {
  const deadlineMs = performance.now() + timeoutMs
  while (pids.some(isAlive)) {
    if (performance.now() > deadlineMs) throw new Error(`still running: ${pids.filter(isAlive).join(', ')}`)
    await sleep(5)
  }
}
