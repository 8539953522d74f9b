/**
 * Between the projection and the collector: a bounded queue, one export at a time. What fails is sent
 * again, later and later; when the queue is full the oldest spans go, and are counted. Nothing in here
 * can hold up a run. Whether a call may be made at all is asked first (the breaker), and what became of
 * it is told.
 */
import { systemClock, type Clock } from '../../stdx/clock.ts'
import type { SpanData } from './span.ts'

export type ExportQueueOptions = {
  /** Resolves when the collector has them; rejects with why not. */
  readonly send: (spans: readonly SpanData[]) => Promise<void>
  /** False: not now; asked again a little later. */
  readonly mayCall: () => boolean
  /** What became of a call; undefined: it was taken. */
  readonly onOutcome: (problem: string | undefined) => void
  readonly clock?: Clock
  readonly delayMs?: number
  readonly batchMax?: number
  readonly queueMax?: number
}

const backOffFirstMs = 1000
const backOffMaxMs = 30_000

export class ExportQueue {
  readonly #options: ExportQueueOptions
  readonly #clock: Clock
  #queue: SpanData[] = []
  /** Sent and not yet answered; back to the front when that fails. */
  #sending: readonly SpanData[] = []
  #timer: (() => void) | undefined
  #failures = 0
  #flushing = false
  readonly #idle: (() => void)[] = []
  exported = 0
  dropped = 0

  constructor(options: ExportQueueOptions) {
    this.#options = options
    this.#clock = options.clock ?? systemClock
  }

  get waiting(): number {
    return this.#queue.length + this.#sending.length
  }

  /** Nothing more is taken without something older being dropped. */
  get full(): boolean {
    return this.waiting >= this.#queueMax
  }

  get failing(): boolean {
    return this.#failures > 0
  }

  get #queueMax(): number {
    return this.#options.queueMax ?? 20_000
  }

  add(spans: readonly SpanData[]): void {
    for (const span of spans) this.#queue.push(span)
    const excess = this.waiting - this.#queueMax
    if (excess > 0) this.dropped += this.#queue.splice(0, excess).length
    if (this.waiting > 0) this.#wake(this.#options.delayMs ?? 1000)
  }

  /** Resolves when everything was taken; doesn't wait for a collector that is failing. */
  async flush(): Promise<void> {
    this.#flushing = true
    while (this.waiting > 0 && !this.failing) {
      const settled = new Promise<void>((resolve) => this.#idle.push(resolve))
      if (this.#sending.length === 0) {
        this.#timer?.()
        this.#timer = undefined
        this.#send()
      }
      await settled
    }
    this.#flushing = false
  }

  close(): void {
    this.#timer?.()
    this.#timer = undefined
    this.dropped += this.waiting
    this.#queue = []
    for (const resolve of this.#idle.splice(0)) resolve()
  }

  #wake(delayMs: number): void {
    if (this.#timer || this.#sending.length > 0) return
    this.#timer = this.#clock.after(delayMs, () => {
      this.#timer = undefined
      this.#send()
    })
  }

  #send(): void {
    if (this.#queue.length === 0) return this.#settled()
    if (!this.#options.mayCall()) {
      this.#failures = Math.max(1, this.#failures)
      this.#settled()
      return this.#wake(backOffFirstMs)
    }
    this.#sending = this.#queue.splice(0, this.#options.batchMax ?? 512)
    this.#options.send(this.#sending).then(
      () => this.#sent(),
      (error: unknown) => this.#failed(error instanceof Error ? error.message : String(error)),
    )
  }

  #sent(): void {
    this.exported += this.#sending.length
    this.#sending = []
    this.#failures = 0
    this.#options.onOutcome(undefined)
    this.#settled()
    if (this.#queue.length > 0 && !this.#flushing) this.#wake(0)
  }

  #failed(problem: string): void {
    this.#queue = [...this.#sending, ...this.#queue]
    this.#sending = []
    this.#failures += 1
    this.#options.onOutcome(problem)
    this.#settled()
    this.#wake(Math.min(backOffMaxMs, backOffFirstMs * 2 ** (this.#failures - 1)))
  }

  #settled(): void {
    for (const resolve of this.#idle.splice(0)) resolve()
  }
}
