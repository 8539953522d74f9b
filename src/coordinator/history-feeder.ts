/**
 * Keeps history in step with the log. Committed entries are handed over as they come; when history
 * falls behind (or was away), the feeder drops what it holds and reads the log from history's own
 * position instead, so memory stays bounded and nothing is skipped.
 */
import type { History } from '../history/history.ts'
import type { Log } from '../log/log.ts'

const readBytes = 4 * 1024 * 1024
const pendingMax = 2000

export class HistoryFeeder {
  readonly #history: History
  readonly #log: Log
  readonly #onTrouble: (error: unknown) => void
  readonly #onGap: (() => void) | undefined
  #pending: { position: number; bytes: Uint8Array }[] = []
  /** Position of the last entry handed over. */
  #fed: number
  #behind = true
  #running: Promise<void> | undefined
  #stopped = false

  /** `onGap`: the log has been trimmed past what history has; this feeder has stopped. Default: what is missing stays so. */
  constructor(history: History, log: Log, onTrouble: (error: unknown) => void, onGap?: () => void) {
    this.#onGap = onGap
    this.#history = history
    this.#log = log
    this.#onTrouble = onTrouble
    this.#fed = history.position
  }

  committed(position: number, bytes: Uint8Array): void {
    if (this.#stopped) return
    if (!this.#behind) {
      this.#pending.push({ position, bytes })
      if (this.#pending.length > pendingMax) {
        this.#pending = []
        this.#behind = true
      }
    }
    this.start()
  }

  /** Entries were committed that were not handed over here. */
  missed(): void {
    this.#pending = []
    this.#behind = true
    this.start()
  }

  start(): void {
    if (this.#running || this.#stopped) return
    this.#running = this.#run()
      .catch((error: unknown) => {
        this.#behind = true
        this.#pending = []
        this.#fed = this.#history.position
        this.#onTrouble(error)
      })
      .finally(() => {
        this.#running = undefined
      })
  }

  async #run(): Promise<void> {
    while (!this.#stopped) {
      if (this.#behind) await this.#catchUp()
      const next = this.#pending.shift()
      if (!next) return
      if (next.position <= this.#fed) continue
      await this.#history.feed(next.position, next.bytes)
      this.#fed = next.position
    }
  }

  async #catchUp(): Promise<void> {
    for (;;) {
      const read = await this.#log.read(this.#fed + 1, readBytes)
      if (read.type === 'trimmed') {
        if (this.#onGap) {
          this.stop()
          this.#onGap()
          return
        }
        // Older entries are gone for good: history was deleted or is of another log.
        this.#fed = read.firstPosition - 1
        continue
      }
      if (read.entries.length === 0) {
        this.#behind = false
        return
      }
      for (const entry of read.entries) {
        await this.#history.feed(entry.position, entry.bytes)
        this.#fed = entry.position
      }
    }
  }

  /** Entries up to here may be trimmed as far as history is concerned. */
  get applied(): number {
    return this.#history.position
  }

  /** Everything committed so far is in history. */
  async settle(): Promise<void> {
    this.start()
    await this.#running
    await this.#history.settled()
  }

  stop(): void {
    this.#stopped = true
    this.#pending = []
  }
}
