/** Which rare states a simulation has been in, and how often: a fault that is never met proves nothing. */
export class Counters {
  readonly #counts = new Map<string, number>()

  reached(what: string): void {
    this.#counts.set(what, (this.#counts.get(what) ?? 0) + 1)
  }

  of(what: string): number {
    return this.#counts.get(what) ?? 0
  }

  add(other: Counters): void {
    for (const [what, count] of other.#counts) this.#counts.set(what, (this.#counts.get(what) ?? 0) + count)
  }

  /** By name. */
  all(): [string, number][] {
    return [...this.#counts].sort(([a], [b]) => (a < b ? -1 : 1))
  }
}
