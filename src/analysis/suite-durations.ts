/**
 * What is known of the durations of one suite at one moment: the last observations of each file, and
 * means over neighbours for files never seen. It grows by one observation at a time, so the same class
 * answers for submissions and replays history in time order for training and for the competition:
 * what a prediction could see is what had been learned before it.
 *
 * A file never seen is taken for what its neighbours are, from far to near: the suite, files of the
 * same suffix (`.e2e.ts`), of the same directory, of both. Each nearer mean is pulled towards the one
 * before it by the weight of two files (shrinkage: Efron & Morris 1975), so that one odd neighbour
 * doesn't decide. Means are of logarithms: durations of test files are spread over orders of magnitude.
 *
 * Where sizes of files were given, larger ones are taken to last longer: duration ∝ bytes ^ b, with b the
 * least-squares slope over the files of the suite that have both, pulled towards 0 by twenty files and
 * kept within 0…1. Means are then of what a file of usual size would take.
 */
import { observationsKept, robustMs } from './robust.ts'
import { noContention, referenceMs } from './observation.ts'
import type { Contention, Observation } from './observation.ts'

/** Where an estimate comes from; neighbours: the nearest that there are. */
export type Basis = 'history' | 'size' | 'directory' | 'suffix' | 'suite' | 'framework' | 'none'

/** Of the mean that a nearer one is pulled towards, in files. */
const pull = 2
/** Of a slope of zero, in files. */
const slopePull = 20
const msMin = 0.01

type Known = {
  readonly observations: Observation[]
  ms: number
  /** Of the estimate now, and as it would be at the usual size. */
  logMs: number
  usualLogMs: number
}
type Sum = { logMs: number; count: number }

export class SuiteDurations {
  #contention: Contention
  readonly #files = new Map<string, Known>()
  readonly #sums = new Map<string, Sum>()
  readonly #logBytes = new Map<string, number>()
  #slope = 0
  #usualLogBytes = 0

  constructor(contention: Contention = noContention) {
    this.#contention = contention
  }

  get contention(): Contention {
    return this.#contention
  }

  get size(): number {
    return this.#files.size
  }

  files(): IterableIterator<string> {
    return this.#files.keys()
  }

  /** Newest last; empty for a file never seen. */
  observations(file: string): readonly Observation[] {
    return this.#files.get(file)?.observations ?? []
  }

  *allObservations(): Generator<readonly Observation[]> {
    for (const known of this.#files.values()) yield known.observations
  }

  learn(file: string, observation: Observation): void {
    let known = this.#files.get(file)
    if (known === undefined) {
      known = { observations: [], ms: 0, logMs: 0, usualLogMs: 0 }
      this.#files.set(file, known)
    } else this.#add(file, -known.usualLogMs, -1)
    known.observations.push(observation)
    if (known.observations.length > observationsKept) known.observations.shift()
    this.#estimate(file, known)
  }

  /** All that is known of a file at once, newest last. */
  load(file: string, observations: Observation[]): void {
    const known: Known = { observations: observations.slice(-observationsKept), ms: 0, logMs: 0, usualLogMs: 0 }
    this.#files.set(file, known)
    this.#estimate(file, known)
  }

  /** Every estimate again, with what load is now thought to cost. */
  correctFor(contention: Contention): void {
    this.#contention = contention
    this.#sums.clear()
    for (const [file, known] of this.#files) this.#estimate(file, known)
  }

  /** Sizes as they are now; null = not known. */
  learnBytes(files: readonly string[], bytes: readonly (number | null)[]): void {
    let changed = false
    for (const [at, file] of files.entries()) {
      const size = bytes[at] ?? null
      if (size === null || this.#logBytes.get(file) === Math.log1p(size)) continue
      this.#logBytes.set(file, Math.log1p(size))
      changed = true
    }
    if (!changed) return
    this.#fitBytes()
    this.#sums.clear()
    for (const [file, known] of this.#files) this.#group(file, known)
  }

  /** In reference milliseconds; null for a file never seen. */
  robustMs(file: string): number | null {
    return this.#files.get(file)?.ms ?? null
  }

  referenceMs(observation: Observation): number {
    return referenceMs(observation, this.#contention)
  }

  /** What its neighbours take, itself left out; null when there are none. */
  neighbours(file: string): { readonly ms: number; readonly basis: Basis } | null {
    const own = this.#files.get(file)
    let mean: number | undefined
    let basis: Basis = 'none'
    for (const [name, key] of groupsOf(file)) {
      const sum = this.#sums.get(key)
      if (sum === undefined) continue
      const count = own === undefined ? sum.count : sum.count - 1
      if (count <= 0) continue
      const logMs = own === undefined ? sum.logMs : sum.logMs - own.usualLogMs
      mean = mean === undefined ? logMs / count : (logMs + pull * mean) / (count + pull)
      basis = name
    }
    if (mean === undefined) return null
    const bySize = this.#bySize(file)
    return { ms: Math.exp(mean + bySize), basis: bySize === 0 ? basis : 'size' }
  }

  /** How much longer, as a logarithm, than one of usual size. */
  #bySize(file: string): number {
    const logBytes = this.#logBytes.get(file)
    return logBytes === undefined ? 0 : this.#slope * (logBytes - this.#usualLogBytes)
  }

  #fitBytes(): void {
    const both: [number, number][] = []
    for (const [file, known] of this.#files) {
      const x = this.#logBytes.get(file)
      if (x !== undefined) both.push([x, known.logMs])
    }
    const meanX = both.reduce((sum, [x]) => sum + x, 0) / Math.max(1, both.length)
    const meanY = both.reduce((sum, [, y]) => sum + y, 0) / Math.max(1, both.length)
    let xy = 0
    let xx = 0
    for (const [x, y] of both) {
      xy += (x - meanX) * (y - meanY)
      xx += (x - meanX) ** 2
    }
    const slope = xx > 0 ? (xy / xx) * (both.length / (both.length + slopePull)) : 0
    this.#slope = Math.min(1, Math.max(0, slope))
    this.#usualLogBytes = meanX
  }

  #estimate(file: string, known: Known): void {
    known.ms = robustMs(known.observations, this.#contention)!
    known.logMs = Math.log(Math.max(msMin, known.ms))
    this.#group(file, known)
  }

  #group(file: string, known: Known): void {
    known.usualLogMs = known.logMs - this.#bySize(file)
    this.#add(file, known.usualLogMs, 1)
  }

  #add(file: string, logMs: number, count: number): void {
    for (const [, key] of groupsOf(file)) {
      const sum = this.#sums.get(key)
      if (sum === undefined) this.#sums.set(key, { logMs, count })
      else {
        sum.logMs += logMs
        sum.count += count
      }
    }
  }
}

/** From far to near. */
function groupsOf(file: string): readonly (readonly [Basis, string])[] {
  const slash = file.lastIndexOf('/')
  const directory = slash < 0 ? '' : file.slice(0, slash)
  const name = file.slice(slash + 1)
  const dot = name.indexOf('.', 1)
  const suffix = dot < 0 ? '' : name.slice(dot)
  return [
    ['suite', ''],
    ['suffix', `s${suffix}`],
    ['directory', `d${directory}`],
    ['directory', `b${suffix}\n${directory}`],
  ]
}
