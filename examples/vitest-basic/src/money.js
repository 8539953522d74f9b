/** Amounts are whole cents, so that sums are exact. */
export function parseMoney(text) {
  const match = /^(-?)(\d+)(?:\.(\d{1,2}))?$/.exec(text.trim())
  if (!match) throw new RangeError(`Cannot parse amount: expected 12.34, received '${text}'`)
  const [, sign, whole, fraction = ''] = match
  const cents = Number(whole) * 100 + Number(fraction.padEnd(2, '0'))
  return sign === '-' ? -cents : cents
}

export function formatMoney(cents) {
  const sign = cents < 0 ? '-' : ''
  const size = Math.abs(cents)
  return `${sign}${Math.floor(size / 100)}.${String(size % 100).padStart(2, '0')}`
}

/** Rounds half to even, so that many roundings don't drift upwards. */
export function roundHalfEven(value) {
  const floor = Math.floor(value)
  const rest = value - floor
  if (rest < 0.5) return floor
  if (rest > 0.5) return floor + 1
  return floor % 2 === 0 ? floor : floor + 1
}

/** Splits an amount into parts that differ by at most one cent and add up to it. */
export function splitMoney(cents, parts) {
  const size = Math.floor(cents / parts)
  const larger = cents - size * parts
  return Array.from({ length: parts }, (_, index) => (index < larger ? size + 1 : size))
}
