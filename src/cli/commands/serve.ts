/** `muster serve`: a coordinator for others, in the foreground. */
import { writeFileSync } from 'node:fs'
import { hostname, networkInterfaces } from 'node:os'
import { dirname, resolve } from 'node:path'
import { ensureTokens } from '../../api/tokens.ts'
import { fromHere } from '../plugin-flag.ts'
import { MusterError } from '../../protocol/errors.ts'
import { openProgramLog } from '../../telemetry/program-log.ts'
import { announce } from '../discovery.ts'
import { Host } from '../host.ts'
import { chosenPort, openCluster, type ClusterFlags } from '../open-cluster.ts'
import { privateDirectory, servedFile, serverDirectory } from '../places.ts'

export type ServeOptions = {
  readonly listen: string
  readonly data?: string
  readonly allowHost?: readonly string[]
  readonly metricsOpen?: boolean
  readonly plugin?: readonly string[]
  readonly cluster?: string
  readonly blobs?: string
  readonly advertise?: string
  readonly name?: string
  readonly etcdCa?: string
  readonly etcdCert?: string
  readonly etcdKey?: string
  readonly etcdUser?: string
}

export async function serveCommand(options: ServeOptions): Promise<number> {
  const flags = clusterFlags(options)
  const asked = parseListen(options.listen)
  const listen = flags ? { ...asked, port: await chosenPort(asked.host, asked.port) } : asked
  const directory = resolve(options.data ?? serverDirectory())
  const address = options.advertise ?? reachable(listen)
  const log = openProgramLog(2)
  const stopped = Promise.withResolvers<number>()
  const host = await Host.start({
    directory,
    listen: { ...listen, hostNames: [new URL(address).hostname, ...(options.allowHost ?? [])] },
    ...(flags
      ? {
          cluster: {
            address,
            open: () => openCluster(flags, directory, address, (text) => log.say('warn', text, {})),
          },
        }
      : {}),
    metricsOpen: options.metricsOpen === true,
    plugins: (options.plugin ?? []).map(fromHere),
    onLog: log.say,
    debug: log.debug,
    onShutdown: () => stopped.resolve(0),
    onFatal: (error) => {
      log.fatal('cannot go on', error)
      process.exit(3)
    },
  })
  const tokens = ensureTokens(directory)
  const note = servedFile(new URL(host.address!).port)
  privateDirectory(dirname(note))
  writeFileSync(note, directory, { mode: 0o600 })
  const shown = flags ? address : reachable({ host: listen.host, port: Number(new URL(host.address!).port) })
  process.stdout.write(
    [
      `muster coordinator at ${shown}  (data in ${directory})`,
      '',
      'On each machine that shall run tests:',
      `  muster worker --join ${shown} --token ${tokens.worker}`,
      ...(flags ? ['  (name every coordinator of the cluster, with commas between)'] : []),
      'To submit from anywhere:',
      `  muster run --server ${shown} --token ${tokens.client}`,
      '(the same user on this host needs no --token)',
      '',
    ].join('\n'),
  )
  const announced = { address: shown, workerToken: tokens.worker, name: options.name ?? hostname() }
  const announcement = await announce(announced, (text) => log.say('warn', text, {}))
  process.on('SIGTERM', () => stopped.resolve(0)).on('SIGINT', () => stopped.resolve(0))
  const code = await stopped.promise
  await announcement?.stop()
  await host.close()
  process.exit(code)
}

function parseListen(text: string): { host: string; port: number } {
  const match = /^(?:(\[[0-9a-fA-F:]+\]|[^:]*):)?(\d+)$/.exec(text)
  const port = Number(match?.[2])
  if (!match || port > 65_535) {
    throw new MusterError('usage', `--listen: expected HOST:PORT or PORT, received '${text}'`, {
      hint: 'For example --listen 0.0.0.0:7357',
    })
  }
  const host = (match[1] ?? '').replace(/^\[|\]$/g, '')
  return { host: host === '' ? '127.0.0.1' : host, port }
}

/** An address that others can use: of a wildcard, this host's own. */
function reachable({ host, port }: { readonly host: string; readonly port: number }): string {
  const outside =
    host === '0.0.0.0' || host === '::'
      ? (Object.values(networkInterfaces())
          .flatMap((list) => list ?? [])
          .find((one) => !one.internal && one.family === 'IPv4')?.address ?? hostname())
      : host
  return `http://${outside.includes(':') ? `[${outside}]` : outside}:${port}`
}

function clusterFlags(options: ServeOptions): ClusterFlags | undefined {
  const { cluster, blobs, advertise } = options
  if (cluster === undefined) {
    const alone = blobs === undefined ? (advertise === undefined ? undefined : '--advertise') : '--blobs'
    if (alone === undefined) return undefined
    throw new MusterError('usage', `${alone} is for a coordinator of a cluster; expected --cluster with it`, {
      hint: 'For example --cluster etcd://db1:2379,db2:2379,db3:2379 --blobs /mnt/shared/muster',
    })
  }
  if (blobs === undefined) {
    throw new MusterError('usage', '--cluster: expected --blobs with it, where all coordinators keep what is large', {
      hint: 'A directory that every coordinator sees (--blobs /mnt/shared/muster), or --blobs s3://BUCKET/PREFIX',
    })
  }
  if (advertise !== undefined && !/^https?:$/.test(URL.canParse(advertise) ? new URL(advertise).protocol : '')) {
    throw new MusterError('usage', `--advertise: expected http://HOST:PORT, received '${advertise}'`, {
      hint: 'It is where workers, clients and the other coordinators reach this one.',
    })
  }
  const { name, etcdCa, etcdCert, etcdKey, etcdUser } = options
  return {
    cluster,
    blobs,
    ...(name === undefined ? {} : { name }),
    credentials: {
      ...(etcdCa === undefined ? {} : { ca: etcdCa }),
      ...(etcdCert === undefined ? {} : { cert: etcdCert }),
      ...(etcdKey === undefined ? {} : { key: etcdKey }),
      ...(etcdUser === undefined ? {} : { user: etcdUser }),
    },
  }
}
