/**
 * Which coordinator a command talks to: the one named by --server or MUSTER_SERVER, one that lives
 * and dies with this process, or this user's daemon on this host, started when it isn't there.
 */
import { existsSync, readFileSync, rmSync } from 'node:fs'
import { mkdtemp, readdir, rm, stat } from 'node:fs/promises'
import { hostname, networkInterfaces, tmpdir } from 'node:os'
import { join } from 'node:path'
import { readTokens } from '../api/tokens.ts'
import { Client } from '../client/client.ts'
import { isMusterError, MusterError } from '../protocol/errors.ts'
import { ensureDaemon } from './daemon.ts'
import { NodeTransport, transportTo } from './node-transport.ts'
import { isRunning } from '../worker/process-tree.ts'
import {
  hostDirectory,
  privateDirectory,
  servedFile,
  serverDirectory,
  socketPath,
  workerDirectory,
  ownUid,
  ownUserName,
} from './places.ts'

export type Where = {
  /** One address, or several of one cluster with commas between them. */
  readonly server?: string | undefined
  readonly token?: string | undefined
  /** No daemon: a coordinator of our own. */
  readonly embedded?: boolean
  readonly say?: (text: string) => void
}

export type Connection = AsyncDisposable & {
  readonly client: Client
  readonly kind: 'server' | 'daemon' | 'embedded'
  /** After coordinator_unreachable: bring it back if that is in our power. */
  revive(): Promise<void>
}

export function clientName(): string {
  return `${ownUserName()}@${hostname()}`
}

export function serverOf(where: Where): string | undefined {
  return where.server ?? process.env['MUSTER_SERVER'] ?? undefined
}

/** The addresses of a list such as `http://a:7357,http://b:7357`. */
export function addressesOf(server: string, option = '--server'): readonly string[] {
  const addresses = server.split(',').map((one) => one.trim())
  if (addresses.includes('')) {
    throw new MusterError(
      'usage',
      `${option}: expected one address or several with a comma between, received '${server}'`,
    )
  }
  return addresses
}

/**
 * Given, from the environment, or, when the address is this host's, from this user's own `muster serve`
 * here. A token of ours is never offered to another host.
 */
export function tokenOf(given: string | undefined, role: 'client' | 'worker', server: string): string | undefined {
  const known = given ?? (process.env['MUSTER_TOKEN'] || undefined)
  if (known !== undefined || !URL.canParse(server)) return known
  const { hostname: name, port, protocol } = new URL(server)
  if (!isThisHost(name.replace(/^\[|\]$/g, ''))) return undefined
  const file = servedFile(port === '' ? (protocol === 'https:' ? '443' : '80') : port)
  return readTokens(existsSync(file) ? readFileSync(file, 'utf8') : serverDirectory())?.[role]
}

function isThisHost(name: string): boolean {
  const own = Object.values(networkInterfaces()).flatMap((list) => (list ?? []).map((one) => one.address))
  return name === 'localhost' || name === hostname().toLowerCase() || own.includes(name)
}

export async function connect(where: Where): Promise<Connection> {
  const server = serverOf(where)
  if (server !== undefined) {
    const transport = transportTo(addressesOf(server), (address) =>
      address.startsWith('unix:') ? undefined : tokenOf(where.token, 'client', address),
    )
    return {
      client: new Client(transport, clientName()),
      kind: 'server',
      revive: async () => undefined,
      [Symbol.asyncDispose]: async () => transport.close(),
    }
  }
  return where.embedded ? embedded(where.say) : daemon(where)
}

async function daemon(where: Where): Promise<Connection> {
  const transport = new NodeTransport(`unix:${socketPath(hostDirectory())}`)
  const client = new Client(transport, clientName())
  await ensureDaemon(client, where.say)
  return {
    client,
    kind: 'daemon',
    revive: () => ensureDaemon(client, where.say),
    [Symbol.asyncDispose]: async () => transport.close(),
  }
}

/** History is this user's, as with the daemon; everything else is gone afterwards. */
export async function embedded(say: (text: string) => void = () => undefined): Promise<Connection> {
  const { Host } = await import('./host.ts')
  await removeAbandoned()
  const directory = await mkdtemp(join(tmpdir(), `muster-run-${process.pid}-`))
  // Also when this process leaves without closing: at a second Ctrl-C.
  const clean = () => {
    for (const path of [directory, socketPath(directory)]) rmSync(path, { recursive: true, force: true })
  }
  process.on('exit', clean)
  let fatal: Error | undefined
  const host = await Host.start({
    directory,
    log: 'memory',
    history: join(privateDirectory(hostDirectory()), 'history'),
    worker: { dataDirectory: join(workerDirectory(), 'bound'), bound: true },
    onLog: (level, message, detail) => {
      if (level === 'warn' && message.startsWith('history is away')) say(`muster: this run is not recorded: ${message}`)
      if (process.env['MUSTER_DEBUG']) process.stderr.write(`[${level}] ${message} ${JSON.stringify(detail)}\n`)
    },
    onShutdown: () => undefined,
    onFatal: (error) => {
      fatal = error instanceof Error ? error : new Error(String(error))
      // Whoever watches must not wait for a loop that has stopped.
      void host.close()
    },
  })
  const transport = new NodeTransport(`unix:${host.socket}`)
  return {
    client: new Client(transport, clientName()),
    kind: 'embedded',
    revive: async () => {
      if (fatal !== undefined) throw fatal
    },
    async [Symbol.asyncDispose]() {
      transport.close()
      await host.close()
      clean()
      process.off('exit', clean)
    },
  }
}

const abandonedAfterMs = 3_600_000

/** What a run without a daemon left when it was killed: the environment of its tests is in there. */
async function removeAbandoned(): Promise<void> {
  for (const name of await readdir(tmpdir())) {
    const pid = /^muster-run-(\d+)-/.exec(name)?.[1]
    if (pid === undefined || isRunning(Number(pid))) continue
    const path = join(tmpdir(), name)
    // It may be that of a container that shares this folder but not our process ids, so not at once. Gone
    // meanwhile, or somebody else's: not ours to remove.
    const { mtimeMs, uid } = await stat(path).catch(() => ({ mtimeMs: Infinity, uid: -1 }))
    if (uid !== ownUid() || Date.now() - mtimeMs < abandonedAfterMs) continue
    await rm(path, { recursive: true, force: true })
  }
}

/** The daemon if it runs; undefined otherwise. Never starts one. */
export async function runningDaemon(): Promise<Client | undefined> {
  const client = new Client(new NodeTransport(`unix:${socketPath(hostDirectory())}`), clientName())
  try {
    await client.health()
    return client
  } catch (error) {
    if (isMusterError(error) && error.code === 'coordinator_unreachable') return undefined
    throw error
  }
}
