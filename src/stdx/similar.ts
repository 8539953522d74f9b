/**
 * Of known names the one that was meant by one that is not known: spelt nearly alike (letters left out, put in, exchanged
 * or swapped with the next one, at most one for each three), a part of a dotted name, or its beginning.
 */

/** Undefined when none is near. The first of several that are as near. */
export function similarName(name: string, known: Iterable<string>): string | undefined {
  const wanted = name.toLowerCase()
  const most = Math.max(1, Math.floor(wanted.length / 3))
  let best: string | undefined
  let bestDistance = most + 1
  for (const one of known) {
    const lower = one.toLowerCase()
    const distance = Math.abs(lower.length - wanted.length) > most ? Infinity : editDistance(wanted, lower)
    const found = distance <= most && distance < wanted.length ? distance : belongsTo(wanted, lower) ? most : Infinity
    if (found >= bestDistance) continue
    best = one
    bestDistance = found
  }
  return best
}

const partMin = 3

/** `zone` for `label.zone`, `gpu.mem` for `gpu.memory`. */
function belongsTo(name: string, dotted: string): boolean {
  return name.length >= partMin && (dotted.endsWith(`.${name}`) || dotted.startsWith(name))
}

/** After Damerau and Levenshtein, where no part is changed twice. */
export function editDistance(one: string, other: string): number {
  let before: number[] = []
  let last = Array.from({ length: other.length + 1 }, (_, at) => at)
  for (let row = 1; row <= one.length; row += 1) {
    const next = [row]
    for (let column = 1; column <= other.length; column += 1) {
      const same = one[row - 1] === other[column - 1]
      let least = Math.min(last[column]! + 1, next[column - 1]! + 1, last[column - 1]! + (same ? 0 : 1))
      const swapped = row > 1 && column > 1 && one[row - 1] === other[column - 2] && one[row - 2] === other[column - 1]
      if (swapped) least = Math.min(least, before[column - 2]! + 1)
      next.push(least)
    }
    before = last
    last = next
  }
  return last[other.length]!
}
