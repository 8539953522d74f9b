import assert from 'node:assert/strict'
import { test } from 'node:test'
import { editDistance, similarName } from './similar.ts'

test('similarName: what was meant, or nothing', () => {
  const known = ['os', 'cpus', 'memory', 'memory.total', 'gpu.memory', 'label.zone', 'browser.chromium', 'kernel']
  for (const [name, meant] of [
    ['memry', 'memory'],
    ['Memory', 'memory'],
    ['mem', 'memory'],
    ['meomry', 'memory'],
    ['cpu', 'cpus'],
    ['gpu.mem', 'gpu.memory'],
    ['gpu_memory', 'gpu.memory'],
    ['zone', 'label.zone'],
    ['labels.zone', 'label.zone'],
    ['chromium', 'browser.chromium'],
    ['so', 'os'],
    ['nvlink', undefined],
    ['x', undefined],
    ['', undefined],
  ] as const)
    assert.equal(similarName(name, known), meant, name)
})

test('editDistance: one for each letter left out, put in, exchanged, or swapped with the next one', () => {
  assert.equal(editDistance('', 'abc'), 3)
  assert.equal(editDistance('abc', 'abc'), 0)
  assert.equal(editDistance('abc', 'acb'), 1)
  assert.equal(editDistance('abc', 'axc'), 1)
  assert.equal(editDistance('kitten', 'sitting'), 3)
})
