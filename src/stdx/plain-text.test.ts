import assert from 'node:assert/strict'
import { test } from 'node:test'
import { escapedName, plainText } from './plain-text.ts'

test('plainText: colours go, what else acts on a terminal becomes a space, the rest stays', () => {
  assert.equal(plainText('böse \u001b[31mred\u001b[0m'), 'böse red')
  assert.equal(plainText('a\r\n\tb\u0007\u001b]0;title\u0007\u009b2Jc'), 'a b ]0;title 2Jc')
  assert.equal(plainText('\u202eback'), ' back')
  assert.equal(plainText('日本 😀 👩‍👩‍👧'), '日本 😀 👩‍👩‍👧')
})

test('escapedName: what acts on a terminal is written out, the rest stays', () => {
  assert.equal(escapedName('tests/a\nb\r\t\u001b[2J\u202e.test.ts'), 'tests/a\\nb\\r\\t\\u001b[2J\\u202e.test.ts')
  assert.equal(escapedName('日本/böse file.test.ts'), '日本/böse file.test.ts')
})
