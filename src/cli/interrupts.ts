/**
 * Ctrl-C and SIGTERM during a run. The first asks for an orderly end: whoever listens to `signal` stops
 * what it does and cleans up. The second leaves at once.
 */
export class Interrupts implements Disposable {
  readonly #controller = new AbortController()
  readonly #onSignal = (): void => {
    if (this.#controller.signal.aborted) process.exit(130)
    this.#controller.abort(new Error('interrupted'))
  }

  constructor() {
    process.on('SIGINT', this.#onSignal).on('SIGTERM', this.#onSignal)
  }

  get signal(): AbortSignal {
    return this.#controller.signal
  }

  /** The work's result; rejects as soon as an interrupt comes first. What the work started, it must end by `signal`. */
  async before<T>(work: Promise<T>): Promise<T> {
    const { signal } = this
    const interrupted = Promise.withResolvers<never>()
    const onAbort = () => interrupted.reject(signal.reason)
    if (signal.aborted) onAbort()
    signal.addEventListener('abort', onAbort)
    try {
      return await Promise.race([work, interrupted.promise])
    } finally {
      signal.removeEventListener('abort', onAbort)
    }
  }

  [Symbol.dispose](): void {
    process.off('SIGINT', this.#onSignal).off('SIGTERM', this.#onSignal)
  }
}
