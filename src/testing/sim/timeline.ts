/**
 * Virtual time: one heap of what is to happen, ordered by time and then by when it was asked for, so
 * that the same questions get the same order of answers. Microseconds are whole numbers: no sum of
 * fractions decides an order. Every event is folded into a running hash; equal hashes mean that two
 * simulations went the same way.
 */
type Event = { readonly atUs: number; readonly order: number; call: (() => void) | undefined }

export class Timeline {
  nowUs = 0
  events = 0
  #order = 0
  #heap: Event[] = []
  #hash = 0x811c9dc5
  /** Called after each event, when everything it led to at once has happened. */
  afterEach: () => void = () => {}

  get nowMs(): number {
    return this.nowUs / 1000
  }

  /** Of everything that happened so far, and in which order. */
  get hash(): number {
    return this.#hash >>> 0
  }

  mark(value: number): void {
    this.#hash = Math.imul(this.#hash ^ (value | 0), 0x01000193)
  }

  /** Returns a function that forgets it. */
  after(delayMs: number, call: () => void): () => void {
    return this.at(this.nowUs + Math.max(0, Math.round(delayMs * 1000)), call)
  }

  at(atUs: number, call: () => void): () => void {
    const event: Event = { atUs: Math.max(atUs, this.nowUs), order: this.#order, call }
    this.#order += 1
    this.#push(event)
    return () => {
      event.call = undefined
    }
  }

  /** Runs until the time has come, nothing is left, or `stop` says so. */
  run(untilMs: number, stop: () => boolean): void {
    const untilUs = Math.round(untilMs * 1000)
    while (this.#heap.length > 0 && this.#heap[0]!.atUs <= untilUs) {
      const event = this.#pop()
      const { call } = event
      if (call === undefined) continue
      event.call = undefined
      this.nowUs = event.atUs
      this.events += 1
      this.mark(event.atUs)
      this.mark(event.order)
      call()
      this.afterEach()
      if (stop()) return
    }
    if (this.nowUs < untilUs) this.nowUs = untilUs
  }

  #push(event: Event): void {
    const heap = this.#heap
    let at = heap.length
    heap.push(event)
    while (at > 0) {
      const parent = (at - 1) >> 1
      if (!before(event, heap[parent]!)) break
      heap[at] = heap[parent]!
      at = parent
    }
    heap[at] = event
  }

  #pop(): Event {
    const heap = this.#heap
    const top = heap[0]!
    const last = heap.pop()!
    if (heap.length === 0) return top
    let at = 0
    for (;;) {
      let child = 2 * at + 1
      if (child >= heap.length) break
      if (child + 1 < heap.length && before(heap[child + 1]!, heap[child]!)) child += 1
      if (!before(heap[child]!, last)) break
      heap[at] = heap[child]!
      at = child
    }
    heap[at] = last
    return top
  }
}

function before(a: Event, b: Event): boolean {
  return a.atUs < b.atUs || (a.atUs === b.atUs && a.order < b.order)
}
