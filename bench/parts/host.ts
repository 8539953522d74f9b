/**
 * A whole coordinator (SQLite log, Unix socket, no history) in a process of its own, and optionally
 * this host's real worker: what the benchmarks load. `await using` it.
 */
import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'

export type BenchHost = AsyncDisposable & {
  readonly socketPath: string
  readonly pid: number
  readonly directory: string
}

const program = path.join(import.meta.dirname, 'host-process.ts')

export async function startHost(options: { readonly worker?: boolean } = {}): Promise<BenchHost> {
  const directory = mkdtempSync(path.join(os.tmpdir(), 'muster-bench-'))
  const child = spawn(process.execPath, ['--expose-gc', program, directory, options.worker ? 'worker' : ''], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  const socketPath = await new Promise<string>((resolve, reject) => {
    child.once('exit', (code) => reject(new Error(`the coordinator ended with ${code}`)))
    child.stdout.once('data', (text: Buffer) => resolve(text.toString('utf8').trim()))
  })
  return {
    socketPath,
    pid: child.pid!,
    directory,
    async [Symbol.asyncDispose]() {
      const exited = new Promise((resolve) => child.once('exit', resolve))
      child.stdin.end()
      await exited
      rmSync(directory, { recursive: true, force: true })
    },
  }
}
