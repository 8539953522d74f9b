/**
 * Calls of a plugin's code that cost next to nothing, within a section. A section is one evaluation of the inspector, which
 * is what a call that is ended ends at (about 7 µs); a call within it writes a number to memory that a second thread
 * looks at (watch-thread.ts). That thread ends what takes too long, and nothing but a plugin's code: it first
 * swaps the number that says that this very call is under way for one that says that it is over, and a host that comes
 * back from a call does the same the other way round. Who is second has lost. So once the thread has won, this one
 * stays in the call until it is ended, and once this one has won nobody ends anything.
 *
 * All frames of the section are gone then, those of the host's, too, and none of their `finally` has run: whoever opens a
 * section finishes outside what was begun in it.
 */
import { once } from 'node:events'
import { extname } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Worker } from 'node:worker_threads'
import { asleepAt, ended, modeMask, host, outside, plugin, stateAt, type WatchData } from './watch-cells.ts'

const threadUrl = new URL(`./watch-thread${extname(fileURLToPath(import.meta.url))}`, import.meta.url)
/** Nobody waits so long to be ended whom the thread wants to end. */
const endingMaxMs = 30_000

export class Watch {
  readonly #cells: Int32Array
  readonly #untilMs: Float64Array
  readonly #evaluate: (run: () => void) => boolean
  /** Grows with every call, so that the thread can tell one from another. */
  #call = 0
  #place: 'outside' | 'host' | 'plugin' = 'outside'
  #alive = true

  private constructor(data: WatchData, evaluate: (run: () => void) => boolean) {
    this.#cells = new Int32Array(data.cells)
    this.#untilMs = new Float64Array(data.untilMs)
    this.#evaluate = evaluate
  }

  /** `evaluate` returns false when what it ran was ended. */
  static async start(evaluate: (run: () => void) => boolean): Promise<Watch> {
    const nowMs = performance.now()
    const data: WatchData = {
      cells: new SharedArrayBuffer(8),
      untilMs: new SharedArrayBuffer(8),
      // What passes between the two readings makes the thread late, and never early.
      aheadMs: Number(process.hrtime.bigint()) / 1e6 - nowMs,
    }
    const watch = new Watch(data, evaluate)
    const thread = new Worker(threadUrl, { workerData: data, execArgv: [], name: 'muster-watch' })
    thread.on('error', () => {
      // Calls are guarded one by one from now on.
      watch.#alive = false
    })
    await once(thread, 'online')
    thread.unref()
    return watch
  }

  /** Where this thread is now. */
  get place(): 'outside' | 'host' | 'plugin' {
    return this.#place
  }

  get mayBegin(): boolean {
    return this.#alive && this.#place === 'outside'
  }

  /** False: a call was ended, and everything in `body` with it. What `body` throws is thrown. */
  section(body: () => void): boolean {
    let thrown: { readonly error: unknown } | undefined
    this.#place = 'host'
    Atomics.store(this.#cells, stateAt, host)
    // Only who has nothing to look at sleeps so that it must be woken.
    if (Atomics.load(this.#cells, asleepAt) === 1) Atomics.notify(this.#cells, stateAt)
    try {
      const done = this.#evaluate(() => {
        try {
          body()
        } catch (error) {
          thrown = { error }
        }
      })
      if (thrown) throw thrown.error
      if (!done && (Atomics.load(this.#cells, stateAt) & modeMask) !== ended)
        throw new Error('the host of plugins was ended, and not a plugin')
      return done
    } finally {
      Atomics.store(this.#cells, stateAt, outside)
      this.#place = 'outside'
    }
  }

  /** A plugin's code runs from now on. Between this and `over` nothing may throw. */
  begin(untilMs: number): void {
    this.#untilMs[0] = untilMs
    this.#call = (this.#call + modeMask + 1) & 0x3fff_ffff
    this.#place = 'plugin'
    Atomics.store(this.#cells, stateAt, this.#call | plugin)
  }

  /** It has returned. Does not return itself when that took longer than it might. */
  over(): void {
    const mine = this.#call | plugin
    if (Atomics.compareExchange(this.#cells, stateAt, mine, host) !== mine) this.#beEnded()
    this.#place = 'host'
  }

  #beEnded(): void {
    const sinceMs = performance.now()
    while (performance.now() - sinceMs < endingMaxMs);
    throw new Error('a call of a plugin was to be ended, and was not')
  }
}
