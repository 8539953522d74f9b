import { test } from 'node:test'
import assert from 'node:assert/strict'
import fc from 'fast-check'
import { Check } from 'typebox/value'
import { GpuVendorSchema } from '../protocol/needs.ts'
import { checkConfig, configSchema } from './config-schema.ts'
import { fits, type Shape } from './config-shapes.ts'

/** Values that have a shape, or nearly: now and then any part is something else. */
function near(shape: Shape): fc.Arbitrary<unknown> {
  return fc.oneof({ arbitrary: right(shape), weight: 30 }, { arbitrary: wrong, weight: 1 })
}

const wrong = fc.constantFrom<unknown>(
  null,
  undefined,
  true,
  '',
  'x',
  'line\nbreak',
  0,
  -1,
  1.5,
  NaN,
  Infinity,
  [],
  [''],
  {},
  { x: 1 },
)

function right(shape: Shape): fc.Arbitrary<unknown> {
  if (shape.anyOf !== undefined) return fc.oneof(...shape.anyOf.map(near))
  if (shape.const !== undefined) return fc.constant(shape.const)
  if (shape.type === 'boolean') return fc.boolean()
  if (shape.type === 'string')
    return fc.oneof(
      fc.constantFrom('a', '5m', '8GiB'),
      fc.string(),
      fc.nat(300).map((n) => 'a'.repeat(n)),
    )
  if (shape.type === 'integer') return fc.oneof(fc.integer({ min: -1100, max: 1100 }), fc.constant(2 ** 53))
  if (shape.type === 'number') return fc.oneof(fc.integer(), fc.double())
  if (shape.type === 'array') return fc.array(near(shape.items!), { maxLength: 3 })
  const { properties, required = [], additionalProperties } = shape
  if (properties === undefined)
    return fc.dictionary(fc.string({ maxLength: 3 }), near(additionalProperties as Shape), { maxKeys: 3 })
  const given = fc.record(Object.fromEntries(Object.entries(properties).map(([key, one]) => [key, near(one)])), {
    requiredKeys: required.filter((_, index) => index > 0),
  })
  const stray = fc.dictionary(fc.constantFrom('x', 'toString', '__proto__', 'constructor'), wrong, { maxKeys: 1 })
  return fc
    .tuple(given, fc.oneof({ arbitrary: fc.constant({}), weight: 30 }, { arbitrary: stray, weight: 1 }))
    .map(([one, more]) => ({ ...one, ...more }))
}

test('fits: says what TypeBox says of every part of a configuration', () => {
  const said = { true: 0, false: 0 }
  const look = (shape: Shape, numRuns: number): void => {
    fc.assert(
      fc.property(near(shape), (value) => {
        const is = fits(shape, value)
        said[`${is}`] += 1
        assert.equal(is, Check(shape, value))
      }),
      { numRuns },
    )
    for (const part of [...(shape.anyOf ?? []), ...Object.values(shape.properties ?? {})]) look(part, 100)
    if (shape.items !== undefined) look(shape.items, 100)
  }
  look(configSchema, 1000)
  assert.ok(said.true > 1000 && said.false > 1000, JSON.stringify(said))
})

test('checkConfig: a comma too many in a list is a mistake, and it is said where', () => {
  const withHole = (part: unknown): unknown[] => {
    const list = [part]
    list[2] = part
    return list
  }
  const suite = { name: 'a' }
  const refused = (suites: unknown, message: RegExp) =>
    assert.throws(() => checkConfig('c.ts', { suites }), { code: 'config_invalid', message })
  refused(withHole(suite), /suites\[1\] in c\.ts: expected a suite: .* received undefined/)
  refused([{ ...suite, paths: withHole('x') }], /suites\[0\]\.paths\[1\] in c\.ts: expected a text, received undefined/)
})

test('configuration: knows the makers of GPUs that the API knows', () => {
  const vendor = (value: string) => {
    const config = { suites: [{ name: 'a', requires: { gpus: { vendor: value } } }] }
    return [fits(configSchema, config), Check(GpuVendorSchema, value)]
  }
  for (const { const: known } of GpuVendorSchema.anyOf) assert.deepEqual(vendor(known), [true, true])
  assert.deepEqual(vendor('nobody'), [false, false])
})
