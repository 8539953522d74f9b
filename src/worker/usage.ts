/**
 * What a batch's processes use: processor time and memory of the whole tree below the processes that
 * were started for it. On Linux /proc is read soon after the start, then ever more rarely down to once a second,
 * and more rarely where that costs noticeable time (many processes); elsewhere nothing is known.
 *
 * The kernel adds a process's time to its parent's when that one waits for it. So the sum over those
 * that live holds the time of those that are gone, and what *this* process's account of waited-for
 * children grew by when the leader was reaped is the time of everything below it, exactly, however
 * short it lived. Missed: what outlives its parent and is gone between two looks. Memory is a sum of
 * what each has for itself, and the largest part that any of them shares.
 */
import { closeSync, openSync, readdirSync, readFileSync, readSync } from 'node:fs'
import type { Usage } from '../protocol/worker-messages.ts'

const firstLookMs = 100
const lookEveryMs = 1000
/** Looking takes no more than this part of a processor. */
const costMax = 0.005
/** Linux shows times in hundredths of a second, whatever the kernel counts in. */
const tickMs = 10

type Look = {
  readonly parent: number
  readonly group: number
  /** Own, and that of children that were waited for. */
  readonly ticks: number
  /** Of children that were waited for. */
  readonly waitedTicks: number
  readonly startedAt: string
}

/** What this process's waited-for children had used when it was looked at last. */
let waitedTicksBefore = 0
let pageBytesKnown: number | undefined

export class UsageMeter {
  /** Leaders that run. */
  readonly #leaders = new Set<number>()
  /** Seen below a leader once: process ids with their times of start. */
  readonly #members = new Map<number, string>()
  #timer: NodeJS.Timeout | undefined
  #looked = false
  /** Of leaders that are gone. */
  #doneTicks = 0
  /** Of the tree that runs. */
  #runningTicks = 0
  #memoryBytesMax = 0

  /** A process was started; what it starts belongs to it. */
  spawned(leader: number): void {
    if (process.platform !== 'linux') return
    this.#leaders.add(leader)
    noteWaited()
    this.#schedule(firstLookMs)
  }

  /** It has exited, and was waited for just now. */
  exited(leader: number): void {
    if (!this.#leaders.delete(leader)) return
    this.#doneTicks += Math.max(noteWaited(), this.#leaders.size === 0 ? this.#runningTicks : 0)
    this.#runningTicks = 0
    if (this.#leaders.size === 0) clearTimeout(this.#timer)
  }

  /** Undefined: not known here, or it was over before anybody looked. */
  get usage(): Usage | undefined {
    if (!this.#looked) return undefined
    return { cpuMs: (this.#doneTicks + this.#runningTicks) * tickMs, memoryBytesMax: this.#memoryBytesMax }
  }

  #schedule(delayMs: number): void {
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => {
      // Of the processor: on a busy machine a look may be long under way, and costs no more.
      const began = process.threadCpuUsage()
      this.#look()
      const { user, system } = process.threadCpuUsage(began)
      const costMs = (user + system) / 1000
      this.#schedule(Math.max(Math.min(2 * delayMs, lookEveryMs), costMs / costMax))
    }, delayMs)
    this.#timer.unref()
  }

  #look(): void {
    noteWaited()
    let ticks = 0
    let ownBytes = 0
    let sharedBytes = 0
    for (const [pid, look] of this.#tree()) {
      ticks += look.ticks
      const memory = readMemory(pid)
      ownBytes += memory.own
      sharedBytes = Math.max(sharedBytes, memory.shared)
    }
    if (ownBytes === 0) return
    this.#looked = true
    this.#runningTicks = Math.max(this.#runningTicks, ticks)
    this.#memoryBytesMax = Math.max(this.#memoryBytesMax, ownBytes + sharedBytes)
  }

  /** Everything below the leaders, in their groups, or known to have been there. */
  #tree(): Map<number, Look> {
    const all = new Map<number, Look>()
    const children = new Map<number, number[]>()
    const queue: number[] = []
    for (const name of readdirSync('/proc')) {
      const pid = Number(name)
      const look = Number.isInteger(pid) ? readLook(pid) : undefined
      if (look === undefined) continue
      all.set(pid, look)
      const siblings = children.get(look.parent)
      if (siblings === undefined) children.set(look.parent, [pid])
      else siblings.push(pid)
      if (this.#leaders.has(pid) || this.#leaders.has(look.group) || this.#members.get(pid) === look.startedAt)
        queue.push(pid)
    }
    const tree = new Map<number, Look>()
    this.#members.clear()
    for (let pid = queue.pop(); pid !== undefined; pid = queue.pop()) {
      const look = all.get(pid)!
      if (tree.has(pid)) continue
      tree.set(pid, look)
      this.#members.set(pid, look.startedAt)
      queue.push(...(children.get(pid) ?? []))
    }
    return tree
  }
}

/** How much this process's account of waited-for children has grown since the last time. */
function noteWaited(): number {
  const ticks = readLook(process.pid)?.waitedTicks ?? waitedTicksBefore
  const grown = ticks - waitedTicksBefore
  waitedTicksBefore = ticks
  return grown
}

const buffer = Buffer.alloc(4096)

/** Undefined: it is gone, or hidden. */
function read(file: string): string | undefined {
  let fd: number
  try {
    fd = openSync(file, 'r')
  } catch {
    // Gone since it was listed.
    return undefined
  }
  try {
    return buffer.toString('latin1', 0, readSync(fd, buffer, 0, buffer.length, 0))
  } catch {
    // Gone since it was opened.
    return undefined
  } finally {
    closeSync(fd)
  }
}

function readLook(pid: number): Look | undefined {
  const stat = read(`/proc/${pid}/stat`)
  if (stat === undefined) return undefined
  // The command's name, in parentheses, may hold anything.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  const field = (index: number): number => Number(fields[index] ?? 0)
  const waitedTicks = field(13) + field(14)
  return {
    parent: field(1),
    group: field(2),
    ticks: field(11) + field(12) + waitedTicks,
    waitedTicks,
    startedAt: fields[19] ?? '',
  }
}

function readMemory(pid: number): { readonly own: number; readonly shared: number } {
  const [, resident = 0, shared = 0] = (read(`/proc/${pid}/statm`) ?? '').split(' ').map(Number)
  return { own: (resident - shared) * pageBytes(), shared: shared * pageBytes() }
}

/** Not told to programs without a C library: a power of two, seen from a size that is given both ways. */
function pageBytes(): number {
  if (pageBytesKnown !== undefined) return pageBytesKnown
  const kilobytes = Number(/^VmSize:\s+(\d+)/m.exec(readFileSync('/proc/self/status', 'latin1'))?.[1] ?? 0)
  const pages = Number((read('/proc/self/statm') ?? '').split(' ')[0])
  pageBytesKnown = 2 ** Math.round(Math.log2((kilobytes * 1024) / pages))
  if (!(pageBytesKnown >= 4096)) pageBytesKnown = 4096
  return pageBytesKnown
}
