/**
 * Amounts of bytes as people write them: `24GiB`, `512MB`, `1.5TiB`, `4096B`. With an `i` a unit is a power of 1024,
 * without it one of 1000; upper and lower case are the same. A bare number is refused, because nobody agrees on its unit.
 */
const units: readonly (readonly [string, number])[] = [
  ['PiB', 2 ** 50],
  ['PB', 1e15],
  ['TiB', 2 ** 40],
  ['TB', 1e12],
  ['GiB', 2 ** 30],
  ['GB', 1e9],
  ['MiB', 2 ** 20],
  ['MB', 1e6],
  ['KiB', 2 ** 10],
  ['KB', 1e3],
  ['B', 1],
]
const unitBytes = new Map(units.map(([unit, bytes]) => [unit.toLowerCase(), bytes]))
const amount = /^(\d+(?:\.\d+)?)((?:[kmgtp]i?)?b)$/i

/** Whole bytes, or undefined when the text is not an amount of bytes or more than can be counted exactly. */
export function parseBytes(text: string): number | undefined {
  const match = amount.exec(text)
  const unit = unitBytes.get(match?.[2]?.toLowerCase() ?? '')
  if (!match || unit === undefined) return undefined
  const bytes = Math.round(Number(match[1]) * unit)
  return Number.isSafeInteger(bytes) ? bytes : undefined
}

/** Text that `parseBytes` reads back as the same number: in the unit in which the whole number is smallest. */
export function bytesText(bytes: number): string {
  let best = `${bytes}B`
  let least = bytes
  for (const [unit, size] of units) {
    if (bytes % size !== 0 || bytes / size >= least) continue
    least = bytes / size
    best = `${least}${unit}`
  }
  return best
}

/** Short text for people: `512 B`, `15.99 GiB`. Rounded down, so that what is not enough never looks like enough. */
export function formatBytes(bytes: number): string {
  for (const [unit, size] of units)
    if (unit.includes('i') && bytes >= size) return `${Math.floor((bytes / size) * 100) / 100} ${unit}`
  return `${Math.floor(bytes)} B`
}
