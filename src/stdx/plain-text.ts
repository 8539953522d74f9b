/** Text of others (a plugin's errors) as one line that does nothing to a terminal: no colours, no control characters. */
// oxlint-disable-next-line no-control-regex
const sequences = /\u001b\[[0-9;?]*[A-Za-z]/g
/** And marks that turn the direction of what follows. */
const controls = /[\p{Cc}\u2028\u2029\u202a-\u202e\u2066-\u2069]+/gu

export function plainText(text: string): string {
  return text.replace(sequences, '').replace(controls, ' ')
}

const named: Readonly<Record<string, string>> = { '\n': '\\n', '\r': '\\r', '\t': '\\t' }

/** A name of others (a file's) on one line, and such that two names stay two: `a\nb`, `a\u001b[2J`. */
export function escapedName(name: string): string {
  return name.replace(controls, (found) =>
    Array.from(found, (one) => named[one] ?? `\\u${one.charCodeAt(0).toString(16).padStart(4, '0')}`).join(''),
  )
}
