/**
 * How well each machine does with each suite, against what its speed would let one expect: some suites want memory
 * bandwidth, some a disk, and no single factor says both. Counted by `apply` from every report of a task with a known
 * duration, under the machine's fingerprint, so that it is known again under another name.
 */
import type { Aptitude, Run, State, Worker } from './state.ts'

/** Work that a machine is taken to have done exactly as expected, before it has done any. */
const priorMs = 30_000
/** Beyond so much, what is known is halved: it follows what changes. */
const keptMs = 3_600_000
const rowsMax = 2000

function keyOf(run: Run, worker: Worker): string {
  const { fingerprint, host } = worker.capabilities
  return JSON.stringify([run.spec.project, run.spec.suite, fingerprint ?? host])
}

/** Larger than 1: faster than expected. */
export function aptitudeOf(state: State, run: Run, worker: Worker): number {
  const known = state.aptitudes.get(keyOf(run, worker))
  return known === undefined ? 1 : (priorMs + known.expectedMs) / (priorMs + known.actualMs)
}

/** Called by `apply`. `estimateMs`: on the reference machine. */
export function countDurations(state: State, run: Run, worker: Worker, estimateMs: number, actualMs: number): void {
  if (estimateMs <= 0) return
  const key = keyOf(run, worker)
  const { speed: measured = 1 } = worker.capabilities
  const speed = measured > 0 ? measured : 1
  const before = state.aptitudes.get(key) ?? { expectedMs: 0, actualMs: 0 }
  const after: Aptitude = {
    expectedMs: before.expectedMs + Math.round(estimateMs / speed),
    actualMs: before.actualMs + actualMs,
  }
  if (after.actualMs > keptMs) {
    after.expectedMs = Math.round(after.expectedMs / 2)
    after.actualMs = Math.round(after.actualMs / 2)
  }
  // The one not heard of for longest is first.
  state.aptitudes.delete(key)
  state.aptitudes.set(key, after)
  if (state.aptitudes.size > rowsMax) state.aptitudes.delete(state.aptitudes.keys().next().value!)
}
