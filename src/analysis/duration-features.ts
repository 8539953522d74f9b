/**
 * What the learned model sees of a file at the moment of a prediction. All of it was known before: it
 * is read from a SuiteDurations that has learned nothing later. Times are in logarithms of reference
 * milliseconds, and mostly relative to the simple estimate, from which boosting begins: the model only
 * says by how much that is wrong.
 */
import type { SuiteDurations } from './suite-durations.ts'

export const featureNames = [
  'estimate',
  'last',
  'last but one',
  'fading mean',
  'spread',
  'observations',
  'neighbours',
  'hours since the last',
  'failed last time',
  'share that failed',
  'speed',
  'cpus',
  'bytes',
] as const

export type Asked = {
  readonly atMs: number
  /** Of the machine; null = not known yet. */
  readonly speed: number | null
  /** Of the batch. */
  readonly cpus: number | null
  readonly bytes: number | null
}

const fading = 0.3
const msMin = 0.01
const hourMs = 3_600_000

/** The simple estimate, or its neighbours', or the framework's; null when nothing at all is known. */
export function simpleMs(known: SuiteDurations, file: string, frameworkMs: number | null): number | null {
  return known.robustMs(file) ?? known.neighbours(file)?.ms ?? frameworkMs
}

/** In the order of `featureNames`; NaN = not known. */
export function featuresOf(known: SuiteDurations, file: string, startMs: number, asked: Asked): number[] {
  const observations = known.observations(file)
  const start = Math.log(Math.max(msMin, startMs))
  const logs = observations.map((one) => Math.log(Math.max(msMin, known.referenceMs(one))))
  const last = observations.at(-1)
  const neighbours = known.neighbours(file)
  let fadingMean = logs[0] ?? NaN
  for (const log of logs.slice(1)) fadingMean += fading * (log - fadingMean)
  return [
    start,
    (logs.at(-1) ?? NaN) - start,
    (logs.at(-2) ?? NaN) - start,
    fadingMean - start,
    spreadOf(logs),
    Math.log1p(observations.length),
    neighbours === null ? NaN : Math.log(Math.max(msMin, neighbours.ms)) - start,
    last === undefined ? NaN : Math.log1p(Math.max(0, asked.atMs - last.atMs) / hourMs),
    last === undefined ? NaN : Number(last.ending !== 'passed'),
    last === undefined
      ? NaN
      : observations.reduce((sum, one) => sum + Number(one.ending !== 'passed'), 0) / observations.length,
    asked.speed === null ? NaN : Math.log(asked.speed),
    asked.cpus ?? NaN,
    asked.bytes === null ? NaN : Math.log1p(asked.bytes),
  ]
}

function spreadOf(logs: readonly number[]): number {
  if (logs.length < 2) return NaN
  const mean = logs.reduce((sum, log) => sum + log, 0) / logs.length
  return Math.sqrt(logs.reduce((sum, log) => sum + (log - mean) ** 2, 0) / (logs.length - 1))
}
