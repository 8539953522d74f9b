import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { SuiteConfig } from './config-types.ts'
import { firstMistake, inOrder, suitesBefore } from './suite-order.ts'

const suite = (name: string, after?: SuiteConfig['after']): SuiteConfig => ({
  name,
  framework: 'vitest',
  ...(after === undefined ? {} : { after }),
})

describe('suites after suites', () => {
  test('stand after those that they come after, otherwise as they were written', () => {
    const suites = [suite('e2e', ['unit', 'lint:finished']), suite('docs'), suite('unit', 'lint'), suite('lint')]
    assert.deepEqual(
      inOrder(suites).map((one) => one.name),
      ['lint', 'unit', 'e2e', 'docs'],
    )
  })

  test('wait for a pass, or with :finished only for the end; a suite may be called so', () => {
    const suites = [suite('a'), suite('b:finished'), suite('c', ['a:finished', 'b:finished', 'a'])]
    assert.deepEqual(
      suitesBefore(suites[2]!, suites).map(({ suite: before, when }) => [before?.name, when]),
      [
        ['a', 'finished'],
        ['b:finished', 'passed'],
        ['a', 'passed'],
      ],
    )
    assert.equal(firstMistake(suites), undefined)
  })

  test('that go round in a circle are refused with its path, also by way of :finished', () => {
    const mistake = firstMistake([suite('a', 'b'), suite('b', ['c:finished']), suite('c', 'a')])
    assert.deepEqual(mistake, {
      place: 'suites[0].after',
      expected: 'suites in some order',
      received: 'a circle: a -> b -> c -> a',
    })
  })

  test('that nobody has described are refused with the names that there are', () => {
    assert.deepEqual(firstMistake([suite('a', 'nope:finished'), suite('b')]), {
      place: 'suites[0].after',
      expected: 'one of a, b',
      received: "'nope:finished'",
    })
  })
})
