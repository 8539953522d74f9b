import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { TSchema } from 'typebox'
import { Check } from 'typebox/value'
import { TestError, TestResult } from '../protocol/results.ts'
import { isTestError, isTestResult } from './driver-events.ts'
import type { Shape } from './shape.ts'

const error = { message: 'm', type: 'E', stack: 's', expected: '1', actual: '2', file: 'f', line: 3 }
const test = {
  file: 'a',
  name: ['x', 'y'],
  project: 'p',
  status: 'passed',
  durationMs: 1.5,
  line: 2,
  errors: [error],
  output: 'o',
  tries: [{ status: 'failed', durationMs: 1, errors: [error], output: 'o' }],
  reason: 'r',
}
const wrongValues = [undefined, null, 0, 'text', true, [], {}, [1], [null], ['text'], [{}], Number.NaN]

/** The example with each property, at any depth, absent or replaced by something else. */
function* variants(example: object): Generator<object> {
  yield example
  for (const [name, value] of Object.entries(example)) {
    const { [name as never]: _absent, ...rest } = example as Record<string, unknown>
    yield rest
    for (const wrong of wrongValues) yield { ...example, [name]: wrong }
    if (Array.isArray(value) && typeof value[0] === 'object') {
      for (const inner of variants(value[0] as object)) yield { ...example, [name]: [inner] }
    }
  }
}

describe('the checks by hand', () => {
  const cases: [string, Shape, TSchema, object][] = [
    ['TestError', isTestError, TestError, error],
    ['TestResult', isTestResult, TestResult, test],
  ]
  for (const [name, shape, schema, example] of cases) {
    it(`take and refuse what the schema of ${name} does`, () => {
      let count = 0
      for (const variant of variants(example)) {
        // What arrives is JSON: neither undefined nor NaN.
        const value: unknown = JSON.parse(JSON.stringify(variant))
        assert.equal(shape(value), Check(schema, value), JSON.stringify(value))
        count += 1
      }
      assert.ok(count > 80)
    })
  }
})
