/** When something should be over: a time (`2026-11-22T14:00:00Z`) or a duration from its submission (`20m`). */
import { parseDuration } from '../stdx/duration.ts'

const dateTime = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?(?:Z|[+-]\d{2}:\d{2})$/

/** Milliseconds since the epoch; undefined when the text says neither. A time needs its zone: nobody agrees on it. */
export function deadlineAtMs(text: string, nowMs: number): number | undefined {
  const durationMs = parseDuration(text)
  if (durationMs !== undefined) return durationMs > 0 ? nowMs + durationMs : undefined
  const atMs = dateTime.test(text) ? Date.parse(text) : Number.NaN
  return Number.isNaN(atMs) ? undefined : atMs
}
