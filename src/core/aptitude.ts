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

/** By suite, then by machine: the rows of a state's table, found without making a key for each. */
type Index = Map<string, Map<string, Aptitude>>

const indexes = new WeakMap<State['aptitudes'], Index>()
const suites = new WeakMap<Run, string>()

function suiteOf(run: Run): string {
  let suite = suites.get(run)
  if (suite === undefined) {
    suite = JSON.stringify([run.spec.project, run.spec.suite])
    suites.set(run, suite)
  }
  return suite
}

function machineOf({ capabilities: { fingerprint, host } }: Worker): string {
  return fingerprint ?? host
}

function keyOf(run: Run, worker: Worker): string {
  return JSON.stringify([run.spec.project, run.spec.suite, machineOf(worker)])
}

function partsOf(key: string): { readonly suite: string; readonly machine: string } {
  const [project, suite, machine] = JSON.parse(key) as [string, string, string]
  return { suite: JSON.stringify([project, suite]), machine }
}

function indexOf(aptitudes: State['aptitudes']): Index {
  let index = indexes.get(aptitudes)
  if (!index) {
    index = new Map()
    for (const [key, known] of aptitudes) note(index, partsOf(key), known)
    indexes.set(aptitudes, index)
  }
  return index
}

function note(index: Index, { suite, machine }: ReturnType<typeof partsOf>, known: Aptitude): void {
  const rows = index.get(suite)
  if (rows) rows.set(machine, known)
  else index.set(suite, new Map([[machine, known]]))
}

function forget(index: Index, { suite, machine }: ReturnType<typeof partsOf>): void {
  const rows = index.get(suite)
  rows?.delete(machine)
  if (rows?.size === 0) index.delete(suite)
}

/** Larger than 1: faster than expected. */
export function aptitudeOf(state: State, run: Run, worker: Worker): number {
  const known = indexOf(state.aptitudes).get(suiteOf(run))?.get(machineOf(worker))
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
  const index = indexes.get(state.aptitudes)
  if (index !== undefined) note(index, { suite: suiteOf(run), machine: machineOf(worker) }, after)
  if (state.aptitudes.size <= rowsMax) return
  const oldest = state.aptitudes.keys().next().value!
  state.aptitudes.delete(oldest)
  if (index !== undefined) forget(index, partsOf(oldest))
}
