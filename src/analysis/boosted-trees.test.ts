import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { defaultTraining, predictTrees, trainTrees } from './boosted-trees.ts'
import type { BoostedTrees, Rows } from './boosted-trees.ts'
import { noise } from './fixtures/noise.ts'

/** y = sin x₀ + (1 where x₁ > 0.5) · x₂, with some noise; the mean explains nothing of it. */
function known(count: number, seed: number): Rows {
  const random = noise(seed)
  const columns = [0, 1, 2, 3].map(() => new Float64Array(count))
  const target = new Float64Array(count)
  for (let row = 0; row < count; row += 1) {
    const [a, b, c] = [random.uniform() * 6, random.uniform(), random.normal()]
    columns[0]![row] = a
    columns[1]![row] = b
    columns[2]![row] = c
    columns[3]![row] = random.normal()
    target[row] = Math.sin(a) + (b > 0.5 ? c : 0) + 0.05 * random.normal()
  }
  return { columns, target, start: new Float64Array(count), learned: count }
}

function squaredError(model: BoostedTrees, rows: Rows): number {
  let sum = 0
  for (let row = 0; row < rows.target.length; row += 1) {
    const features = rows.columns.map((column) => column[row]!)
    sum += (rows.start[row]! + predictTrees(model, features) - rows.target[row]!) ** 2
  }
  return sum / rows.target.length
}

test('trainTrees: a known function is learned much better than its mean, on rows never seen', () => {
  const model = trainTrees(known(4000, 1), defaultTraining)
  const fresh = known(2000, 2)
  const mean = fresh.target.reduce((sum, y) => sum + y, 0) / fresh.target.length
  const aroundMean = fresh.target.reduce((sum, y) => sum + (y - mean) ** 2, 0) / fresh.target.length
  assert.ok(squaredError(model, fresh) < 0.08 * aroundMean)
  assert.ok(model.trees.length <= 200)
  for (const tree of model.trees) assert.ok(tree.feature.length <= 31, 'depth 4')
})

test('trainTrees: the same rows give the same trees, bit for bit', () => {
  const text = JSON.stringify(trainTrees(known(1000, 3), defaultTraining))
  assert.equal(JSON.stringify(trainTrees(known(1000, 3), defaultTraining)), text)
  const back = JSON.parse(text) as BoostedTrees
  const rows = known(50, 4)
  assert.equal(squaredError(back, rows), squaredError(trainTrees(known(1000, 3), defaultTraining), rows))
})

test('trainTrees: a missing value is a value of its own', () => {
  const rows = known(1000, 5)
  const missing = rows.columns[3]!
  for (let row = 0; row < 1000; row += 1) {
    missing[row] = row % 3 === 0 ? NaN : row
    rows.target[row] = row % 3 === 0 ? 5 : 1
  }
  const model = trainTrees(rows, defaultTraining)
  assert.ok(Math.abs(predictTrees(model, [1, 1, 1, NaN]) - 5) < 0.2)
  assert.ok(Math.abs(predictTrees(model, [1, 1, 1, 500]) - 1) < 0.2)
})

test('trainTrees: work is bounded by counting, and stops when it no longer helps', () => {
  const rows = known(1000, 6)
  const perTree = 1000 * 4 * defaultTraining.depthMax
  assert.equal(trainTrees(rows, { ...defaultTraining, workMax: perTree * 7 }).trees.length, 7)
  assert.equal(trainTrees(rows, { ...defaultTraining, workMax: perTree - 1 }).trees.length, 0)
  // Scores that get no better: none of the trees is kept.
  assert.equal(trainTrees(rows, { ...defaultTraining, patience: 3, score: () => 1 }).trees.length, 0)
  const constant = { ...rows, target: new Float64Array(1000) }
  assert.equal(trainTrees(constant, defaultTraining).trees.length, 0)
})

test('trainTrees: what is not learned from has no part in the trees', () => {
  const rows = { ...known(1000, 8), learned: 600 }
  const changed = { ...rows, target: rows.target.map((y, row) => (row >= 600 ? y * 1000 : y)) }
  assert.deepEqual(trainTrees(changed, defaultTraining), trainTrees(rows, defaultTraining))
})

test('trainTrees: whatever the rows, predictions are finite', () => {
  const row = fc.tuple(
    fc.oneof(fc.double({ min: -1e12, max: 1e12, noNaN: true }), fc.constant(NaN)),
    fc.double({ min: -1e3, max: 1e3, noNaN: true }),
    fc.double({ min: -50, max: 50, noNaN: true }),
  )
  fc.assert(
    fc.property(fc.array(row, { maxLength: 80 }), fc.double(), (list, asked) => {
      const column = (at: 0 | 1 | 2) => Float64Array.from(list, (one) => one[at])
      const rows = { columns: [column(0), column(1)], target: column(2), start: column(1), learned: list.length }
      const model = trainTrees(rows, { ...defaultTraining, leafMin: 2, treesMax: 10 })
      assert.ok(Number.isFinite(predictTrees(model, [asked, NaN])))
    }),
    { numRuns: 50 },
  )
})
