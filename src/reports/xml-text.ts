/**
 * Text as XML 1.0 allows it. Test output holds anything: colours, NUL bytes, halves of surrogate
 * pairs. What XML has no way to say is dropped, the rest is escaped.
 */
import { stripVTControlCharacters } from 'node:util'

// The Char production of XML 1.0; with the u flag a lone surrogate is a code point of its own and matches.
const invalid = /[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]/gu

export function xmlClean(text: string): string {
  return stripVTControlCharacters(text).replace(invalid, '')
}

const escapes: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  '\n': '&#10;',
  '\r': '&#13;',
  '\t': '&#9;',
}

/** ` name="value"`, or nothing for undefined. */
export function xmlAttribute(name: string, value: string | number | undefined): string {
  if (value === undefined) return ''
  return ` ${name}="${xmlClean(String(value)).replace(/[&<>"\n\r\t]/g, (one) => escapes[one]!)}"`
}

export function xmlCdata(text: string): string {
  // A carriage return would be read back as a line feed; `]]>` ends the section and is split over two.
  return `<![CDATA[${xmlClean(text).replace(/\r\n?/g, '\n').replaceAll(']]>', ']]]]><![CDATA[>')}]]>`
}
