import assert from 'node:assert/strict'
import { test } from 'node:test'
import { compete, contentionsOf, figuresOf, needed } from './competition.ts'
import type { Sample } from './competition.ts'
import type { Observation } from './observation.ts'
import { noise } from './fixtures/noise.ts'

const hourMs = 3_600_000

/** `runs` runs of `files` files, an hour apart, each reported a minute after it was submitted. */
function history(
  runs: number,
  files: number,
  durationOf: (run: number, file: number, before: Sample | undefined) => Partial<Observation>,
): Sample[] {
  const samples: Sample[] = []
  const last = new Map<number, Sample>()
  for (let run = 0; run < runs; run += 1) {
    for (let file = 0; file < files; file += 1) {
      const observation: Observation = {
        atMs: run * hourMs + 60_000,
        durationMs: 100,
        speed: 1,
        load: null,
        cpus: 2,
        ending: 'passed',
        ...durationOf(run, file, last.get(file)),
      }
      const sample = {
        suite: 'unit',
        file: `d${file % 5}/f${file}.ts`,
        askedAtMs: run * hourMs,
        bytes: null,
        observation,
      }
      last.set(file, sample)
      samples.push(sample)
    }
  }
  return samples
}

test('figuresOf: WAPE and bias by hand', () => {
  assert.deepEqual(figuresOf([110, 150], [100, 200]), { wape: 60 / 300, bias: -40 / 300 })
  assert.deepEqual(figuresOf([0, 0], [1, 3]), { wape: 1, bias: -1 })
  assert.equal(figuresOf([], []), null)
})

test('compete: where durations only scatter, the simple model is used', () => {
  const random = noise(1)
  const outcome = compete(
    history(24, 40, (_, file) => ({
      durationMs: 100 * (1 + file) * Math.exp(0.2 * random.normal()) * (random.uniform() < 0.03 ? 8 : 1),
    })),
  )
  assert.equal(outcome.used, 'simple')
  assert.equal(outcome.model, null)
  assert.match(outcome.why, /not clearly better/)
  const { mean, last, simple, learned } = outcome.figures
  assert.ok(simple!.wape < mean!.wape && simple!.wape < last!.wape && learned !== null)
  assert.equal(outcome.samples, 960)
  assert.equal(outcome.heldOut, 240)
  assert.equal(outcome.heldOutSeen, 240)
})

test('compete: where a failure tells what the next run takes, the learned model is used', () => {
  const random = noise(2)
  const failing = history(24, 40, (_, file, before) => ({
    // After a failure, whatever it left behind is built again: five times as long.
    durationMs: 100 * (1 + file) * (before?.observation.ending === 'failed' ? 5 : 1) * Math.exp(0.1 * random.normal()),
    ending: random.uniform() < 0.3 ? 'failed' : 'passed',
  }))
  const outcome = compete(failing)
  assert.equal(outcome.used, 'learned')
  assert.match(outcome.why, /better/)
  assert.ok(outcome.figures.learned!.wape < 0.5 * outcome.figures.simple!.wape)
  assert.ok(outcome.model!.trees.trees.length > 0)
  assert.equal(JSON.stringify(compete(failing)), JSON.stringify(outcome), 'bit for bit the same')
  assert.equal(JSON.stringify(compete(failing.toReversed())), JSON.stringify(outcome), 'in whatever order it is read')
})

test('compete: machines of different speed and crowded hosts are no error of the simple model', () => {
  const speeds = [1, 2, 4]
  const outcome = compete(
    history(24, 40, (run, file) => {
      const load = (run * 7 + file) % 4
      const speed = speeds[(run + file) % 3]!
      return { durationMs: ((100 + file) * Math.sqrt(1 + load)) / speed, speed, load }
    }),
  )
  const { mean, last, simple } = outcome.figures
  // What is left is the load of the held-out attempts, which nobody knew before.
  assert.ok(simple!.wape < 0.5 * mean!.wape && simple!.wape < 0.3 * last!.wape, JSON.stringify(outcome.figures))
})

test('compete: nothing of a run is seen before the run is over', () => {
  // Each run takes ten times what the one before took: whoever saw the run itself would be right.
  const outcome = compete(history(8, 40, (run) => ({ durationMs: 10 ** run })))
  assert.ok(outcome.figures.last!.wape > 0.89 && outcome.figures.simple!.wape > 0.89)
})

test('compete: changing the future changes no figure of what was predicted before', () => {
  const random = noise(3)
  const samples = history(24, 40, (_, file) => ({ durationMs: 100 * (1 + file) * Math.exp(0.2 * random.normal()) }))
  const splitAtMs = 18 * hourMs
  const future = samples.map((one) =>
    one.askedAtMs < splitAtMs
      ? one
      : { ...one, observation: { ...one.observation, atMs: one.observation.atMs + 100 * hourMs } },
  )
  // What was held out is now known only after all was predicted: predictions rest on the first 18 runs alone.
  const outcome = compete(future)
  const known = samples.filter((one) => one.askedAtMs < splitAtMs)
  const means = new Map<string, number[]>()
  for (const { file, observation } of known) means.set(file, [...(means.get(file) ?? []), observation.durationMs])
  const held = samples.filter((one) => one.askedAtMs >= splitAtMs)
  const mean = (list: readonly number[]) => list.reduce((sum, ms) => sum + ms, 0) / list.length
  const byHand = figuresOf(
    held.map((one) => mean(means.get(one.file)!)),
    held.map((one) => one.observation.durationMs),
  )
  assert.ok(Math.abs(outcome.figures.mean!.wape - byHand!.wape) < 1e-12)
})

test('compete: with little history it says what is needed', () => {
  const none = compete([])
  assert.deepEqual(none.figures, { mean: null, last: null, simple: null, learned: null })
  assert.match(none.why, new RegExp(`needs ${needed.samples} durations.* there are 0`))
  const little = compete(history(3, 20, () => ({})))
  assert.equal(little.used, 'simple')
  assert.equal(little.samples, 60)
  assert.ok(little.figures.simple !== null && little.figures.learned === null)
})

test('compete: attempts that were stopped at their limit are learned from and never predicted', () => {
  const samples = history(24, 20, (run, file) =>
    file === 0 && run % 2 === 0 ? { durationMs: 60_000, ending: 'timed-out' } : { durationMs: 100 },
  )
  const outcome = compete(samples)
  assert.equal(outcome.samples, 24 * 20 - 12)
  assert.equal(contentionsOf(samples).get('unit')!.exponent, 0)
})
