/**
 * Time as something that is given: the leader loop, the takeover and both ends of the worker protocol
 * take a clock, so that the simulator can run them on a virtual one. `systemClock` is the real one;
 * its timers don't keep a process alive.
 */
export interface Clock {
  /** Milliseconds since the epoch, for what people see and what the log records. May jump. */
  wallMs(): number
  /** Milliseconds that never run back; their zero means nothing. For leases and timeouts. */
  monotonicMs(): number
  /** Calls once, not before `delayMs` have passed; the returned function forgets it. */
  after(delayMs: number, call: () => void): () => void
  /** Calls after what runs now, before any timer. */
  soon(call: () => void): void
  /** Calls once everybody who was just answered has had a turn. */
  later(call: () => void): void
}

export const systemClock: Clock = {
  wallMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  after(delayMs, call) {
    const timer = setTimeout(call, delayMs)
    timer.unref()
    return () => clearTimeout(timer)
  },
  soon: (call) => queueMicrotask(call),
  later: (call) => void setImmediate(call),
}
