/** Tells of what was found when that is something new; several findings within a moment as one. */
import type { Detected } from './detected.ts'

const togetherMs = 1000

export class Announcer {
  readonly #current: () => Detected
  readonly #tell: ((detected: Detected) => void) | undefined
  #told: string | undefined
  #timer: NodeJS.Timeout | undefined
  #closed = false

  constructor(current: () => Detected, tell: ((detected: Detected) => void) | undefined) {
    this.#current = current
    this.#tell = tell
  }

  /** From now on changes are told; what is known now counts as told. */
  begin(): Detected {
    const detected = this.#current()
    this.#told = JSON.stringify(detected)
    return detected
  }

  changed(): void {
    this.#timer ??= setTimeout(() => this.flush(), togetherMs).unref()
  }

  flush(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    if (this.#told === undefined || this.#closed) return
    const detected = this.#current()
    const text = JSON.stringify(detected)
    if (text === this.#told) return
    this.#told = text
    this.#tell?.(detected)
  }

  close(): void {
    this.#closed = true
    clearTimeout(this.#timer)
  }
}
