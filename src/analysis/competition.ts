/**
 * Which model is used for a project: the simple estimate and the learned one predict the newest part
 * of history, which neither has seen, and the one with the smaller weighted error is used.
 *
 * History is replayed in time order. A prediction is made at the moment its run was submitted and sees
 * only what had been reported by then, never another file of the same run; so the split by time (the
 * last quarter is held out) leaks nothing. The error is WAPE, Σ|predicted − measured| ÷ Σ measured, in
 * milliseconds as measured on the machine that ran the file: what a forecast gets wrong of a run's
 * time. Its sign is the bias, Σ(predicted − measured) ÷ Σ measured. Beside the two stand what anybody
 * would do at first: the mean, and the last value, of the milliseconds as they were measured.
 */
import { defaultTraining, predictTrees, trainingSteps } from './boosted-trees.ts'
import type { BoostedTrees, Rows } from './boosted-trees.ts'
import { fitContention, medianOf } from './contention.ts'
import { featureNames, featuresOf, simpleMs } from './duration-features.ts'
import { isCensored } from './observation.ts'
import type { Contention, Observation } from './observation.ts'
import { SuiteDurations } from './suite-durations.ts'

export type Sample = {
  readonly suite: string
  readonly file: string
  /** When its run was submitted, and so its duration was estimated. */
  readonly askedAtMs: number
  readonly bytes: number | null
  readonly observation: Observation
}

export type ModelName = 'simple' | 'learned'
export type Figures = { readonly wape: number; readonly bias: number }
export type PredictorName = 'mean' | 'last' | ModelName

export type LearnedModel = {
  readonly trees: BoostedTrees
  /** Stands in for what isn't known when a run is submitted. */
  readonly usual: { readonly speed: number | null; readonly cpus: number | null }
}

export type Outcome = {
  readonly used: ModelName
  readonly why: string
  readonly samples: number
  readonly heldOut: number
  /** Of files that had been seen before. */
  readonly heldOutSeen: number
  /** Null: nothing was held out, or (learned) there was too little to learn from. */
  readonly figures: Readonly<Record<PredictorName, Figures | null>>
  /** Trained on all of history; present when it is used. */
  readonly model: LearnedModel | null
}

/** What is needed for the two to compete. */
export const needed = { samples: 200, heldOut: 50 }
const heldOutShare = 0.25
/** Of what is learned from, the newest part says when to stop. */
const stoppingShare = 0.2
/** By how much the learned one must be better: when in doubt, what a person can follow. */
const advantage = 0.98
const msMin = 0.01

/** Rows that were predictable, in the order in which they were asked for. */
type Replayed = {
  readonly features: number[][]
  readonly startMs: number[]
  readonly targetLog: number[]
  readonly meanMs: number[]
  readonly lastMs: number[]
  readonly seen: boolean[]
  readonly samples: Sample[]
}

export function compete(samples: readonly Sample[]): Outcome {
  const steps = competitionSteps(samples)
  for (;;) {
    const step = steps.next()
    if (step.done) return step.value
  }
}

/** A little work a step, so that it can be done between other things. */
export function* competitionSteps(samples: readonly Sample[]): Generator<void, Outcome> {
  const exact = samples.filter((one) => !isCensored(one.observation) && one.observation.durationMs > 0)
  const asked = exact.map((one) => one.askedAtMs).sort((a, b) => a - b)
  const splitAtMs = asked[Math.floor(asked.length * (1 - heldOutShare))] ?? Infinity
  const before = samples.filter((one) => one.observation.atMs < splitAtMs)
  const replayed = yield* replay(samples, contentionsOf(before))
  const learnable = replayed.samples.filter((one) => one.observation.atMs < splitAtMs).length
  const held = [...replayed.samples.keys()].filter((row) => replayed.samples[row]!.askedAtMs >= splitAtMs)
  const counts = {
    samples: exact.length,
    heldOut: held.length,
    heldOutSeen: held.filter((row) => replayed.seen[row]!).length,
  }
  const actual = held.map((row) => replayed.samples[row]!.observation.durationMs)
  const onMachine = (row: number, ms: number) => ms / replayed.samples[row]!.observation.speed
  const figuresFor = (predict: (row: number) => number) => figuresOf(held.map(predict), actual)
  const simple = {
    mean: figuresFor((row) => replayed.meanMs[row]!),
    last: figuresFor((row) => replayed.lastMs[row]!),
    simple: figuresFor((row) => onMachine(row, replayed.startMs[row]!)),
  }
  if (exact.length < needed.samples || held.length < needed.heldOut || learnable < needed.samples / 2) {
    const why = `needs ${needed.samples} durations, ${needed.heldOut} of them in the newest quarter; there are ${exact.length} and ${held.length}`
    return { used: 'simple', why, ...counts, figures: { ...simple, learned: null }, model: null }
  }
  const rows = [...replayed.samples.keys()].filter((row) => replayed.samples[row]!.observation.atMs < splitAtMs)
  const challenger = yield* train(replayed, rows, undefined)
  const learned = figuresFor((row) => onMachine(row, learnedMs(challenger, replayed, row)))
  const figures = { ...simple, learned }
  const percent = (one: Figures | null) => `${((one?.wape ?? 0) * 100).toFixed(1)} %`
  if (learned === null || simple.simple === null || !(learned.wape < simple.simple.wape * advantage)) {
    const why = `the learned model is not clearly better: ${percent(learned)} beside ${percent(simple.simple)}`
    return { used: 'simple', why, ...counts, figures, model: null }
  }
  const why = `the learned model is better: ${percent(learned)} beside ${percent(simple.simple)}`
  const whole = yield* replay(samples, contentionsOf(samples))
  const model = yield* train(whole, [...whole.samples.keys()], challenger.trees.trees.length)
  return { used: 'learned', why, ...counts, figures, model }
}

/** For a submission: neither machine nor batch is known yet. In reference milliseconds. */
export function predictLearned(
  model: LearnedModel,
  known: SuiteDurations,
  file: string,
  startMs: number,
  atMs: number,
  bytes: number | null,
): number {
  const features = featuresOf(known, file, startMs, { atMs, bytes, ...model.usual })
  return startMs * Math.exp(predictTrees(model.trees, features))
}

export function figuresOf(predicted: readonly number[], actual: readonly number[]): Figures | null {
  let total = 0
  let off = 0
  let signed = 0
  for (const [at, ms] of actual.entries()) {
    total += ms
    off += Math.abs(predicted[at]! - ms)
    signed += predicted[at]! - ms
  }
  return total > 0 ? { wape: off / total, bias: signed / total } : null
}

export function contentionsOf(samples: readonly Sample[]): Map<string, Contention> {
  const suites = new Map<string, Map<string, Observation[]>>()
  for (const { suite, file, observation } of samples) {
    let files = suites.get(suite)
    if (files === undefined) suites.set(suite, (files = new Map()))
    const list = files.get(file)
    if (list === undefined) files.set(file, [observation])
    else list.push(observation)
  }
  return new Map([...suites].map(([suite, files]) => [suite, fitContention(files.values())]))
}

const rowsPerStep = 500

function* replay(samples: readonly Sample[], contentions: ReadonlyMap<string, Contention>): Generator<void, Replayed> {
  const order = (a: Sample, b: Sample) =>
    a.suite < b.suite ? -1 : a.suite > b.suite ? 1 : a.file < b.file ? -1 : a.file > b.file ? 1 : 0
  const asked = samples.toSorted((a, b) => a.askedAtMs - b.askedAtMs || order(a, b))
  const learned = samples.toSorted((a, b) => a.observation.atMs - b.observation.atMs || order(a, b))
  const suites = new Map<string, SuiteDurations>()
  const naive = new Map<string, NaiveMeans>()
  const out: Replayed = { features: [], startMs: [], targetLog: [], meanMs: [], lastMs: [], seen: [], samples: [] }
  let next = 0
  for (const [at, sample] of asked.entries()) {
    if (at % rowsPerStep === 0) yield
    for (; next < learned.length && learned[next]!.observation.atMs < sample.askedAtMs; next += 1) {
      const { suite, file, observation } = learned[next]!
      suiteOf(suites, suite, contentions).learn(file, observation)
      naiveOf(naive, suite).learn(file, observation)
    }
    if (isCensored(sample.observation) || sample.observation.durationMs <= 0) continue
    const known = suiteOf(suites, sample.suite, contentions)
    const startMs = simpleMs(known, sample.file, null)
    // Of a suite's very first run nobody can say anything.
    if (startMs === null) continue
    const { observation, bytes, askedAtMs: atMs } = sample
    out.features.push(
      featuresOf(known, sample.file, startMs, { atMs, bytes, speed: observation.speed, cpus: observation.cpus }),
    )
    out.startMs.push(startMs)
    out.targetLog.push(Math.log(Math.max(msMin, known.referenceMs(observation))))
    out.meanMs.push(naiveOf(naive, sample.suite).mean(sample.file))
    out.lastMs.push(naiveOf(naive, sample.suite).last(sample.file))
    out.seen.push(known.observations(sample.file).length > 0)
    out.samples.push(sample)
  }
  return out
}

function suiteOf(
  suites: Map<string, SuiteDurations>,
  suite: string,
  contentions: ReadonlyMap<string, Contention>,
): SuiteDurations {
  let known = suites.get(suite)
  if (known === undefined) suites.set(suite, (known = new SuiteDurations(contentions.get(suite))))
  return known
}

/** `trees`: exactly so many; undefined = as many as the newest part of the rows asks for. */
function* train(
  replayed: Replayed,
  chosen: readonly number[],
  trees: number | undefined,
): Generator<void, LearnedModel> {
  const start = Float64Array.from(chosen, (row) => Math.log(Math.max(msMin, replayed.startMs[row]!)))
  const target = Float64Array.from(chosen, (row) => replayed.targetLog[row]!)
  const columns = featureNames.map((_, feature) =>
    Float64Array.from(chosen, (row) => replayed.features[row]![feature]!),
  )
  const learned = trees === undefined ? Math.floor(chosen.length * (1 - stoppingShare)) : chosen.length
  const rows: Rows = { columns, target, start, learned }
  const score = (predicted: Float64Array) => {
    let off = 0
    for (let row = learned; row < predicted.length; row += 1)
      off += Math.abs(Math.exp(predicted[row]!) - Math.exp(target[row]!))
    return off
  }
  const options = trees === undefined ? { ...defaultTraining, score } : { ...defaultTraining, treesMax: trees }
  const used = chosen.map((row) => replayed.samples[row]!.observation)
  const cpus = used.flatMap((one) => one.cpus ?? [])
  return {
    trees: yield* trainingSteps(rows, options),
    usual: {
      speed: used.length === 0 ? null : medianOf(used.map((one) => one.speed)),
      cpus: cpus.length === 0 ? null : medianOf(cpus),
    },
  }
}

/** As a submission would have it: what batch and machine will be is not looked at. */
function learnedMs(model: LearnedModel, replayed: Replayed, row: number): number {
  const features = [...replayed.features[row]!]
  features[featureNames.indexOf('speed')] = model.usual.speed === null ? NaN : Math.log(model.usual.speed)
  features[featureNames.indexOf('cpus')] = model.usual.cpus ?? NaN
  return replayed.startMs[row]! * Math.exp(predictTrees(model.trees, features))
}

/** Of milliseconds as measured, whatever the machine; a file never seen takes the mean of all. */
class NaiveMeans {
  readonly #files = new Map<string, { sum: number; count: number; last: number }>()
  #sum = 0
  #count = 0

  learn(file: string, { durationMs }: Observation): void {
    const known = this.#files.get(file)
    if (known === undefined) this.#files.set(file, { sum: durationMs, count: 1, last: durationMs })
    else {
      known.sum += durationMs
      known.count += 1
      known.last = durationMs
    }
    this.#sum += durationMs
    this.#count += 1
  }

  mean(file: string): number {
    const known = this.#files.get(file)
    return known === undefined ? this.#sum / this.#count : known.sum / known.count
  }

  last(file: string): number {
    return this.#files.get(file)?.last ?? this.#sum / this.#count
  }
}

function naiveOf(naive: Map<string, NaiveMeans>, suite: string): NaiveMeans {
  let known = naive.get(suite)
  if (known === undefined) naive.set(suite, (known = new NaiveMeans()))
  return known
}
