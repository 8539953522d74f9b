import assert from 'node:assert/strict'
import { test } from 'node:test'
import { mergeNeeds, needKey, needOf } from './requires.ts'

test('needOf: words become the numbers of a need', () => {
  assert.deepEqual(needOf({}, 'p'), {})
  assert.deepEqual(
    needOf(
      {
        cpus: 2,
        memory: '8GiB',
        gpus: { memory: '4GiB', exclusive: false },
        resources: { licence: 1 },
        where: 'os == linux',
        locks: ['db', { name: 'api', mode: 'shared' }, { name: 'port', max: 3 }],
        together: 'g',
        batch: { max: 4 },
      },
      'p',
    ),
    {
      cpus: 2,
      memoryBytes: 8 * 2 ** 30,
      gpus: { count: 1, memoryBytes: 4 * 2 ** 30, exclusive: false },
      resources: { licence: 1 },
      where: 'os == linux',
      locks: [
        { name: 'db', mode: 'exclusive' },
        { name: 'api', mode: 'shared' },
        { name: 'port', mode: 'counted', max: 3 },
        { name: 'p together g', mode: 'exclusive' },
      ],
      affinity: 'g',
      batchMax: 4,
    },
  )
  assert.deepEqual(needOf({ memory: '8' }, ''), { key: 'memory', expected: 'an amount such as "8GiB"', received: '8' })
  assert.ok('key' in needOf({ gpus: { exclusive: false } }, ''))
  assert.ok('key' in needOf({ locks: ['a', { name: 'a', mode: 'shared' }] }, ''))
  assert.deepEqual(needOf({ locks: ['a', ' '] }, ''), {
    key: 'locks[1]',
    expected: 'a name that can be seen',
    received: ' ',
  })
  assert.ok('key' in needOf({ locks: [{ name: 'a', mode: 'shared', max: 2 }] }, ''))
})

test('mergeNeeds: expressions, locks and resources add up; of the rest the later word counts', () => {
  const merged = mergeNeeds(
    {
      cpus: 2,
      where: 'os == linux',
      resources: { a: 1, b: 1 },
      locks: [
        { name: 'x', mode: 'exclusive' },
        { name: 'y', mode: 'shared' },
      ],
    },
    { cpus: 4, where: 'cpus >= 8', resources: { b: 2 }, locks: [{ name: 'y', mode: 'exclusive' }] },
  )
  assert.deepEqual(merged, {
    cpus: 4,
    where: '(os == linux) and (cpus >= 8)',
    resources: { a: 1, b: 2 },
    locks: [
      { name: 'x', mode: 'exclusive' },
      { name: 'y', mode: 'exclusive' },
    ],
  })
  assert.equal(needKey({ cpus: 1, exclusive: true }), needKey({ exclusive: true, cpus: 1 }))
  assert.notEqual(needKey({ cpus: 1 }), needKey({ cpus: 2 }))
})

test('needOf: files that go together do so in projects with long names, too', () => {
  const nameIn = (scope: string, together = 'db'): string => {
    const need = needOf({ together }, scope)
    assert.ok(!('key' in need))
    return need.locks![0]!.name
  }
  assert.equal(nameIn('p'), 'p together db')
  const long = '/deep'.repeat(100)
  assert.equal(nameIn(long), nameIn(long))
  assert.ok(nameIn(long, 'x'.repeat(200)).length <= 256)
  assert.notEqual(nameIn(long), nameIn(`${long}er`))
  assert.notEqual(nameIn(long), nameIn(long, 'mail'))
  assert.deepEqual(needOf({ together: 'x'.repeat(201) }, 'p'), {
    key: 'together',
    expected: 'a name of at most 200 characters',
    received: 'x'.repeat(201),
  })
})
