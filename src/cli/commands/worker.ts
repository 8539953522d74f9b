/** `muster worker`: offers this host to a coordinator until it is told to stop. */
import { existsSync } from 'node:fs'
import { resolve } from 'node:path'
import { MusterError } from '../../protocol/errors.ts'
import { parseDuration } from '../../stdx/duration.ts'
import { openProgramLog } from '../../telemetry/program-log.ts'
import { startWorker, type WorkerLog } from '../../worker/main.ts'
import { addressesOf, serverOf, tokenOf } from '../connect.ts'
import { discover } from '../discovery.ts'
import { detectEveryOf, detectLevelOf, labelsOf, resourcesOf, workerNameOf } from '../flags.ts'
import { hostDirectory, packageVersion, socketPath, workerDirectory } from '../places.ts'
import { daemonLabel, pidLabel } from '../worker-labels.ts'
import { detectCommand } from './detect.ts'

export type WorkerCommandOptions = {
  /** Each one address, or several with a comma between. */
  readonly join?: readonly string[]
  readonly token?: string
  readonly label?: readonly string[]
  readonly cpus?: number
  readonly resource?: readonly string[]
  /** Print what this machine has, and join nobody. */
  readonly detect?: boolean
  readonly json?: boolean
  /** Lines on stderr: for people, or JSON as a coordinator's. */
  readonly log?: 'text' | 'json'
  readonly name?: string
  readonly data?: string
  /** Ends with the process at the other end of stdin. */
  readonly bound?: boolean
  /** Leaves when nobody was there for so long. */
  readonly orphanTimeout?: string
}

/** Where nobody said where: this host's own coordinator, or with a token those on the network that take it. */
async function coordinators(
  { token = process.env['MUSTER_TOKEN'] }: WorkerCommandOptions,
  log: WorkerLog,
): Promise<string[]> {
  const server = serverOf({})
  if (server !== undefined) return [server]
  if (token !== undefined && token !== '') return discover(token)
  const socket = socketPath(hostDirectory())
  if (!existsSync(socket))
    log('info', "waiting for this host's own coordinator; to join another: --join URL, or --token TOKEN to look for it")
  return [`unix:${socket}`]
}

/** One that somebody else started says only what is wrong. */
function logOf(format: 'text' | 'json', quiet: boolean): WorkerLog {
  if (format === 'json') {
    const { say } = openProgramLog(2)
    return (level, text) => say(level === 'warning' ? 'warn' : level, text, {})
  }
  return (level, text) => {
    if (level !== 'debug' && (!quiet || level !== 'info')) process.stderr.write(`muster worker: ${text}\n`)
  }
}

export async function workerCommand(options: WorkerCommandOptions): Promise<number> {
  const resources = resourcesOf(options.resource ?? [])
  const name = workerNameOf(options.name)
  const dataDir = resolve(options.data ?? workerDirectory())
  if (options.json && !options.detect) throw new MusterError('usage', '--json: expected together with --detect')
  if (options.detect) {
    const labels = labelsOf(options.label ?? [])
    return detectCommand({ labels, cpus: options.cpus, resources, dataDir, json: options.json === true })
  }
  const level = detectLevelOf(process.env['MUSTER_DETECT'])
  const detectEveryMs = detectEveryOf(process.env['MUSTER_DETECT_EVERY'])
  const quiet = options.bound === true || options.orphanTimeout !== undefined
  const log = logOf(options.log ?? 'text', quiet)
  const given = options.join ?? (await coordinators(options, log))
  const urls = given.flatMap((one) => addressesOf(one, '--join'))
  const worker = await startWorker({
    urls,
    token: (url) => (url.startsWith('unix:') ? undefined : tokenOf(options.token, 'worker', url)),
    ...(name === undefined ? {} : { name }),
    labels: {
      ...labelsOf(options.label ?? []),
      [pidLabel]: String(process.pid),
      ...(options.orphanTimeout === undefined ? {} : { [daemonLabel]: 'true' }),
    },
    ...(options.cpus === undefined ? {} : { cpus: options.cpus }),
    resources,
    ...(level === undefined ? {} : { detect: level }),
    ...(detectEveryMs === undefined ? {} : { detectEveryMs }),
    dataDir,
    version: packageVersion(),
    log,
    signals: true,
    ...(options.bound === undefined ? {} : { isAlone: options.bound }),
    // The daemon listens before it starts its worker: one that can't join has lost it already.
    ...(options.orphanTimeout === undefined
      ? {}
      : { orphanTimeoutMs: parseDuration(options.orphanTimeout) ?? 0, joinTimeoutMs: 10_000 }),
  })
  log('info', `joined ${urls.join(', ')} as ${worker.id}`)
  if (options.bound) {
    process.stdin.on('end', () => void worker.stop()).on('error', () => void worker.stop())
    process.stdin.resume()
  }
  const end = await worker.done
  process.stdin.destroy()
  if (end.type !== 'failed') return 0
  throw end.error
}
