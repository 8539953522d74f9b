/**
 * A whole cluster for benchmarks: etcd members that wait for the disk, coordinators and workers, each
 * a process of its own as a user would start it. `await using` it.
 */
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { NodeTransport } from '../../src/cli/node-transport.ts'
import { Client } from '../../src/client/client.ts'
import { EtcdCluster, freePorts } from '../../src/log/fixtures/etcd-cluster.ts'
import type { ClusterView } from '../../src/protocol/api.ts'

const muster = path.join(import.meta.dirname, '..', '..', 'bin', 'muster')
const readyMs = 60_000

export class BenchCluster implements AsyncDisposable {
  readonly etcd: EtcdCluster
  readonly directory: string
  readonly #ports: readonly number[]
  readonly #processes = new Map<string, ChildProcess>()
  token = ''

  private constructor(etcd: EtcdCluster, directory: string, ports: readonly number[]) {
    this.etcd = etcd
    this.directory = directory
    this.#ports = ports
  }

  static async start(options: { readonly etcd: number; readonly coordinators: number }): Promise<BenchCluster> {
    const etcd = await EtcdCluster.start({ members: options.etcd, sync: true })
    const directory = mkdtempSync(path.join(os.tmpdir(), 'muster-bench-'))
    const cluster = new BenchCluster(etcd, directory, await freePorts(options.coordinators))
    for (const name of cluster.names) await cluster.startCoordinator(name)
    await cluster.settled()
    return cluster
  }

  get names(): string[] {
    return this.#ports.map((_, at) => `c${at + 1}`)
  }

  url(name: string): string {
    return `http://127.0.0.1:${this.#ports[this.names.indexOf(name)]!}`
  }

  client(name: string): Client {
    return new Client(new NodeTransport(this.url(name), this.token), 'bench')
  }

  async startCoordinator(name: string): Promise<void> {
    const data = path.join(this.directory, name)
    const listen = new URL(this.url(name)).host
    const shared = ['--cluster', this.etcd.url(), '--blobs', path.join(this.directory, 'blobs')]
    await this.#start(
      name,
      ['serve', '--listen', listen, '--data', data, '--name', name, ...shared],
      data,
      'coordinator at',
    )
    const tokens = JSON.parse(readFileSync(path.join(data, 'tokens.json'), 'utf8')) as { readonly client: string }
    this.token = tokens.client
  }

  async startWorker(name: string, flags: readonly string[] = []): Promise<void> {
    const data = path.join(this.directory, name)
    const tokens = JSON.parse(readFileSync(path.join(this.directory, 'c1', 'tokens.json'), 'utf8')) as {
      worker: string
    }
    const to = this.names.map((one) => this.url(one)).join(',')
    const args = ['worker', '--join', to, '--token', tokens.worker, '--name', name, '--data', data, ...flags]
    await this.#start(name, args, data, 'joined')
  }

  #start(name: string, args: readonly string[], data: string, word: string): Promise<void> {
    const env = { ...process.env, MUSTER_DATA: data, MUSTER_LOG_LEVEL: 'warn' }
    const child = spawn(muster, args, { env, stdio: ['ignore', 'pipe', 'pipe'] })
    this.#processes.set(name, child)
    let said = ''
    return new Promise((resolve, reject) => {
      const hear = (text: Buffer): void => {
        said = (said + text.toString('utf8')).slice(-4000)
        if (said.includes(word)) resolve()
      }
      child.stdout.on('data', hear)
      child.stderr.on('data', hear)
      child.once('exit', () => reject(new Error(`${name} ended: ${said}`)))
    })
  }

  signal(name: string, signal: NodeJS.Signals): void {
    process.kill(this.#processes.get(name)!.pid!, signal)
  }

  /** SIGKILL, at once. */
  kill(name: string): void {
    this.signal(name, 'SIGKILL')
  }

  async ended(name: string): Promise<void> {
    const child = this.#processes.get(name)!
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit')
  }

  /** Every coordinator leads or follows, and none lags. Returns the leader's name. */
  async settled(): Promise<string> {
    const deadlineMs = performance.now() + readyMs
    for (;;) {
      for (const name of this.names) {
        const view = await this.client(name)
          .get<ClusterView>('/cluster')
          .catch(() => undefined)
        const members = view?.members.filter((one) => one.problem === undefined && one.lag === 0) ?? []
        const leader = members.find((one) => one.role === 'leader')
        if (leader && members.length === this.names.length) return leader.name
      }
      if (performance.now() > deadlineMs) throw new Error('the cluster does not come to rest')
      await new Promise((resolve) => setTimeout(resolve, 100))
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const child of this.#processes.values()) if (child.exitCode === null) child.kill('SIGKILL')
    await Promise.all([...this.#processes.keys()].map((name) => this.ended(name)))
    await this.etcd[Symbol.asyncDispose]()
    rmSync(this.directory, { recursive: true, force: true })
  }
}
