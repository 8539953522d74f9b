/**
 * How sure this worker may be that its batches are still its own. The leader answers a heartbeat only
 * while it knows that it leads, so an answered heartbeat proves that nobody had given the batches to
 * others when that heartbeat was *sent*; when the answer came proves nothing. The same is proved by
 * every known coordinator being absent at one time: whoever starts afterwards grants a lease first.
 * `fenceMs` after the newest proof the proof is worth nothing. Only monotonic time counts.
 */

/** More than are ever on their way at once; the oldest are dropped, which only delays a proof. */
const unansweredMax = 64

/** So long after the last word of the highest epoch, with nothing held, a lower one is a new log and not an old leader. */
const epochMemoryMs = 60_000

export class Contact {
  #fenceMs = Infinity
  #provedMs: number | undefined
  #count = 0
  /** When each unanswered heartbeat was sent, by its number, oldest first. */
  readonly #sentMs = new Map<number, number>()
  /** Of the cluster, as the leader said last. */
  #coordinators = 1
  #epoch = 0
  #epochHeardMs = -Infinity

  get epoch(): number {
    return this.#epoch
  }

  get fenceMs(): number {
    return this.#fenceMs
  }

  /** The time up to which batches are surely this worker's own; undefined before the first proof. */
  get endsMs(): number | undefined {
    return this.#provedMs === undefined ? undefined : this.#provedMs + this.#fenceMs
  }

  isLost(nowMs: number): boolean {
    return this.#provedMs === undefined || nowMs - this.#provedMs > this.#fenceMs
  }

  /** False: it comes from a leader that has been replaced. */
  welcomed(epoch: number, fenceMs: number, nowMs: number, holdsNothing: boolean): boolean {
    const isOld = epoch < this.#epoch
    if (isOld && !(holdsNothing && nowMs - this.#epochHeardMs > epochMemoryMs)) return false
    this.#epoch = epoch
    this.#epochHeardMs = nowMs
    this.#fenceMs = fenceMs
    return true
  }

  /** A heartbeat leaves now; returns its number. */
  beats(nowMs: number): number {
    this.#count += 1
    this.#sentMs.set(this.#count, nowMs)
    if (this.#sentMs.size > unansweredMax) this.#sentMs.delete(this.#sentMs.keys().next().value!)
    return this.#count
  }

  answered(n: number, nowMs: number): void {
    const sentMs = this.#sentMs.get(n)
    // Answered before, or never sent: a proof of nothing.
    if (sentMs === undefined) return
    for (const earlier of this.#sentMs.keys()) if (earlier <= n) this.#sentMs.delete(earlier)
    this.#epochHeardMs = nowMs
    this.#proved(sentMs)
  }

  /** The cluster has so many coordinators now. */
  counted(coordinators = 1): void {
    this.#coordinators = coordinators
  }

  /** At `sinceMs` or later, none of the coordinators that are known was there: so many. */
  away(sinceMs: number, known: number): void {
    // One that this worker can't know of may lead, and give its batches to others.
    if (known < this.#coordinators) return
    // Before the first proof nothing can have been begun, and nothing needs one.
    if (this.#provedMs !== undefined) this.#proved(sinceMs)
  }

  #proved(atMs: number): void {
    if (this.#provedMs === undefined || atMs > this.#provedMs) this.#provedMs = atMs
  }
}
