/**
 * Ends process groups and whatever escaped from them. A framework is started as the leader of its
 * own group; what its tests start may have moved to groups and sessions of their own, so on Linux
 * /proc is searched twice: by parent while the leader lives, and by the batch's mark in the
 * environment, which children inherit. A process that wipes its environment and outlives its parent
 * is not found; only a cgroup could do that, and it needs rights that a worker doesn't have.
 */
import { readFileSync } from 'node:fs'
import { readdir } from 'node:fs/promises'
import { setImmediate as yieldToLoop, setTimeout as sleep } from 'node:timers/promises'

/** False when nothing was there to get it. */
function signal(target: number, name: NodeJS.Signals | 0): boolean {
  try {
    process.kill(target, name)
    return true
  } catch (error) {
    // ESRCH: gone already. EPERM: it changed its user (a set-uid program); nothing can be done about it.
    if (['ESRCH', 'EPERM'].includes((error as NodeJS.ErrnoException).code ?? '')) return false
    throw error
  }
}

export function isRunning(pid: number): boolean {
  return signal(pid, 0)
}

/** False when the group has no member that is still running. */
export function signalGroup(group: number, name: NodeJS.Signals | 0): boolean {
  return signal(-group, name)
}

type ProcessEntry = {
  readonly state: string
  readonly parent: number
  readonly group: number
  readonly startedAt: string
}

/** A process id that can't be mistaken for a later process of the same number. */
export type ProcessRef = { readonly pid: number; readonly startedAt: string }

async function processIds(): Promise<number[]> {
  if (process.platform !== 'linux') return []
  return (await readdir('/proc')).map(Number).filter((pid) => Number.isInteger(pid) && pid > 1 && pid !== process.pid)
}

function readProcess(pid: number): ProcessEntry | undefined {
  const stat = readProc(pid, 'stat')
  if (stat === undefined) return undefined
  // The command's name, in parentheses, may hold anything.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return { state: fields[0] ?? '?', parent: Number(fields[1]), group: Number(fields[2]), startedAt: fields[19] ?? '' }
}

function readProc(pid: number, file: string): string | undefined {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'latin1')
  } catch {
    // It ended meanwhile, or belongs to somebody else: either way not ours to end.
    return undefined
  }
}

async function forEachProcess(visit: (pid: number) => void): Promise<void> {
  let visited = 0
  for (const pid of await processIds()) {
    visit(pid)
    visited += 1
    if (visited % 64 === 0) await yieldToLoop()
  }
}

/** Everything below the leader of a group that has left the group. */
export async function escapedDescendants(leader: number): Promise<ProcessRef[]> {
  const children = new Map<number, (ProcessRef & { readonly group: number })[]>()
  await forEachProcess((pid) => {
    const entry = readProcess(pid)
    if (entry === undefined) return
    const siblings = children.get(entry.parent)
    if (siblings) siblings.push({ pid, ...entry })
    else children.set(entry.parent, [{ pid, ...entry }])
  })
  const found: ProcessRef[] = []
  const queue = [leader]
  for (let parent = queue.pop(); parent !== undefined; parent = queue.pop()) {
    for (const child of children.get(parent) ?? []) {
      if (child.group !== leader) found.push(child)
      queue.push(child.pid)
    }
  }
  return found
}

export function signalProcess(process: ProcessRef, name: NodeJS.Signals): void {
  if (readProcess(process.pid)?.startedAt === process.startedAt) signal(process.pid, name)
}

function isMarked(pid: number, mark: string): boolean {
  const environment = readProc(pid, 'environ')
  return environment !== undefined && `\0${environment}\0`.includes(`\0${mark}\0`)
}

/** What is left of the group, and what bears `mark` (`NAME=value`) in the environment it was started with. Zombies don't count. */
async function leftovers(group: number | undefined, mark: string): Promise<number[]> {
  const found: number[] = []
  await forEachProcess((pid) => {
    if (isLeftover(pid, group, mark)) found.push(pid)
  })
  return found
}

function isLeftover(pid: number, group: number | undefined, mark: string): boolean {
  const entry = readProcess(pid)
  if (entry === undefined || entry.state === 'Z' || entry.state === 'X') return false
  return entry.group === group || isMarked(pid, mark)
}

/** Looked at again after so many milliseconds, until they are gone or patience is at its end. */
const looksMs = [2, 5, 10, 20, 50, 100, 100, 200, 200, 300]

/** After the leader has exited: ends what it left, politely first. Returns how many processes there were. */
export async function endLeftovers(group: number, mark: string): Promise<number> {
  if (process.platform !== 'linux') return endGroup(group)
  let left = await leftovers(group, mark)
  const count = left.length
  for (const pid of left) signal(pid, 'SIGTERM')
  for (const lookMs of looksMs) {
    if (left.length === 0) break
    await sleep(lookMs)
    left = left.filter((pid) => isLeftover(pid, group, mark))
  }
  if (left.length === 0) return count
  // Twice: what was being forked while the first list was made is in the second.
  for (let round = 0; round < 2; round += 1) {
    left = await leftovers(group, mark)
    for (const pid of left) signal(pid, 'SIGKILL')
  }
  // It dies when it gets a processor once more; one that hangs in the kernel isn't waited for.
  for (const lookMs of looksMs) {
    if (left.length === 0) break
    await sleep(lookMs)
    left = left.filter((pid) => isLeftover(pid, group, mark))
  }
  return count
}

async function endGroup(group: number): Promise<number> {
  if (!signalGroup(group, 'SIGTERM')) return 0
  for (const lookMs of looksMs) {
    await sleep(lookMs)
    if (!signalGroup(group, 0)) return 1
  }
  signalGroup(group, 'SIGKILL')
  return 1
}

/** Ends at once whatever bears the mark. */
export async function killMarked(mark: string): Promise<void> {
  for (let round = 0; round < 2; round += 1) {
    for (const pid of await leftovers(undefined, mark)) signal(pid, 'SIGKILL')
  }
}
