/**
 * Processes of Muster, started as a user would start them, and what the kernel says they cost. On a
 * machine that others load as well, CPU time per request says more than requests per second.
 */
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { diesWithParent } from '../../src/log/fixtures/etcd-cluster.ts'

const muster = path.join(import.meta.dirname, '..', '..', 'bin', 'muster')
const ticksPerSecond = 100

export class Programs implements AsyncDisposable {
  readonly #processes = new Map<string, ChildProcess>()

  /** Resolves once it has printed `word`. `data`: its directory. It dies with this process, however that ends. */
  async start(name: string, args: readonly string[], data: string, word: string): Promise<void> {
    const env = { ...process.env, MUSTER_DATA: data, MUSTER_LOG_LEVEL: 'warn', MUSTER_DETECT: 'none' }
    const all = [...(await diesWithParent()), muster, ...args]
    const child = spawn(all[0]!, all.slice(1), { env, stdio: ['ignore', 'pipe', 'pipe'] })
    this.#processes.set(name, child)
    let said = ''
    await new Promise<void>((resolve, reject) => {
      const hear = (text: Buffer): void => {
        said = (said + text.toString('utf8')).slice(-4000)
        if (said.includes(word)) resolve()
      }
      child.stdout.on('data', hear)
      child.stderr.on('data', hear)
      child.once('exit', () => reject(new Error(`${name} ended: ${said}`)))
    })
  }

  pid(name: string): number {
    return this.#processes.get(name)!.pid!
  }

  signal(name: string, signal: NodeJS.Signals): void {
    process.kill(this.pid(name), signal)
  }

  async ended(name: string): Promise<void> {
    const child = this.#processes.get(name)!
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit')
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const child of this.#processes.values()) if (child.exitCode === null) child.kill('SIGKILL')
    await Promise.all([...this.#processes.keys()].map((name) => this.ended(name)))
  }
}

/** CPU time that a process has had so far, all its threads together, to ten milliseconds. */
export function cpuMs(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return ((Number(fields[11]) + Number(fields[12])) / ticksPerSecond) * 1000
}

/** Memory that a process holds, in bytes. */
export function residentBytes(pid: number): number {
  const kib = /^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]
  return Number(kib ?? 0) * 1024
}

/** How busy the machine was, for the line below a table. */
export function loadWords(): string {
  return `load average ${os.loadavg()[0]!.toFixed(1)} on ${os.availableParallelism()} CPUs, which all processes share`
}

export function median(values: readonly number[]): number {
  return quantile(values, 0.5)
}

export function quantile(values: readonly number[], part: number): number {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? NaN
}
