/**
 * A whole coordinator (Unix socket, no history) in a process of its own: what the benchmarks load. On
 * SQLite unless it is one of a cluster, and optionally with this host's real worker. `await using` it.
 */
import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import type { HostProcessOptions } from './host-process.ts'

export type BenchHost = AsyncDisposable & {
  readonly socketPath: string
  readonly pid: number
  readonly directory: string
}

export type BenchHostOptions = Omit<HostProcessOptions, 'directory'> & {
  /** Kept when it ends; default: one of its own, which is removed. */
  readonly directory?: string
}

const program = path.join(import.meta.dirname, 'host-process.ts')

export async function startHost(options: BenchHostOptions = {}): Promise<BenchHost> {
  const directory = options.directory ?? mkdtempSync(path.join(os.tmpdir(), 'muster-bench-'))
  const child = spawn(process.execPath, ['--expose-gc', program, JSON.stringify({ ...options, directory })], {
    stdio: ['pipe', 'pipe', 'inherit'],
    // As bin/muster has it by default: compiled once.
    env: { ...process.env, NODE_COMPILE_CACHE: path.join(os.tmpdir(), 'node-compile-cache') },
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
      if (options.directory === undefined) rmSync(directory, { recursive: true, force: true })
    },
  }
}
