import assert from 'node:assert/strict'
import { test } from 'node:test'
import { detectEveryOf, detectLevelOf, resourcesOf, workerNameOf } from './flags.ts'

test('resourcesOf: names and whole numbers', () => {
  assert.deepEqual(resourcesOf(['licences=2', 'usb-port=1', 'none=0']), { licences: 2, 'usb-port': 1, none: 0 })
  assert.deepEqual(resourcesOf([]), {})
})

test('resourcesOf: says what was expected and what came', () => {
  for (const text of ['licences', 'licences=', '=2', 'licences=-1', 'licences=1.5', '2=2', 'a.b=1', 'a=1=1'])
    assert.throws(() => resourcesOf([text]), new RegExp(`expected NAME=COUNT, e.g. licences=2, received '${text}'`))
  assert.throws(() => resourcesOf(['a=1', 'a=2']), /a is given twice/)
})

test('detectLevelOf: three levels, and no other', () => {
  assert.deepEqual(['none', 'quick', 'all', '', undefined].map(detectLevelOf), [
    'none',
    'quick',
    'all',
    undefined,
    undefined,
  ])
  assert.deepEqual([detectEveryOf(undefined), detectEveryOf(''), detectEveryOf('30s')], [undefined, undefined, 30_000])
  for (const wrong of ['often', '99ms', '-1s', '5'])
    assert.throws(() => detectEveryOf(wrong), /MUSTER_DETECT_EVERY: expected a duration of at least 100ms/, wrong)
  assert.throws(() => detectLevelOf('most'), /MUSTER_DETECT: expected none, quick or all, received 'most'/)
})

test('workerNameOf: a name that can be seen', () => {
  for (const name of [undefined, 'gpu-1', '機械-東京-01', 'a b']) assert.equal(workerNameOf(name), name)
  for (const [wrong, received] of [
    ['', "''"],
    [' ', "' '"],
    ['a\nb', "'a b'"],
    ['x'.repeat(201), '201 characters'],
  ] as const)
    assert.throws(
      () => workerNameOf(wrong),
      new RegExp(`--name: expected one line of 1 to 200 characters, received ${received}`),
    )
})
