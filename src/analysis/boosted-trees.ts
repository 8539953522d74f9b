/**
 * Gradient-boosted regression trees (Friedman 2001) over binned features, as small as they can be:
 * what they are for is a few thousand rows of a dozen numbers, trained again every now and then.
 *
 * Features are cut into at most 32 bins at quantiles, once; a tree is grown level by level from
 * histograms of residuals per node and bin. Residuals are clipped (Huber's loss), so that one duration
 * that was off by a factor of a hundred pulls no more than any other. A missing value (NaN) has a bin
 * of its own, the lowest. There is no sampling and no randomness: the same rows give the same trees,
 * bit for bit. Work is bounded by counting it, not by a clock, for the same reason.
 *
 * Left out: categories, weights per row, and everything that pays only beyond a million rows.
 */
export type Rows = {
  /** One column per feature, each as long as there are rows. */
  readonly columns: readonly Float64Array[]
  readonly target: Float64Array
  /** Where boosting begins, per row: what is known without it. */
  readonly start: Float64Array
  /** Only the first so many are learned from; `score` sees the predictions of the others, too. */
  readonly learned: number
}

/** A node: leaf when `feature` is -1. A value that is less than `below`, or missing, goes to `left`. */
export type Tree = {
  readonly feature: readonly number[]
  readonly below: readonly number[]
  readonly left: readonly number[]
  readonly right: readonly number[]
  readonly value: readonly number[]
}
export type BoostedTrees = { readonly trees: readonly Tree[] }

export type TrainingOptions = {
  readonly treesMax: number
  readonly depthMax: number
  readonly learningRate: number
  /** Rows of a leaf, at least. */
  readonly leafMin: number
  /** Residuals beyond this count as this. */
  readonly clip: number
  /** Rows × features × levels × trees, at most: about 4 ns each. */
  readonly workMax: number
  /** Ends once so many trees have not bettered `score`. */
  readonly patience: number
  /** Lower is better; called after each tree with the predictions of all rows. Absent = every tree is kept. */
  readonly score?: (predicted: Float64Array) => number
}

export const defaultTraining: TrainingOptions = {
  treesMax: 200,
  depthMax: 4,
  learningRate: 0.08,
  leafMin: 20,
  clip: 1,
  workMax: 200e6,
  patience: 30,
}

const binsMax = 32
/** Pulls leaves with few rows towards zero. */
const shrinkage = 5
const negligible = 1e-6

export function trainTrees(rows: Rows, options: TrainingOptions): BoostedTrees {
  const steps = trainingSteps(rows, options)
  for (;;) {
    const step = steps.next()
    if (step.done) return step.value
  }
}

/** One tree a step, so that whoever trains can do something else in between. */
export function* trainingSteps(rows: Rows, options: TrainingOptions): Generator<void, BoostedTrees> {
  const count = rows.target.length
  const cuts = rows.columns.map(cutsOf)
  const bins = rows.columns.map((column, feature) => binned(column, cuts[feature]!))
  const predicted = rows.start.slice()
  const residuals = new Float64Array(count)
  const trees: Tree[] = []
  const perTree = Math.max(1, count * rows.columns.length * options.depthMax)
  const treesMax = Math.min(options.treesMax, Math.floor(options.workMax / perTree))
  let best = { score: options.score?.(predicted) ?? 0, trees: 0 }
  while (trees.length < treesMax) {
    for (let row = 0; row < rows.learned; row += 1) {
      const residual = rows.target[row]! - predicted[row]!
      residuals[row] = Math.max(-options.clip, Math.min(options.clip, residual))
    }
    const grown = growTree(bins, cuts, residuals, rows.learned, options)
    if (grown === undefined) break
    trees.push(grown.tree)
    for (let row = 0; row < count; row += 1) predicted[row]! += grown.tree.value[grown.leaves[row]!]!
    if (options.score !== undefined) {
      const score = options.score(predicted)
      if (score < best.score) best = { score, trees: trees.length }
      else if (trees.length - best.trees >= options.patience) break
    }
    yield
  }
  return { trees: options.score === undefined ? trees : trees.slice(0, best.trees) }
}

/** What the trees add to where boosting began. */
export function predictTrees({ trees }: BoostedTrees, features: ArrayLike<number>): number {
  let sum = 0
  for (const tree of trees) {
    let node = 0
    while (tree.feature[node]! >= 0) {
      const value = features[tree.feature[node]!]!
      node = value >= tree.below[node]! ? tree.right[node]! : tree.left[node]!
    }
    sum += tree.value[node]!
  }
  return sum
}

/** Ascending lower ends of the bins above the lowest. */
function cutsOf(column: Float64Array): Float64Array {
  const sorted = column.filter((value) => !Number.isNaN(value)).sort()
  const cuts: number[] = []
  // The lowest value cuts the missing ones from the rest.
  const missing = sorted.length < column.length
  for (let part = missing ? 0 : 1; part < binsMax - 1; part += 1) {
    const value = sorted[Math.floor((part * sorted.length) / (binsMax - 1))]
    if (value === undefined) break
    if ((missing || value > sorted[0]!) && (cuts.length === 0 || value > cuts.at(-1)!)) cuts.push(value)
  }
  return Float64Array.from(cuts)
}

function binned(column: Float64Array, cuts: Float64Array): Uint8Array {
  return Uint8Array.from(column, (value) => {
    let bin = 0
    while (bin < cuts.length && value >= cuts[bin]!) bin += 1
    return bin
  })
}

type Split = { readonly feature: number; readonly bin: number; readonly gain: number }

/** Undefined when it would change nothing: then neither would any later tree. */
function growTree(
  bins: readonly Uint8Array[],
  cuts: readonly Float64Array[],
  residuals: Float64Array,
  learned: number,
  { depthMax, leafMin, learningRate }: TrainingOptions,
): { readonly tree: Tree; readonly leaves: Uint16Array } | undefined {
  const nodeOf = new Uint16Array(residuals.length)
  const tree = { feature: [-1], below: [0], left: [0], right: [0], value: [0] }
  let level = { first: 0, count: 1 }
  for (let depth = 0; depth < depthMax && level.count > 0; depth += 1) {
    const splits = bestSplits(bins, cuts, residuals, nodeOf, learned, level, leafMin)
    const next = { first: tree.feature.length, count: 0 }
    for (const [at, split] of splits.entries()) {
      if (split === undefined) continue
      const node = level.first + at
      tree.feature[node] = split.feature
      tree.below[node] = cuts[split.feature]![split.bin]!
      tree.left[node] = next.first + next.count
      tree.right[node] = next.first + next.count + 1
      next.count += 2
      for (const list of [tree.below, tree.left, tree.right, tree.value]) list.push(0, 0)
      tree.feature.push(-1, -1)
    }
    for (let row = 0; row < nodeOf.length; row += 1) {
      const node = nodeOf[row]!
      if (node < level.first) continue
      const split = splits[node - level.first]
      if (split === undefined) continue
      nodeOf[row] = bins[split.feature]![row]! > split.bin ? tree.right[node]! : tree.left[node]!
    }
    level = next
  }
  const counts = new Float64Array(tree.feature.length)
  for (let row = 0; row < learned; row += 1) {
    counts[nodeOf[row]!]! += 1
    tree.value[nodeOf[row]!]! += residuals[row]!
  }
  for (let node = 0; node < counts.length; node += 1)
    tree.value[node] = (learningRate * tree.value[node]!) / (counts[node]! + shrinkage)
  // One leaf moves all rows alike, which is worth a tree while they are off on one side.
  if (tree.feature.length === 1 && Math.abs(tree.value[0]!) < negligible) return undefined
  return { tree, leaves: nodeOf }
}

/** Per node of the level the split that lessens squared residuals most; the first of equals. */
function bestSplits(
  bins: readonly Uint8Array[],
  cuts: readonly Float64Array[],
  residuals: Float64Array,
  nodeOf: Uint16Array,
  learned: number,
  level: { readonly first: number; readonly count: number },
  leafMin: number,
): (Split | undefined)[] {
  const best: (Split | undefined)[] = Array.from({ length: level.count }, () => undefined)
  const sums = new Float64Array(level.count * binsMax)
  const counts = new Float64Array(level.count * binsMax)
  for (const [feature, column] of bins.entries()) {
    if (cuts[feature]!.length === 0) continue
    sums.fill(0)
    counts.fill(0)
    for (let row = 0; row < learned; row += 1) {
      const node = nodeOf[row]! - level.first
      if (node < 0) continue
      const at = node * binsMax + column[row]!
      sums[at]! += residuals[row]!
      counts[at]! += 1
    }
    for (let node = 0; node < level.count; node += 1) {
      const split = bestCut(sums, counts, node * binsMax, cuts[feature]!.length, leafMin)
      if (split !== undefined && split.gain > (best[node]?.gain ?? 1e-9)) best[node] = { feature, ...split }
    }
  }
  return best
}

function bestCut(
  sums: Float64Array,
  counts: Float64Array,
  from: number,
  cutCount: number,
  leafMin: number,
): { readonly bin: number; readonly gain: number } | undefined {
  let sum = 0
  let count = 0
  for (let bin = 0; bin <= cutCount; bin += 1) {
    sum += sums[from + bin]!
    count += counts[from + bin]!
  }
  let best: { readonly bin: number; readonly gain: number } | undefined
  let leftSum = 0
  let leftCount = 0
  for (let bin = 0; bin < cutCount; bin += 1) {
    leftSum += sums[from + bin]!
    leftCount += counts[from + bin]!
    if (leftCount < leafMin || count - leftCount < leafMin) continue
    const rightSum = sum - leftSum
    const gain =
      leftSum ** 2 / (leftCount + shrinkage) +
      rightSum ** 2 / (count - leftCount + shrinkage) -
      sum ** 2 / (count + shrinkage)
    if (gain > (best?.gain ?? 0)) best = { bin, gain }
  }
  return best
}
