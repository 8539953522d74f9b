/** When something should be over: a time (`2026-11-22T14:00:00Z`) or a duration from its submission (`20m`). */
import { parseDuration } from '../stdx/duration.ts'
import { parseInstant } from '../stdx/instant.ts'

/** Milliseconds since the epoch; undefined when the text says neither. A time needs its zone: nobody agrees on it. */
export function deadlineAtMs(text: string, nowMs: number): number | undefined {
  const durationMs = parseDuration(text)
  if (durationMs !== undefined) return durationMs > 0 ? nowMs + durationMs : undefined
  return parseInstant(text)
}
