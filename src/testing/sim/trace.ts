/** The last things that happened, in words, for whoever has to understand a failure. Costs nothing unless it is on. */
import type { Timeline } from './timeline.ts'

const linesMax = 5000

export class Trace {
  readonly #timeline: Timeline
  readonly #on: boolean
  readonly #lines: string[] = []

  constructor(timeline: Timeline, on: boolean) {
    this.#timeline = timeline
    this.#on = on
  }

  note(who: string, words: () => string): void {
    if (!this.#on) return
    if (this.#lines.length >= linesMax * 2) this.#lines.splice(0, linesMax)
    this.#lines.push(`${this.#timeline.nowMs.toFixed(1).padStart(9)} ${who.padEnd(4)} ${words()}`)
  }

  last(count: number): string[] {
    return this.#lines.slice(-count)
  }
}
