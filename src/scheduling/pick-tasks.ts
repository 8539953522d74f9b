/**
 * Which tasks make up the next batch: those that failed before first, then the longest that fit. The queue is longest
 * first, so what fits a gap is found by halving. Where several workers that are alike are free at once and each is to
 * have one process, files are dealt to them in turn. What fits a worker with several CPUs is a matter of its lanes (lanes.ts).
 */
import { dueTasks } from '../core/due.ts'
import type { TaskIndex } from '../core/entities.ts'
import { expectedMs, type Group, type Run, type Task } from '../core/state.ts'
import { heldBackMs, type Room } from './batch-size.ts'
import { Lanes } from './lanes.ts'

/** Entries looked at beyond the picked ones for something small enough to fill a batch. */
const lookAheadMax = 500
/** Its multiples, less whole numbers, fall evenly and in no turns. */
const goldenRatio = 0.618
/** Sums of estimates are compared with what they add up to. */
const tolerance = 1 + 1e-9

export type Picked = {
  /** Indexes of tasks. */
  readonly tasks: readonly number[]
  readonly workMs: number
  readonly heldMs: number
}

/**
 * Of long queues: for each entry that is gone, one after it before which all are gone. Whatever has left the queue never
 * comes back to its place in it, so that what is known of it stays true, and nobody walks over it twice.
 */
const skips = new WeakMap<readonly TaskIndex[], Int32Array>()
const longQueue = 256

/** The first entry from there on that has not been handed out. */
function nextOpen({ tasks }: Run, queue: readonly TaskIndex[], from: number): number {
  if (queue.length < longQueue || from >= queue.length || !isGone(tasks[queue[from]!]!)) return from
  const skip = skipsOf(queue)
  let open = from
  while (open < queue.length && isGone(tasks[queue[open]!]!)) open = Math.max(skip[open]!, open + 1)
  for (let at = from; at < open;) {
    const next = Math.max(skip[at]!, at + 1)
    skip[at] = open
    at = next
  }
  return open
}

function isGone({ state }: Task): boolean {
  return state !== 'queued' && state !== 'blocked' && state !== 'paused'
}

function skipsOf(queue: readonly TaskIndex[]): Int32Array {
  const known = skips.get(queue)
  if (known !== undefined && known.length >= queue.length) return known
  const skip = new Int32Array(known === undefined ? queue.length : 2 * queue.length)
  if (known !== undefined) skip.set(known)
  skips.set(queue, skip)
  return skip
}

/** A task that waits for its time is passed over, as is one that `may` keeps away from the worker. */
export function pickTasks(
  run: Run,
  group: Group,
  room: Room,
  tasksMax: number,
  nowMs: number,
  may: (task: Task) => boolean,
): Picked {
  return new Filling(run, group, room, tasksMax, may).fill(nowMs)
}

class Filling {
  readonly #run: Run
  readonly #group: Group
  readonly #room: Room
  readonly #may: (task: Task) => boolean
  readonly #tasks: number[] = []
  /** Those and others that are looked at no more. */
  #seen: Set<number> | undefined
  #limit: number
  #workMs = 0
  #squares = 0
  /** Of a worker that runs several files at a time. */
  readonly #lanes: Lanes | undefined

  constructor(run: Run, group: Group, room: Room, tasksMax: number, may: (task: Task) => boolean) {
    this.#run = run
    this.#group = group
    this.#room = room
    this.#limit = tasksMax
    this.#may = may
    this.#lanes = room.lanes > 1 && room.targetMs < Infinity ? new Lanes(room) : undefined
  }

  fill(nowMs: number): Picked {
    const { dealt } = this.#room
    if (dealt !== undefined) {
      for (const index of dealt) if (this.#isOpen(index)) this.#take(index)
      return { tasks: this.#tasks, workMs: this.#workMs, heldMs: 0 }
    }
    const { again } = this.#group
    const tasks = this.#run.tasks
    // One that is tried again goes first, whatever it costs.
    for (const index of again) if (tasks[index]!.state === 'queued') this.#offer(index)
    for (const index of dueTasks(this.#run, this.#group, nowMs)) this.#offer(index)
    if (again.length > 0) this.#seen = new Set(again)
    const { alike, longestMs } = this.#room
    this.#scan(this.#firstWithin(longestMs * tolerance, this.#group.queueHead), alike)
    if (alike > 1 && !this.#isFull) {
      this.#seen = new Set([...again, ...this.#tasks])
      this.#scan(this.#firstWithin(this.#gapMs, this.#group.queueHead), 1)
    }
    this.#takeLast()
    return { tasks: this.#tasks, workMs: this.#workMs, heldMs: this.#heldMs }
  }

  get #isFull(): boolean {
    return this.#tasks.length >= this.#limit || (this.#tasks.length > 0 && this.#gapMs <= 0)
  }

  get #heldMs(): number {
    return heldBackMs(this.#room, this.#workMs, this.#squares)
  }

  get #gapMs(): number {
    const heldMs = this.#heldMs
    const leftMs = this.#room.targetMs - this.#workMs - heldMs
    if (this.#lanes === undefined) return leftMs
    return Math.min(this.#lanes.gapMs(leftMs, heldMs), this.#room.longestMs * tolerance)
  }

  /** Along the queue from there, one out of every `step`. */
  #scan(from: number, step: number): void {
    const { queue } = this.#group
    let passed = 0
    let turns = 0
    for (let at = from; at < queue.length && passed < lookAheadMax && !this.#isFull;) {
      const index = queue[at]!
      if (!this.#isOpen(index)) at = nextOpen(this.#run, queue, at + 1)
      else if (this.#offer(index)) {
        turns += 1
        at += step > 1 && this.#isEven(at, step) ? 1 + Math.floor(((turns * goldenRatio) % 1) * (2 * step - 1)) : step
      } else {
        passed += 1
        at = this.#tasks.length === 0 ? at + 1 : this.#firstWithin(this.#gapMs, at + 1)
      }
    }
  }

  /**
   * From there on so many need the same, for all that is known. Then what really takes longer may well come in regular
   * turns, such as the browsers that every file is run in, and steps that are all the same would take nothing else.
   */
  #isEven(at: number, count: number): boolean {
    const { queue } = this.#group
    const last = this.#run.tasks[queue[Math.min(at + count, queue.length) - 1]!]!
    return expectedMs(this.#run, last) === expectedMs(this.#run, this.#run.tasks[queue[at]!]!)
  }

  /** What would be too little for a process of its own is taken, too, and be it a little late. */
  #takeLast(): void {
    const { queue, queueHead, queuedMs } = this.#group
    const { targetMs, lateMs } = this.#room
    if (this.#tasks.length === 0 || lateMs === 0 || targetMs === Infinity) return
    if (this.#tasks.length === this.#group.queuedCount || queuedMs + this.#heldMs > targetMs + lateMs) return
    const taken = new Set(this.#tasks)
    for (let at = nextOpen(this.#run, queue, queueHead); at < queue.length; at = nextOpen(this.#run, queue, at + 1)) {
      const index = queue[at]!
      if (!taken.has(index) && this.#isOpen(index)) this.#take(index)
    }
  }

  #isOpen(index: number): boolean {
    const task = this.#run.tasks[index]!
    return task.state === 'queued' && !task.again?.later && this.#seen?.has(index) !== true
  }

  /** Where the queue comes to what needs no more than this. */
  #firstWithin(maxMs: number, from: number): number {
    const { queue } = this.#group
    let low = from
    let high = maxMs === Infinity ? from : queue.length
    while (low < high) {
      const middle = (low + high) >> 1
      if (expectedMs(this.#run, this.#run.tasks[queue[middle]!]!) > maxMs) low = middle + 1
      else high = middle
    }
    return low
  }

  #offer(index: number): boolean {
    const workMs = expectedMs(this.#run, this.#run.tasks[index]!)
    if (this.#tasks.length > 0) {
      const sumMs = this.#workMs + workMs
      const heldMs = heldBackMs(this.#room, sumMs, this.#squares + workMs ** 2)
      const { targetMs } = this.#room
      if (this.#lanes === undefined) {
        if (sumMs + heldMs > targetMs * tolerance) return false
      } else {
        const gapMs = this.#lanes.gapMs(targetMs - this.#workMs - heldMs, heldMs)
        if (workMs > gapMs + targetMs * (tolerance - 1)) return false
      }
    }
    return this.#take(index)
  }

  #take(index: number): boolean {
    const task = this.#run.tasks[index]!
    if (task.again !== undefined && !this.#may(task)) return false
    const limit = task.batchMax === 0 ? this.#limit : Math.min(this.#limit, task.batchMax)
    if (this.#tasks.length >= limit) return false
    const workMs = expectedMs(this.#run, task)
    this.#tasks.push(index)
    this.#workMs += workMs
    this.#squares += workMs ** 2
    this.#lanes?.add(workMs)
    this.#limit = limit
    return true
  }
}
