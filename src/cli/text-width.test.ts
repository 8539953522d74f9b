import { test } from 'node:test'
import assert from 'node:assert/strict'
import fc from 'fast-check'
import stringWidth from 'string-width'
import { textWidth } from './text-width.ts'

test('textWidth: is what the library says, for every character alone', () => {
  for (let code = 0; code <= 0xffff; code += 1) {
    const text = String.fromCharCode(code)
    assert.equal(textWidth(text), stringWidth(text), `U+${code.toString(16)}`)
  }
})

test('textWidth: is what the library says, for any text', () => {
  const wide = fc.constantFrom('日', '✓', '✗', '…', '\u0301', '\ufe0f', '\u200d', '😀', '\u001b[31m', '↔', '©')
  const text = fc
    .array(fc.oneof(fc.string({ unit: 'binary', maxLength: 4 }), fc.string(), wide))
    .map((parts) => parts.join(''))
  fc.assert(
    fc.property(text, (one) => textWidth(one) === stringWidth(one)),
    { numRuns: 2000 },
  )
})
