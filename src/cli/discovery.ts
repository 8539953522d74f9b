/**
 * How a worker finds its coordinators on the local network without being told an address: each announces itself by
 * multicast DNS as a `_muster._tcp` service (DNS-SD, RFC 6763). An announcement names the coordinator's address and has
 * a seal on it that only who knows the worker token can make or check, so that a worker with a token finds the
 * coordinators of its own cluster, all of them, and nobody else's: somebody on the network who repeats the seal beside
 * an address of their own would be sent no token. The token itself is never announced: joining needs it as ever.
 *
 * `MUSTER_MDNS`: `off`, or the address of the interface to use, with a port other than 5353 if wanted.
 */
import { createHmac } from 'node:crypto'
import { isIP } from 'node:net'
import { hostname } from 'node:os'
import type { Bonjour as BonjourClass, Service } from 'bonjour-service'
import { MusterError } from '../protocol/errors.ts'

const type = 'muster'
const variable = 'MUSTER_MDNS'
/** How long a worker looks at most, and how long it waits for more once it has found one. */
const lookMs = 5000
const moreMs = 500

export type Announcement = {
  /** Says good-bye, so that nobody tries the address for long. */
  stop(): Promise<void>
}

/** Bound to every address, since multicast doesn't arrive at the interface's own. */
type Settings = { readonly interface?: string; readonly port?: number; readonly bind?: '0.0.0.0' }

/** Undefined = not to be used. */
function settings(env: Readonly<Record<string, string | undefined>>): Settings | undefined {
  const text = env[variable]
  if (text === undefined || text === '') return {}
  if (text.toLowerCase() === 'off') return undefined
  const [, address, port] = /^(.*?)(?::(\d+))?$/.exec(text)!
  if (isIP(address!) !== 4 || (port !== undefined && !(Number(port) >= 1 && Number(port) <= 65535)))
    throw new MusterError(
      'config_invalid',
      `${variable}: expected 'off' or the IPv4 address of an interface, as ADDRESS or ADDRESS:PORT, received '${text}'`,
    )
  return { interface: address!, bind: '0.0.0.0', ...(port === undefined ? {} : { port: Number(port) }) }
}

async function open(options: Settings, onError: (error: Error) => void): Promise<BonjourClass> {
  const { Bonjour } = await import('bonjour-service').catch((cause: unknown) => {
    throw new MusterError('config_invalid', 'Looking for coordinators needs the package bonjour-service', {
      hint: 'Install it (it is an optional dependency of muster), or give --join.',
      cause,
    })
  })
  return new Bonjour(options, onError)
}

/** Says nothing of the token to who doesn't know it. */
function sealOf(workerToken: string, address: string): string {
  return createHmac('sha256', workerToken).update(`muster coordinator at ${address}`).digest('hex').slice(0, 32)
}

/** Undefined where it is off, or the package is not installed: then workers have to be told the address. */
export async function announce(
  coordinator: { readonly address: string; readonly workerToken: string; readonly name: string },
  onProblem: (text: string) => void,
  env: Readonly<Record<string, string | undefined>> = process.env,
): Promise<Announcement | undefined> {
  const chosen = settings(env)
  const { address, workerToken, name } = coordinator
  const { hostname: host, port } = new URL(address)
  // Nobody else can reach it, unless an interface was named.
  if (!chosen || (chosen.interface === undefined && (host === '127.0.0.1' || host === '[::1]'))) return undefined
  const failed = (error: unknown) => onProblem(`workers can't find this coordinator by themselves: ${String(error)}`)
  let bonjour: BonjourClass
  try {
    bonjour = await open(chosen, failed)
  } catch (error) {
    failed(error instanceof Error ? error.message : error)
    return undefined
  }
  const service = bonjour.publish({
    name: `${name} ${port}`,
    type,
    port: Number(port),
    host: `${hostname()}.local`,
    txt: { address, seal: sealOf(workerToken, address) },
    // Two coordinators of one name are two services; the probe would only delay the first answer.
    probe: false,
  })
  service.on('error', failed)
  return {
    stop: () => new Promise<void>((resolve) => bonjour.unpublishAll(() => bonjour.destroy(() => resolve()))),
  }
}

/** Addresses of the coordinators that take this worker token. Throws when none has answered in time. */
export async function discover(
  workerToken: string,
  env: Readonly<Record<string, string | undefined>> = process.env,
): Promise<string[]> {
  const chosen = settings(env)
  if (!chosen)
    throw new MusterError('usage', `Looking for coordinators is off (${variable}); expected --join URL`, {
      hint: 'muster serve prints the command to run here.',
    })
  const failed = Promise.withResolvers<never>()
  const bonjour = await open(chosen, (error: Error) => failed.reject(error))
  const found = new Set<string>()
  const others = new Set<string>()
  const done = Promise.withResolvers<void>()
  let timer = setTimeout(done.resolve, lookMs)
  const browser = bonjour.find({ type }, (service: Service) => {
    const { address, seal } = (service.txt ?? {}) as { readonly address?: unknown; readonly seal?: unknown }
    const url = typeof address === 'string' ? URL.parse(address) : null
    if (typeof address !== 'string' || url === null) return
    // Anybody may have written it: shown is what does nothing to a terminal.
    if (seal !== sealOf(workerToken, address)) return void others.add(url.pathname === '/' ? url.origin : url.href)
    if (found.size === 0) {
      clearTimeout(timer)
      timer = setTimeout(done.resolve, moreMs)
    }
    found.add(address)
  })
  try {
    await Promise.race([done.promise, failed.promise])
  } catch (cause) {
    throw notFound(`the network could not be asked: ${(cause as Error).message}`, cause)
  } finally {
    clearTimeout(timer)
    browser.stop()
    await new Promise<void>((resolve) => bonjour.destroy(() => resolve()))
  }
  if (found.size > 0) return [...found].sort((a, b) => (a < b ? -1 : 1))
  if (others.size === 0) throw notFound(`none answered within ${lookMs / 1000} s`)
  const list = [...others].sort((a, b) => (a < b ? -1 : 1)).join(', ')
  throw notFound(
    `none that takes this token answered; with another token: ${list}`,
    undefined,
    "'muster token worker' on the coordinator's host prints its token; a coordinator elsewhere needs --join.",
  )
}

function notFound(
  why: string,
  cause?: unknown,
  hint = 'Multicast may not pass here: give the address, muster worker --join http://HOST:7357. muster serve prints it.',
): MusterError {
  return new MusterError('coordinator_unreachable', `No coordinator was found on the local network: ${why}`, {
    hint,
    cause,
  })
}
