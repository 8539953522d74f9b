/**
 * The simple estimate: a recency-weighted trimmed mean of the last observations of a file.
 *
 * Three ideas in one formula. Weights halve every few observations, so that a file that has changed is
 * believed soon. Durations of attempts that were stopped at their limit are *censored*, known only to
 * be at least so long, so quantiles are read from the product-limit estimate of the survival function
 * (Kaplan & Meier 1958, weighted). And the answer is the mean of the quantiles in the middle third,
 * Q(1/3)…Q(2/3) (a trimmed L-estimator, Huber 1964): a third of the weight may be arbitrarily wrong on
 * either side without moving it far, and it wastes less of the rest than the median does.
 *
 * Not done: a trend. What a trend would add, the learned model sees.
 */
import { isCensored, referenceMs } from './observation.ts'
import type { Contention, Observation } from './observation.ts'

/** Older observations say next to nothing at this half-life. */
export const observationsKept = 12
/** An observation counts half as much as the one that came so many later. */
const halfLife = 3
const trimmed = 1 / 3

export type Weighted = { readonly value: number; readonly weight: number; readonly censored: boolean }

/** Newest last; null without any. */
export function robustMs(observations: readonly Observation[], contention: Contention): number | null {
  const items = observations.map((one, index) => ({
    value: referenceMs(one, contention),
    weight: 0.5 ** ((observations.length - 1 - index) / halfLife),
    censored: isCensored(one),
  }))
  return trimmedMean(items)
}

/** Newest last, all exact: the same estimate of plain numbers, e.g. of start-ups. */
export function robustOf(values: readonly number[]): number | null {
  return trimmedMean(
    values.map((value, index) => ({
      value,
      weight: 0.5 ** ((values.length - 1 - index) / halfLife),
      censored: false,
    })),
  )
}

/** Mean of the product-limit quantiles between the two trimmed ends; the order of items is of no account. */
export function trimmedMean(items: readonly Weighted[]): number | null {
  if (items.length === 0) return null
  // At one value, what happened there happened before what was cut off there.
  const sorted = items.toSorted(
    (a, b) => a.value - b.value || Number(a.censored) - Number(b.censored) || a.weight - b.weight,
  )
  let atRisk = 0
  for (const item of sorted) atRisk += item.weight
  let survival = 1
  let sum = 0
  /** How much of the middle lies between these two shares of all that have ended. */
  const middle = (from: number, to: number) =>
    Math.max(0, Math.min(to, 1 - trimmed) - Math.max(from, trimmed)) / (1 - 2 * trimmed)
  let covered = 0
  for (const { value, weight, censored } of sorted) {
    if (!censored) {
      const after = survival * Math.max(0, 1 - weight / atRisk)
      const share = middle(1 - survival, 1 - after)
      sum += share * value
      covered += share
      survival = after
    }
    atRisk -= weight
  }
  // Nothing is known of quantiles beyond the last that ended: at least as long as the longest seen.
  const mean = sum + Math.max(0, 1 - covered) * sorted.at(-1)!.value
  // Rounding of the shares must not take it outside.
  return Math.min(sorted.at(-1)!.value, Math.max(sorted[0]!.value, mean))
}
