/**
 * A whole cluster for benchmarks: etcd members that wait for the disk, coordinators and workers, each
 * a process of its own as a user would start it. `await using` it.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { NodeTransport } from '../../src/cli/node-transport.ts'
import { Client } from '../../src/client/client.ts'
import { EtcdCluster, freePorts } from '../../src/log/fixtures/etcd-cluster.ts'
import type { ClusterView } from '../../src/protocol/api.ts'
import { Programs } from './programs.ts'

const readyMs = 60_000

export class BenchCluster implements AsyncDisposable {
  readonly etcd: EtcdCluster
  readonly directory: string
  readonly #ports: readonly number[]
  readonly programs = new Programs()
  token = ''
  workerToken = ''

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
    await this.programs.start(
      name,
      ['serve', '--listen', listen, '--data', data, '--name', name, ...shared],
      data,
      'coordinator at',
    )
    const tokens = JSON.parse(readFileSync(path.join(data, 'tokens.json'), 'utf8')) as {
      readonly client: string
      readonly worker: string
    }
    this.token = tokens.client
    this.workerToken = tokens.worker
  }

  async startWorker(name: string, flags: readonly string[] = []): Promise<void> {
    const data = path.join(this.directory, name)
    const to = this.names.map((one) => this.url(one)).join(',')
    const args = ['worker', '--join', to, '--token', this.workerToken, '--name', name, '--data', data, ...flags]
    await this.programs.start(name, args, data, 'joined')
  }

  signal(name: string, signal: NodeJS.Signals): void {
    this.programs.signal(name, signal)
  }

  /** SIGKILL, at once. */
  kill(name: string): void {
    this.signal(name, 'SIGKILL')
  }

  ended(name: string): Promise<void> {
    return this.programs.ended(name)
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
    await this.programs[Symbol.asyncDispose]()
    await this.etcd[Symbol.asyncDispose]()
    rmSync(this.directory, { recursive: true, force: true })
  }
}
