/** One coordinator by itself, on SQLite, as `muster serve` starts it: what a cluster is compared with. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { NodeTransport } from '../../src/cli/node-transport.ts'
import { Client } from '../../src/client/client.ts'
import { freePorts } from '../../src/log/fixtures/etcd-cluster.ts'
import { Programs } from './programs.ts'

export class BenchSingle implements AsyncDisposable {
  readonly directory: string
  readonly url: string
  readonly programs = new Programs()
  token = ''
  workerToken = ''

  private constructor(directory: string, port: number) {
    this.directory = directory
    this.url = `http://127.0.0.1:${port}`
  }

  static async start(): Promise<BenchSingle> {
    const [port] = await freePorts(1)
    const single = new BenchSingle(mkdtempSync(path.join(os.tmpdir(), 'muster-bench-')), port!)
    await single.startCoordinator()
    return single
  }

  async startCoordinator(): Promise<void> {
    const { directory } = this
    const args = ['serve', '--listen', new URL(this.url).host, '--data', directory]
    await this.programs.start('coordinator', args, directory, 'coordinator at')
    const tokens = JSON.parse(readFileSync(path.join(directory, 'tokens.json'), 'utf8')) as {
      client: string
      worker: string
    }
    this.token = tokens.client
    this.workerToken = tokens.worker
  }

  get pid(): number {
    return this.programs.pid('coordinator')
  }

  client(): Client {
    return new Client(new NodeTransport(this.url, this.token), 'bench')
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.programs[Symbol.asyncDispose]()
    rmSync(this.directory, { recursive: true, force: true })
  }
}
