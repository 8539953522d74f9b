/**
 * Watches over a batch's time. A task that has begun may run for the task's limit. While none runs
 * (start-up, global set-up, tear-down, a framework that never says when a file begins), the process
 * may be silent for `quietMs`. One timer for all; it is set anew only when it goes off.
 */
export type Expiry =
  | { readonly type: 'tasks'; readonly tasks: readonly number[] }
  /** Nothing ran, and nothing was heard. */
  | { readonly type: 'quiet' }

export class TimeLimits {
  readonly #taskMs: number
  readonly #expired: (expiry: Expiry) => void
  /** When each began, oldest first. */
  readonly #running = new Map<number, number>()
  #quietMs: number
  #quietSinceMs = performance.now()
  #timer: NodeJS.Timeout | undefined

  constructor(taskMs: number, quietMs: number, expired: (expiry: Expiry) => void) {
    this.#taskMs = taskMs
    this.#quietMs = quietMs
    this.#expired = expired
    this.#arm()
  }

  started(task: number): void {
    this.#running.set(task, performance.now())
    this.#quietMs = this.#taskMs
    if (this.#running.size === 1) this.#arm()
  }

  reported(task: number): void {
    this.#running.delete(task)
    this.#quietSinceMs = performance.now()
    if (this.#running.size === 0) this.#arm()
  }

  /** From now on it may be silent for so long. */
  allowQuiet(quietMs: number): void {
    this.#quietMs = quietMs
    this.#quietSinceMs = performance.now()
    this.#arm()
  }

  close(): void {
    clearTimeout(this.#timer)
  }

  #deadlineMs(): number {
    const oldest = this.#running.values().next()
    return oldest.done ? this.#quietSinceMs + this.#quietMs : oldest.value + this.#taskMs
  }

  #arm(): void {
    clearTimeout(this.#timer)
    const waitMs = Math.min(Math.max(0, this.#deadlineMs() - performance.now()), 2 ** 31 - 1)
    // What has arrived but was not read yet counts: a turn of the loop before the verdict.
    this.#timer = setTimeout(() => setImmediate(() => this.#check()), waitMs)
  }

  #check(): void {
    const nowMs = performance.now()
    if (nowMs < this.#deadlineMs()) return this.#arm()
    if (this.#running.size === 0) return this.#expired({ type: 'quiet' })
    const tasks = [...this.#running].filter(([, startedMs]) => nowMs - startedMs >= this.#taskMs).map(([task]) => task)
    this.#expired({ type: 'tasks', tasks })
  }
}
