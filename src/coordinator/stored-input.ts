/**
 * A worker's report as an input, once what it carries is in the blobs. Blobs that can't be written
 * (disk full, store away) are tried until they can: what they hold exists nowhere else but with the
 * worker, which keeps it until the report is acknowledged.
 */
import type { Blobs } from '../blobs/blobs.ts'
import type { Input } from '../core/input.ts'
import type { ReportMessage } from './worker-sessions.ts'
import { endInput, reportInput } from './worker-reports.ts'

const retryMs = 500

export class StoredInputs {
  readonly #blobs: Blobs
  readonly #onTrouble: (trouble: string | undefined) => void
  #closed = false

  /** `onTrouble`: results can't be stored (its words), or can again (undefined). */
  constructor(blobs: Blobs, onTrouble: (trouble: string | undefined) => void) {
    this.#blobs = blobs
    this.#onTrouble = onTrouble
  }

  of(worker: string, message: ReportMessage, done: (input: Input | undefined) => void): void {
    void this.#storeThen(worker, message, done)
  }

  async #storeThen(worker: string, message: ReportMessage, done: (input: Input | undefined) => void): Promise<void> {
    const input = await this.#store(worker, message)
    done(input)
  }

  async #store(worker: string, message: ReportMessage): Promise<Input | undefined> {
    for (;;) {
      try {
        const input =
          message.type === 'reported'
            ? await reportInput(worker, message, this.#blobs)
            : await endInput(worker, message, this.#blobs)
        this.#onTrouble(undefined)
        return input
      } catch (error) {
        if (this.#closed) return undefined
        this.#onTrouble(error instanceof Error ? error.message : String(error))
        await new Promise((resolve) => setTimeout(resolve, retryMs))
      }
    }
  }

  close(): void {
    this.#closed = true
  }
}
