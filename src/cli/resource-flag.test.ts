import assert from 'node:assert/strict'
import { test } from 'node:test'
import { detectLevelOf, resourcesOf } from './flags.ts'

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
  assert.throws(() => detectLevelOf('most'), /MUSTER_DETECT: expected none, quick or all, received 'most'/)
})
