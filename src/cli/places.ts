/** Where things lie on this host, and which program this is. Everything is this user's alone. */
import { createHash } from 'node:crypto'
import { chmodSync, existsSync, lstatSync, mkdirSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { homedir, userInfo } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { MusterError } from '../protocol/errors.ts'

/** Of `sun_path`, on every Unix. */
const socketPathBytesMax = 100

/** The package's root, in a clone and when installed. */
export const packageRoot = join(dirname(fileURLToPath(import.meta.url)), '..', '..')
export const launcher = join(packageRoot, 'bin', 'launch.cjs')

/** `MUSTER_DATA`, else XDG's data directory, else `~/.local/share/muster`. */
export function dataRoot(env: NodeJS.ProcessEnv = process.env): string {
  if (env['MUSTER_DATA']) return resolve(env['MUSTER_DATA'])
  const xdg = env['XDG_DATA_HOME']
  return resolve(xdg ? xdg : join(ownHome(), '.local', 'share'), 'muster')
}

function ownHome(): string {
  try {
    return homedir()
  } catch (cause) {
    throw new MusterError('config_invalid', 'Cannot tell where data is kept: this user has no home directory', {
      cause,
      hint: 'Set HOME, or MUSTER_DATA to a directory that this user can write in.',
    })
  }
}

/** As the system numbers users; -1 where it does not. */
export const ownUid = (): number => process.getuid?.() ?? -1

export function ownUserName(): string {
  try {
    return userInfo().username
  } catch {
    // Of a user that the system has no name for, as in some containers.
    return String(ownUid())
  }
}

export const hostDirectory = (): string => join(dataRoot(), 'host')
export const serverDirectory = (): string => join(dataRoot(), 'server')
/** Which data directory the `muster serve` of this user on this host and port has. */
export const servedFile = (port: string): string => join(dataRoot(), 'served', port)
export const workerDirectory = (): string => join(dataRoot(), 'worker')
export const cacheDirectory = (): string => join(dataRoot(), 'cache')

/** A directory only this user can enter, made so if need be; refuses one that belongs to somebody else. */
export function privateDirectory(path: string): string {
  try {
    mkdirSync(path, { recursive: true, mode: 0o700 })
  } catch (cause) {
    throw new MusterError('config_invalid', `Cannot make the directory ${path}: ${(cause as Error).message}`, {
      cause,
      hint: 'Set MUSTER_DATA to a directory that this user can write in.',
    })
  }
  const stat = lstatSync(path)
  if (!stat.isDirectory() || stat.uid !== ownUid()) {
    throw new MusterError('config_invalid', `Cannot use ${path}: expected a directory of ${ownUserName()}`, {
      hint: 'Somebody else made it; remove it, or set MUSTER_DATA to a place of your own.',
    })
  }
  if ((stat.mode & 0o077) !== 0) chmodSync(path, 0o700)
  return path
}

/**
 * Where a coordinator listens: in its own directory, so that everybody who knows the data finds it,
 * whatever their environment. Only where that path is too long for a socket, below /tmp.
 */
export function socketPath(directory: string): string {
  const inside = join(directory, 'muster.sock')
  if (Buffer.byteLength(inside) <= socketPathBytesMax) return inside
  const base = privateDirectory(`/tmp/muster-${ownUid()}`)
  return join(base, `${createHash('sha256').update(directory).digest('hex').slice(0, 16)}.sock`)
}

export function packageVersion(): string {
  return (JSON.parse(readFileSync(join(packageRoot, 'package.json'), 'utf8')) as { version: string }).version
}

/**
 * Tells one state of the program from another also within a version: a clone's sources change without
 * it. Names, sizes and times of all source files; some milliseconds.
 */
export function buildId(): string {
  const source = join(packageRoot, 'src')
  const hash = createHash('sha256').update(packageVersion())
  if (existsSync(source)) addTree(hash, source)
  return hash.digest('hex').slice(0, 12)
}

function addTree(hash: ReturnType<typeof createHash>, directory: string): void {
  for (const entry of readdirSync(directory, { withFileTypes: true })) {
    const path = join(directory, entry.name)
    if (entry.isDirectory()) {
      if (entry.name !== 'fixtures') addTree(hash, path)
    } else if (!entry.name.includes('.test.')) {
      const stat = statSync(path)
      hash.update(`${path}:${stat.size}:${stat.mtimeMs}\n`)
    }
  }
}
