import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { bytesText, formatBytes, parseBytes } from './bytes.ts'

test('parseBytes: powers of 1024 with an i, of 1000 without; a bare number, a stray word and too much are refused', () => {
  const table: readonly (readonly [string, number | undefined])[] = [
    ['24GiB', 24 * 2 ** 30],
    ['24gib', 24 * 2 ** 30],
    ['512MB', 512e6],
    ['1.5KiB', 1536],
    ['1kB', 1000],
    ['7B', 7],
    ['0.1GiB', 107_374_182],
    ['24', undefined],
    ['24G', undefined],
    ['24iB', undefined],
    ['GiB', undefined],
    ['-1GiB', undefined],
    ['1 GiB', undefined],
    ['9PiB', undefined],
  ]
  for (const [text, bytes] of table) assert.equal(parseBytes(text), bytes, text)
})

test('bytesText: in the unit that makes it shortest, and read back as the same number', () => {
  assert.equal(bytesText(24 * 2 ** 30), '24GiB')
  assert.equal(bytesText(512e6), '512MB')
  assert.equal(bytesText(1025), '1025B')
  assert.equal(bytesText(0), '0B')
  fc.assert(fc.property(fc.maxSafeNat(), (bytes) => parseBytes(bytesText(bytes)) === bytes))
  fc.assert(fc.property(fc.nat(4000), (gib) => parseBytes(bytesText(gib * 2 ** 30)) === gib * 2 ** 30))
})

test('formatBytes: two digits at most, rounded down', () => {
  assert.equal(formatBytes(16 * 2 ** 30), '16 GiB')
  assert.equal(formatBytes(16 * 2 ** 30 - 1), '15.99 GiB')
  assert.equal(formatBytes(1536), '1.5 KiB')
  assert.equal(formatBytes(1023), '1023 B')
})
