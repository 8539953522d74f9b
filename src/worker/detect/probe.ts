/** What every probe (a function from Host to Finding) is given and gives. It may throw: that becomes an entry in `unavailable`, and nothing else. */
import { access, constants, readdir, readFile, readlink } from 'node:fs/promises'
import path from 'node:path'
import type { Gpu } from '../../protocol/worker-messages.ts'
import type { AttributeValue } from './detected.ts'

/** Where a probe looks. Tests plant a folder as `root` and their own programs on PATH. */
export type Host = {
  /** What stands for `/`; empty = this machine itself. */
  readonly root: string
  readonly env: Readonly<Record<string, string | undefined>>
  readonly home: string
  /** Where workspaces are kept. */
  readonly directory: string
  readonly tempDir: string
  readonly platform: NodeJS.Platform
  /** Longest wait for a tool that is asked. */
  readonly askMs: number
  /** Everything that was started ends with it. */
  readonly signal: AbortSignal
}

export type Finding = {
  /** Undefined values are left out. */
  readonly attributes?: Readonly<Record<string, AttributeValue | undefined>>
  readonly unavailable?: Readonly<Record<string, string>>
  readonly gpus?: readonly Gpu[]
}

/** The trimmed text of a file; undefined when it is not there or not for us to read. */
export async function textOf(host: Pick<Host, 'root'>, file: string): Promise<string | undefined> {
  try {
    return (await readFile(host.root + file, 'utf8')).trim()
  } catch {
    // /proc and /sys differ between kernels, machines and containers: what is absent says so by being absent.
    return undefined
  }
}

export async function numberOf(host: Pick<Host, 'root'>, file: string): Promise<number | undefined> {
  const text = await textOf(host, file)
  return text === undefined || text === '' || !Number.isFinite(Number(text)) ? undefined : Number(text)
}

/** Names in a folder, shorter ones first, so that card2 comes before card10; none when it is not there. */
export async function namesIn(host: Pick<Host, 'root'>, folder: string): Promise<string[]> {
  try {
    return (await readdir(host.root + folder)).sort((a, b) => a.length - b.length || (a < b ? -1 : 1))
  } catch {
    // As in textOf.
    return []
  }
}

/** Last part of where a link points. */
export async function linkOf(host: Pick<Host, 'root'>, file: string): Promise<string | undefined> {
  try {
    return path.basename(await readlink(host.root + file))
  } catch {
    // As in textOf.
    return undefined
  }
}

/** Why a device can't be used from here, though the kernel lists it (containers see all of /sys); undefined = it can. */
export async function obstacleOf(host: Pick<Host, 'root'>, device: string): Promise<string | undefined> {
  try {
    await access(host.root + device, constants.R_OK | constants.W_OK)
    return undefined
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ENOENT'
      ? `${device} is not here`
      : `this user may not open ${device}, mostly for want of the group 'render'`
  }
}
