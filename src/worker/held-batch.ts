/** A batch as the worker's protocol sees it: how far it is, and what was said of it to the coordinator. */
import type { Assign, Ended } from '../protocol/worker-messages.ts'
import type { Clock } from '../stdx/clock.ts'

export type ReportKind = 'started' | 'reported' | 'ended'

/** Known here before it is over: the executor that can't say it itself is given these words. */
type Verdict = { readonly reason: 'cancelled' | 'crashed' | 'fenced'; readonly message: string }

export class HeldBatch {
  readonly assign: Assign
  /** Given to the executor; before that it waits for the coordinator to be in contact, or for a recycling to end. */
  started = false
  /** Sequence number of its `ended`; it is held until that is acknowledged. */
  endedSeq: number | undefined
  /** The coordinator doesn't know it any more. */
  abandoned = false
  /** Why it is being ended by this worker. */
  ending: Verdict | undefined
  readonly #clock: Clock
  readonly #heldSinceMs: number
  readonly #begun = new Set<number>()
  #draining: { readonly tasks: Set<number>; readonly forget: () => void; readonly over: () => void } | undefined

  constructor(assign: Assign, clock: Clock) {
    this.assign = assign
    this.#clock = clock
    this.#heldSinceMs = clock.monotonicMs()
  }

  get batch(): string {
    return this.assign.batch
  }

  get token(): number {
    return this.assign.token
  }

  /** Has processes, or may have. */
  get isRunning(): boolean {
    return this.started && this.endedSeq === undefined
  }

  saw(kind: ReportKind, tasks: readonly number[]): void {
    if (kind === 'started') for (const task of tasks) this.#begun.add(task)
    if (kind !== 'reported') return
    for (const task of tasks) this.#begun.delete(task)
    for (const task of tasks) this.#draining?.tasks.delete(task)
    if (this.#draining?.tasks.size === 0) this.#drained()
  }

  /** Calls back once, when the tasks that run now have been reported, at the latest after `drainMs`. */
  whenDrained(drainMs: number, over: () => void): void {
    if (this.#draining !== undefined) return
    const forget = this.#clock.after(drainMs, () => this.#drained())
    this.#draining = { tasks: new Set(this.#begun), forget, over }
    if (this.#begun.size === 0) this.#drained()
  }

  #drained(): void {
    const draining = this.#draining
    draining?.forget()
    draining?.over()
  }

  close(): void {
    this.#draining?.forget()
  }

  /** What is reported when no executor can say how it ended. */
  endedBody({ reason, message }: Verdict): string {
    const ended: Omit<Ended, 'seq'> = {
      type: 'ended',
      batch: this.batch,
      token: this.token,
      reason,
      exitCode: null,
      signal: null,
      startupMs: null,
      wallMs: this.#clock.monotonicMs() - this.#heldSinceMs,
      interrupted: [...this.#begun],
      timedOut: [],
      errors: [],
      message,
    }
    return JSON.stringify(ended)
  }
}
