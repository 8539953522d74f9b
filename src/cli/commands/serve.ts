/** `muster serve`: a coordinator for others, in the foreground. */
import { writeFileSync } from 'node:fs'
import { hostname, networkInterfaces } from 'node:os'
import { dirname, resolve } from 'node:path'
import { ensureTokens } from '../../api/tokens.ts'
import { MusterError } from '../../protocol/errors.ts'
import { openProgramLog } from '../../telemetry/program-log.ts'
import { Host } from '../host.ts'
import { privateDirectory, servedFile, serverDirectory } from '../places.ts'

export type ServeOptions = {
  readonly listen: string
  readonly data?: string
  readonly allowHost?: readonly string[]
  readonly metricsOpen?: boolean
}

export async function serveCommand(options: ServeOptions): Promise<number> {
  const listen = parseListen(options.listen)
  const directory = options.data ?? serverDirectory()
  const log = openProgramLog(2)
  const stopped = Promise.withResolvers<number>()
  const host = await Host.start({
    directory,
    listen: { ...listen, hostNames: options.allowHost ?? [] },
    metricsOpen: options.metricsOpen === true,
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
  writeFileSync(note, resolve(directory), { mode: 0o600 })
  const address = reachable(host.address!, listen.host)
  process.stdout.write(
    [
      `muster coordinator at ${address}  (data in ${directory})`,
      '',
      'On each machine that shall run tests:',
      `  muster worker --join ${address} --token ${tokens.worker}`,
      'To submit from anywhere:',
      `  muster run --server ${address} --token ${tokens.client}`,
      '(the same user on this host needs no --token)',
      '',
    ].join('\n'),
  )
  process.on('SIGTERM', () => stopped.resolve(0)).on('SIGINT', () => stopped.resolve(0))
  const code = await stopped.promise
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
function reachable(address: string, host: string): string {
  if (host !== '0.0.0.0' && host !== '::') return address
  const outside = Object.values(networkInterfaces())
    .flatMap((list) => list ?? [])
    .find((one) => !one.internal && one.family === 'IPv4')
  const url = new URL(address)
  return `http://${outside?.address ?? hostname()}:${url.port}`
}
