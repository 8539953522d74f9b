/**
 * What load costs, from history alone. The model is a power law, duration ∝ (1 + load) ^ b, where load
 * is the number of files that ran beside one on its host per CPU: b = 0 is a host with room for all,
 * b = 1 on one CPU is plain time sharing, and in between lies what memory, caches and hyper-threads
 * cost (the contention term of Gunther's Universal Scalability Law, 1993, as a one-parameter curve).
 *
 * b is fitted on differences between neighbouring observations of the same file, so that how long a
 * file takes drops out: the median of the slopes Δlog duration ÷ Δlog(1 + load), each weighted by its
 * |Δlog(1 + load)|. That is the least-absolute-deviations line through the origin (Theil 1950, Sen
 * 1968; weights: Jaeckel 1972), which outliers hardly move. Too few pairs, or signs that could as well
 * be a coin's, and b is 0: durations are taken as they were measured.
 */
import { isCensored, noContention } from './observation.ts'
import type { Contention, Observation } from './observation.ts'

const pairsMin = 20
/** Below this difference of log(1 + load) a pair says more about noise than about load. */
const differenceMin = 0.2

export function fitContention(files: Iterable<readonly Observation[]>): Contention {
  const slopes: { slope: number; weight: number }[] = []
  const loads: number[] = []
  for (const observations of files) {
    let before: Observation | undefined
    for (const one of observations) {
      if (one.load === null || isCensored(one) || one.durationMs <= 0) continue
      loads.push(one.load)
      if (before !== undefined) {
        const x = Math.log((1 + one.load) / (1 + before.load!))
        const y = Math.log((one.durationMs * one.speed) / (before.durationMs * before.speed))
        if (Math.abs(x) >= differenceMin) slopes.push({ slope: y / x, weight: Math.abs(x) })
      }
      before = one
    }
  }
  if (slopes.length < pairsMin) return noContention
  const positive = slopes.filter(({ slope }) => slope > 0).length
  // Two standard deviations of a fair coin.
  if (positive < slopes.length / 2 + Math.sqrt(slopes.length)) return noContention
  const exponent = Math.min(1, Math.max(0, weightedMedian(slopes)))
  return { exponent, usualLoad: medianOf(loads) }
}

function weightedMedian(slopes: { readonly slope: number; readonly weight: number }[]): number {
  slopes.sort((a, b) => a.slope - b.slope)
  let half = slopes.reduce((sum, { weight }) => sum + weight, 0) / 2
  for (const { slope, weight } of slopes) {
    half -= weight
    if (half <= 0) return slope
  }
  return slopes.at(-1)!.slope
}

export function medianOf(values: readonly number[]): number {
  if (values.length === 0) return 0
  const sorted = values.toSorted((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2
}
