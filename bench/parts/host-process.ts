/**
 * The process that `startHost` and bench/restart.ts start: prints its socket, ends with its stdin. It
 * keeps no history, whose own process would compete with what is measured.
 */
import path from 'node:path'
import { Host, type HostOptions } from '../../src/cli/host.ts'
import { openCluster } from '../../src/cli/open-cluster.ts'

export type HostProcessOptions = {
  readonly directory: string
  readonly worker?: boolean
  /** One of several coordinators, at `http://127.0.0.1:PORT`. */
  readonly cluster?: { readonly etcd: string; readonly blobs: string; readonly port: number }
}

const { directory, worker, cluster } = JSON.parse(process.argv[2]!) as HostProcessOptions

function clusterOptions({ etcd, blobs, port }: NonNullable<HostProcessOptions['cluster']>): Partial<HostOptions> {
  const address = `http://127.0.0.1:${port}`
  const flags = { cluster: etcd, blobs, name: path.basename(directory), credentials: {}, budgetBytes: 2 ** 31 }
  const warn = (text: string) => process.stderr.write(`${text}\n`)
  return {
    listen: { host: '127.0.0.1', port, hostNames: [] },
    cluster: { address, open: () => openCluster(flags, directory, address, warn) },
  }
}

const host = await Host.start({
  directory,
  history: false,
  ...(worker ? { worker: { dataDirectory: path.join(directory, 'worker'), bound: true } } : {}),
  ...(cluster ? clusterOptions(cluster) : {}),
  onLog: (level, message) => {
    if (level === 'error') process.stderr.write(`${message}\n`)
  },
  onShutdown: () => undefined,
  onFatal: (error) => {
    throw error
  },
})
process.stdout.write(`${host.socket}\n`)
process.stdin.on('end', () => void host.close().then(() => process.exit(0))).resume()
