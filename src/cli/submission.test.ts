import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { PlanView } from '../client/client.ts'
import type { FileNeeds } from './file-needs.ts'
import { cpusOf, predict } from './submission.ts'

const known = (durationsMs: readonly (number | null)[], startupMs = 100): PlanView => ({
  durationsMs: [...durationsMs],
  knownRatio: 1,
  startupMs,
  workers: [],
})
const needs = (list: FileNeeds['needs'], kinds: readonly number[]): FileNeeds => ({
  needs: list,
  kinds,
  dependencies: [],
})

test('cpusOf: one CPU of each host where a process runs one test at a time, unless it is said', () => {
  assert.deepEqual([cpusOf({ serial: true }, {}), cpusOf({ serial: false }, {})], [{ cpus: 1 }, {}])
  assert.deepEqual(
    [cpusOf({ serial: true }, { cpus: 4 }), cpusOf({ serial: false }, { cpus: 4 })],
    [{ cpus: 4 }, { cpus: 4 }],
  )
})

describe('predict', () => {
  test('is the work over the CPUs, or the longest file, with one start-up', () => {
    assert.equal(predict(known([1000, 1000, 1000, 1000]), 4), 1100)
    assert.equal(predict(known([4000, 1000, null, null]), 4), 4100)
    assert.equal(predict(known([]), 4), undefined)
    assert.equal(predict(known([1]), 0), undefined)
    assert.equal(predict(known(Array.from({ length: 300_000 }, () => 1)), 1), 300_100)
  })

  test('knows that what holds a lock runs one after another', () => {
    const four = known([1000, 1000, 1000, 1000])
    const db = { name: 'db', mode: 'exclusive' } as const
    const all = [0, 0, 0, 0]
    assert.equal(predict(four, 4, needs([{ locks: [db] }], all)), 4100)
    assert.equal(predict(four, 4, needs([{ locks: [db], batchMax: 1 }], all)), 4400)
    assert.equal(predict(four, 4, needs([{ locks: [{ name: 'db', mode: 'counted', max: 2 }] }], all)), 2050)
    assert.equal(predict(four, 4, needs([{ locks: [{ name: 'db', mode: 'shared' }] }], all)), 1100)
    assert.equal(predict(four, 4, needs([{}, { locks: [db], cpus: 1 }, { locks: [db], cpus: 2 }], [0, 1, 2, 0])), 2200)
  })

  test('knows that a process which holds a lock runs as many files at once as it has CPUs', () => {
    const four = known([1000, 1000, 1000, 1000])
    const locks = [{ name: 'db', mode: 'exclusive' }] as const
    const all = [0, 0, 0, 0]
    assert.equal(predict(four, 4, needs([{ locks: [...locks] }], all), 4), 1100, "a whole run's lock")
    assert.equal(predict(four, 8, needs([{ locks: [...locks] }], all), 2), 2100, 'by one host at a time')
    assert.equal(predict(four, 4, needs([{ locks: [...locks], cpus: 1 }], all), 4), 4100, 'a lock of single files')
    assert.equal(predict(four, 4, needs([{ locks: [...locks], batchMax: 1 }], all), 4), 4400)
    assert.equal(predict(known([3000, 1000]), 4, needs([{ locks: [...locks] }], [0, 0]), 4), 3100)
  })

  test('knows that files which come one after another take their time', () => {
    const dependencies = [
      { task: 1, after: [0] },
      { task: 2, after: [0, 1] },
    ]
    const chained = { needs: [], kinds: [], dependencies }
    assert.equal(predict(known([1000, 2000, null, 100]), 16, chained), 3 * 100 + 1000 + 2000 + 3100 / 3)
  })
})
