/**
 * The thread that ends a plugin's call when its time is over. It asks the inspector of the main thread for that, which
 * interrupts any code; watch.ts says how it is made sure that it is the plugin's. While there is no section it sleeps.
 */
import { Session } from 'node:inspector'
import { parentPort, workerData } from 'node:worker_threads'
import { asleepAt, ended, modeMask, outside, plugin, stateAt, type WatchData } from './watch-cells.ts'

const data = workerData as WatchData
const cells = new Int32Array(data.cells)
const untilMs = new Float64Array(data.untilMs)
/** How late an end may be. */
const lookMs = 20
/** Waking this thread costs the other more than all else: it goes on looking for a while where a section has just been. */
const restlessMs = 1000

// Answers of the inspector alone would not keep this thread alive.
parentPort!.on('message', () => undefined)

let lastMs = clockMs()
for (;;) {
  if (Atomics.load(cells, stateAt) !== outside) lastMs = clockMs()
  else if (clockMs() - lastMs > restlessMs) {
    sleepWhileOutside()
    lastMs = clockMs()
  }
  const state = Atomics.load(cells, stateAt)
  const until = untilMs[0]!
  const leftMs = until - clockMs()
  const isPlugin = (state & modeMask) === plugin
  // While the number is the same, `until` is that of the call.
  if (isPlugin && leftMs <= 0 && Atomics.load(cells, stateAt) === state) {
    const over = (state & ~modeMask) | ended
    if (Atomics.compareExchange(cells, stateAt, state, over) === state) {
      // eslint-disable-next-line no-await-in-loop -- one call is under way at a time
      await end()
      while (Atomics.load(cells, stateAt) === over) Atomics.wait(cells, stateAt, over, lookMs)
      continue
    }
  }
  Atomics.wait(cells, asleepAt, 0, isPlugin ? Math.min(lookMs, Math.max(1, leftMs)) : lookMs)
}

/** That of the other thread. */
function clockMs(): number {
  return Number(process.hrtime.bigint()) / 1e6 - data.aheadMs
}

function sleepWhileOutside(): void {
  Atomics.store(cells, asleepAt, 1)
  Atomics.wait(cells, stateAt, outside)
  Atomics.store(cells, asleepAt, 0)
}

/** Once answered, the call has been ended. */
function end(): Promise<void> {
  const session = new Session()
  session.connectToMainThread()
  return new Promise((resolve, reject) => {
    session.post('Runtime.terminateExecution', (error) => {
      session.disconnect()
      // Without an error in this thread the other would wait for its end for long.
      if (error === null) resolve()
      else reject(error)
    })
  })
}
