/**
 * How many columns of a terminal a text takes. The library that knows it for every script and emoji takes 40 ms to
 * load; most of what is printed needs only characters that are one column wide wherever they stand.
 */
import { createRequire } from 'node:module'
import type stringWidth from 'string-width'

/** Latin letters, punctuation, arrows, lines of tables, and the signs before results. */
const narrow =
  /^[\u0020-\u007e\u00a0-\u00ac\u00ae-\u02ff\u2010-\u2027\u202f-\u203a\u2190-\u21ff\u2500-\u257f\u2713\u2717]*$/

let measure: typeof stringWidth | undefined

export function textWidth(text: string): number {
  if (narrow.test(text)) return text.length
  measure ??= (createRequire(import.meta.url)('string-width') as { readonly default: typeof stringWidth }).default
  return measure(text)
}
