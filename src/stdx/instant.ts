/**
 * Instants as people write them: `2026-11-22T14:00:00Z`. One needs its zone, because nobody agrees on it, and a day that
 * there is: `Date.parse` takes 30 February for 2 March, and `5` for a day of 2001.
 */
const instant = /^(\d{4})-(\d{2})-(\d{2})T\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?(?:Z|[+-]\d{2}:\d{2})$/
const clock = /^([01]?\d|2[0-3]):([0-5]\d)$/
const date = /^(\d{4})-(\d{2})-(\d{2})$/

/** Milliseconds since the epoch, or undefined when the text is not an instant. */
export function parseInstant(text: string): number | undefined {
  const match = instant.exec(text)
  if (!match || !isDay(match)) return undefined
  const atMs = Date.parse(text)
  return Number.isNaN(atMs) ? undefined : atMs
}

/** `14:00`: when it is so here next, or when it was so last. */
export function parseClock(text: string, now: Date, which: 'next' | 'last'): number | undefined {
  const match = clock.exec(text)
  if (!match) return undefined
  const at = new Date(now)
  at.setHours(Number(match[1]), Number(match[2]), 0, 0)
  if (which === 'next' && at.getTime() <= now.getTime()) at.setDate(at.getDate() + 1)
  if (which === 'last' && at.getTime() > now.getTime()) at.setDate(at.getDate() - 1)
  return at.getTime()
}

/** `2026-11-22`: its midnight here. */
export function parseDate(text: string): number | undefined {
  const match = date.exec(text)
  if (!match || !isDay(match)) return undefined
  return new Date(Number(match[1]), Number(match[2]) - 1, Number(match[3])).getTime()
}

function isDay([, year, month, day]: RegExpExecArray): boolean {
  const at = new Date(Date.UTC(Number(year), Number(month) - 1, Number(day)))
  return at.getUTCMonth() === Number(month) - 1 && at.getUTCDate() === Number(day)
}
