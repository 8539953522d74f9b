import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { TestError } from '../../protocol/results.ts'
import { failureText } from './failure-text.ts'
import { noPaint } from './terminal.ts'

const shown = (error: TestError, columns = 60): string[] =>
  failureText({ file: 'a.test.ts', name: ['sum'], errors: [error] }, columns, noPaint).split('\n')

describe('failureText', () => {
  test('puts a short message at the right, and below where there is no room', () => {
    assert.deepEqual(shown({ message: 'no' }, 30), ['✗ a.test.ts › sum           no'])
    assert.deepEqual(shown({ message: 'no such thing' }, 24), ['✗ a.test.ts › sum', '    no such thing'])
    assert.deepEqual(shown({ message: '', type: 'RangeError' }, 40), ['✗ a.test.ts › sum             RangeError'])
  })

  test('shows both values, unless the message does', () => {
    assert.deepEqual(shown({ message: 'not equal', expected: '1', actual: '2' }).slice(1), [
      '    expected  1',
      '    received  2',
    ])
    assert.deepEqual(shown({ message: 'expected 2 to be 1', expected: '1', actual: '2' }).slice(1), [])
    const own = { message: 'not equal:\n\n+ 2\n- 1', expected: '{ a: 1 }', actual: '{ a: 2 }' }
    assert.deepEqual(shown(own).slice(1), ['    not equal:', '', '    + 2', '    - 1'])
  })

  test("keeps the project's own frames", () => {
    const stack = [
      'Error: no',
      '    at TestContext.<anonymous> (file:///r/a.test.ts:4:10)',
      '    at run (/r/node_modules/x/index.js:1:1)',
      '    at Test.run (node:internal/test_runner/test:1)',
      '    at new Promise (<anonymous>)',
    ].join('\n')
    assert.deepEqual(shown({ message: 'no', stack }).slice(1), [
      '    at TestContext.<anonymous> (file:///r/a.test.ts:4:10)',
    ])
  })

  test("keeps the end of other languages' reports", () => {
    const stack = 'def test_y():\n>       assert a == b\nE       assert 1 == 2\n\ntests/test_a.py:5: AssertionError'
    assert.equal(shown({ message: 'assert 1 == 2', stack }).at(-1), '    tests/test_a.py:5: AssertionError')
  })

  test('lets no control character of a test through', () => {
    const [headline] = shown({ message: '\u001b[2J\u001b]0;title\u0007\u0008\rgone\u009b1A' })
    assert.doesNotMatch(headline!, /\p{Cc}/u)
  })
})
