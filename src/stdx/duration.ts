/**
 * Durations as people write them: `90s`, `5m`, `1h30m`, `250ms`, `2d`. A bare number is refused,
 * because nobody agrees on its unit.
 */
const unitMs: Record<string, number> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 }
const part = /(\d+(?:\.\d+)?)(ms|s|m|h|d)/y

/** Milliseconds, or undefined when the text is not a duration. */
export function parseDuration(text: string): number | undefined {
  let totalMs = 0
  part.lastIndex = 0
  const trimmed = text.trim()
  if (trimmed === '') return undefined
  let end = 0
  while (end < trimmed.length) {
    part.lastIndex = end
    const match = part.exec(trimmed)
    if (!match) return undefined
    totalMs += Number(match[1]) * unitMs[match[2]!]!
    end = part.lastIndex
  }
  return totalMs <= Number.MAX_SAFE_INTEGER ? Math.round(totalMs) : undefined
}

/** Short text for people: `850 ms`, `12.3 s`, `4 m 05 s`, `2 h 10 m`. */
export function formatDuration(durationMs: number): string {
  if (durationMs < 1000) return `${Math.round(durationMs)} ms`
  const seconds = durationMs / 1000
  if (seconds < 99.95) return `${seconds.toFixed(1)} s`
  const whole = Math.round(seconds)
  const hours = Math.floor(whole / 3600)
  const minutes = Math.floor((whole % 3600) / 60)
  if (hours > 0) return `${hours} h ${String(minutes).padStart(2, '0')} m`
  return `${minutes} m ${String(whole % 60).padStart(2, '0')} s`
}
