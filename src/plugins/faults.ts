/**
 * Counts what strategies do wrong. One that has done too much of it within a while is suspended: the default places
 * instead, until somebody chooses it again. Kept by the leader that saw it and nowhere else; the next leader makes up its
 * own mind, after as many faults at most.
 */
export type FaultKind = 'threw' | 'hung' | 'nonsense' | 'refused'

export type Fault = { readonly kind: FaultKind; readonly why: string; readonly atMs: number }

export type FaultLimits = {
  /** So many within `withinMs`, and it is suspended. */
  readonly max: number
  readonly withinMs: number
}

export const defaultFaultLimits: FaultLimits = { max: 5, withinMs: 10 * 60_000 }

export type Record = {
  readonly recent: readonly Fault[]
  readonly suspended: boolean
}

const none: Record = { recent: [], suspended: false }

export class Faults {
  readonly #limits: FaultLimits
  readonly #records = new Map<string, Record>()

  constructor(limits: FaultLimits) {
    this.#limits = limits
  }

  /** True: it is suspended from now on. */
  note(strategy: string, fault: Fault): boolean {
    const before = this.of(strategy, fault.atMs)
    const recent = [...before.recent, fault].slice(-this.#limits.max)
    const suspended = before.suspended || recent.length >= this.#limits.max
    this.#records.set(strategy, { recent, suspended })
    return suspended && !before.suspended
  }

  isSuspended(strategy: string): boolean {
    return this.#records.get(strategy)?.suspended === true
  }

  of(strategy: string, nowMs: number): Record {
    const known = this.#records.get(strategy)
    if (!known) return none
    // What led to a suspension is kept for as long as that.
    if (known.suspended) return known
    return { suspended: false, recent: known.recent.filter((fault) => fault.atMs > nowMs - this.#limits.withinMs) }
  }

  forgive(strategy: string): void {
    this.#records.delete(strategy)
  }
}
