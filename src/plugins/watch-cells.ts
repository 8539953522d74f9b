/** The memory that a thread with plugins and the one that watches it share: see watch.ts. */

export type WatchData = {
  /** Int32: where the other thread is, with the number of the call; and whether this one must be woken. */
  readonly cells: SharedArrayBuffer
  /** Float64: until when the call may last, by the other thread's clock. Written before the call's number. */
  readonly untilMs: SharedArrayBuffer
  /** What the clock of the machine is ahead of the other thread's. */
  readonly aheadMs: number
}

/** Indexes of cells. */
export const stateAt = 0
export const asleepAt = 1

/** The lowest bits of the state; the others are the number of the call. */
export const modeMask = 3
export const outside = 0
export const host = 1
export const plugin = 2
export const ended = 3
