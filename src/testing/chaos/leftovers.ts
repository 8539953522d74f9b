/** A session that was killed can't remove its namespaces and mounts: the next one does, if that process is gone. */
import { existsSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { command, tryCommand } from './command.ts'
import { bridgeOf, namespacePrefix, removeNamespace } from './namespaces.ts'

export const directoryPrefix = 'muster-chaos-'
export const directoryOf = (pid: number): string => path.join(os.tmpdir(), `${directoryPrefix}${pid}`)

/** Of sessions whose process is gone. Returns what was removed, for people. */
export async function removeLeftovers(): Promise<readonly string[]> {
  const removed: string[] = []
  const pids = new Set<number>()
  for (const name of namespaces()) {
    const pid = ownerOf(name, namespacePrefix)
    if (pid === undefined || isRunning(pid)) continue
    pids.add(pid)
    await removeNamespace(name)
    removed.push(name)
  }
  for (const pid of pids) await tryCommand('ip', 'link', 'del', bridgeOf(pid))
  for (const name of readdirSync(os.tmpdir())) {
    const pid = ownerOf(name, directoryPrefix)
    if (pid === undefined || isRunning(pid)) continue
    const directory = path.join(os.tmpdir(), name)
    for (const place of mountsBelow(directory)) await command('umount', '-l', place)
    rmSync(directory, { recursive: true, force: true })
    removed.push(directory)
  }
  return removed
}

function namespaces(): string[] {
  return existsSync('/run/netns') ? readdirSync('/run/netns') : []
}

/** The process id that follows the prefix. */
function ownerOf(name: string, prefix: string): number | undefined {
  const [digits] = name.startsWith(prefix) ? (/^\d+(?=-|$)/.exec(name.slice(prefix.length)) ?? []) : []
  return digits === undefined ? undefined : Number(digits)
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}

function mountsBelow(directory: string): string[] {
  if (!existsSync('/proc/mounts')) return []
  return readFileSync('/proc/mounts', 'utf8')
    .split('\n')
    .map((line) => line.split(' ')[1] ?? '')
    .filter((place) => place.startsWith(`${directory}/`))
}
