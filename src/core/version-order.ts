/**
 * The order of versions, as tools, browsers, drivers and kernels print them: `20.11.1`, `v22`, `1.0.0-rc.1`, `3.14.0rc2`,
 * `120.0.6099.109`, `6.8.0-49-generic`. Their numbers count first, and one that is missing is 0. A suffix that begins
 * with a letter is a pre-release and comes before its release; one that begins with a digit is a packager's revision
 * and comes after it (here semantic versioning says otherwise, and kernels and packages do not follow it); so does a
 * patch level (`2.7.4p191`, Ruby). Numbers within a suffix are compared as numbers. What follows `+` counts for nothing,
 * and neither does `esr` (Firefox).
 */
type Version = { readonly numbers: readonly string[]; readonly rank: -1 | 0 | 1; readonly suffix: readonly string[] }

const shape =
  /^v?(\d+(?:\.\d+)*)(?:((?:alpha|beta|dev|pre|rc|a|b)\d*)|-([a-z][a-z0-9.-]*)|[-_](\d[a-z0-9._-]*)|(p\d+))?(?:esr)?(?:\+[a-z0-9.-]+)?$/i

export function isVersion(text: string): boolean {
  return shape.test(text)
}

/** Below 0, 0, or above 0; undefined when one of them does not look like a version. */
export function versionOrder(left: string, right: string): number | undefined {
  const a = parseVersion(left)
  const b = parseVersion(right)
  if (!a || !b) return undefined
  for (let n = 0; n < Math.max(a.numbers.length, b.numbers.length); n += 1) {
    const order = numberOrder(a.numbers[n] ?? '0', b.numbers[n] ?? '0')
    if (order !== 0) return order
  }
  return a.rank - b.rank || suffixOrder(a.suffix, b.suffix)
}

function parseVersion(text: string): Version | undefined {
  const match = shape.exec(text)
  if (!match) return undefined
  const [, numbers = '', short, preRelease = short, packaged, revision = packaged] = match
  const suffix = preRelease ?? revision
  return {
    numbers: numbers.split('.'),
    rank: preRelease !== undefined ? -1 : revision !== undefined ? 1 : 0,
    suffix: suffix?.match(/\d+|[a-z]+/gi) ?? [],
  }
}

/** One that goes on where the other has ended comes later; numbers come before letters. */
function suffixOrder(a: readonly string[], b: readonly string[]): number {
  for (let n = 0; n < Math.min(a.length, b.length); n += 1) {
    const order = partOrder(a[n]!, b[n]!)
    if (order !== 0) return order
  }
  return a.length - b.length
}

function partOrder(a: string, b: string): number {
  const [aDigits, bDigits] = [isDigits(a), isDigits(b)]
  if (aDigits !== bDigits) return aDigits ? -1 : 1
  return aDigits ? numberOrder(a, b) : textOrder(a, b)
}

function isDigits(text: string): boolean {
  return text >= '0' && text < ':'
}

/** Of digits, however many: dates and build numbers are longer than what a number holds exactly. */
function numberOrder(a: string, b: string): number {
  const [left, right] = [a.replace(/^0+/, ''), b.replace(/^0+/, '')]
  return left.length - right.length || textOrder(left, right)
}

function textOrder(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}
