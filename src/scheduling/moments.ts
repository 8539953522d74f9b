/** Things that happen at some moment, earliest first; those of the same moment in the order in which they were added. */
type Moment<T> = { readonly atMs: number; readonly order: number; readonly value: T }

export class Moments<T> {
  readonly #heap: Moment<T>[] = []
  #added = 0

  /** Undefined when there is none. */
  get firstMs(): number | undefined {
    return this.#heap[0]?.atMs
  }

  add(atMs: number, value: T): void {
    const moment = { atMs, order: this.#added, value }
    this.#added += 1
    const heap = this.#heap
    let at = heap.length
    heap.push(moment)
    while (at > 0) {
      const parent = (at - 1) >> 1
      if (isBefore(heap[parent]!, moment)) break
      heap[at] = heap[parent]!
      at = parent
    }
    heap[at] = moment
  }

  /** The first; there must be one. */
  take(): T {
    const heap = this.#heap
    const { value } = heap[0]!
    const last = heap.pop()!
    if (heap.length === 0) return value
    let at = 0
    for (;;) {
      let child = 2 * at + 1
      if (child >= heap.length) break
      if (child + 1 < heap.length && isBefore(heap[child + 1]!, heap[child]!)) child += 1
      if (isBefore(last, heap[child]!)) break
      heap[at] = heap[child]!
      at = child
    }
    heap[at] = last
    return value
  }
}

function isBefore(a: Moment<unknown>, b: Moment<unknown>): boolean {
  return a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order)
}
