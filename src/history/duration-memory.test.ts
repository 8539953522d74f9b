import assert from 'node:assert/strict'
import { test } from 'node:test'
import { DurationMemory } from './duration-memory.ts'
import { DurationModels } from './duration-models.ts'
import type { Columns } from './duration-samples.ts'

/** A database in which each suite has so many files, with one duration each. */
function memoryOf(filesEach: number) {
  const columns: Columns = async (sql) => {
    if (sql.includes('count(*)')) return [[0]]
    if (sql.includes('median')) return [[null]]
    if (!sql.includes('PARTITION BY file')) return [[], []]
    const all = <T>(value: (at: number) => T) => Array.from({ length: filesEach }, (_, at) => value(at))
    return [
      all((at) => `f${at}`),
      all(() => 1),
      all(() => 5),
      all(() => 1),
      all(() => null),
      all(() => 1),
      all(() => 1),
    ]
  }
  return new DurationMemory(columns, new DurationModels(columns))
}

const suite = (at: number) => ({ project: `p${at}`, suite: 's', framework: 'f', files: [] })

async function loadedOf(count: number, filesEach: number): Promise<number> {
  const memory = memoryOf(filesEach)
  for (let at = 0; at < count; at += 1) await memory.load(suite(at))
  return Array.from({ length: count }, (_, at) => suite(at)).filter((one) => memory.isLoaded(one)).length
}

test('many small suites are remembered at a time, and of large ones those asked last', async () => {
  assert.equal(await loadedOf(200, 0), 200)
  assert.equal(await loadedOf(200, 10), 200)
  assert.equal(await loadedOf(260, 1), 256)
  assert.equal(await loadedOf(50, 5000), 40)
  assert.equal(await loadedOf(35, 10_000), 32)
})
