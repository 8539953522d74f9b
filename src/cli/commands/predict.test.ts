import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { PredictRow } from '../../history/history.ts'
import { predictText } from './predict.ts'

const row: PredictRow = {
  project: 'shop',
  used: 'learned',
  why: 'the learned model is better: 8.2 % beside 31.0 %',
  samples: 960,
  heldOut: 240,
  heldOutSeen: 240,
  figures: {
    mean: { wape: 0.5, bias: -0.2 },
    last: { wape: 0.6, bias: 0.01 },
    simple: { wape: 0.31, bias: -0.05 },
    learned: { wape: 0.0823, bias: 0.004 },
  },
  atMs: 1,
  tookMs: 100,
  startups: [{ framework: 'vitest', host: 'a3f', name: 'h1', startupMs: 1234, batches: 24 }],
}

test('predictText: figures of every model, the one that is used marked, start-ups by machine', () => {
  const files = [{ suite: 'unit', file: 'a.test.ts', ms: 2000, simpleMs: 1500, learnedMs: 2000, durations: 12 }]
  assert.deepEqual(predictText([{ ...row, files }]).split('\n'), [
    'project shop · 960 durations · 240 held out, the newest',
    'used: learned (the learned model is better: 8.2 % beside 31.0 %)',
    'MODEL       WAPE    BIAS',
    'mean        50.0 %  -20.0 %',
    'last value  60.0 %  +1.0 %',
    'simple      31.0 %  -5.0 %',
    'learned     8.2 %   +0.4 %   used',
    'FRAMEWORK  WORKER  START-UP  BATCHES',
    'vitest     h1      1.2 s          24',
    'EXPECTED  SIMPLE  LEARNED  FROM  FILE',
    '2.0 s     1.5 s   2.0 s      12  a.test.ts',
    '',
  ])
})

test('predictText: a line end in the name of a file is written out', () => {
  const files = [{ suite: 'unit', file: 'a\nb.test.ts', ms: 2000, simpleMs: 1500, learnedMs: 2000, durations: 12 }]
  assert.match(predictText([{ ...row, files }]), / 12 {2}a\\nb\.test\.ts\n$/)
})

test('predictText: with nothing to go by it says so, and what is needed', () => {
  assert.match(predictText([]), /no runs yet/)
  assert.match(predictText([{ ...row, samples: 0, startups: [] }]), /^history knows no duration of a project 'shop': /)
  const figures = { mean: null, last: null, simple: null, learned: null }
  const why = 'needs 200 durations, 50 of them in the newest quarter; there are 3 and 0'
  const text = predictText([{ ...row, used: 'simple', why, samples: 3, heldOut: 0, figures, startups: [] }])
  assert.equal(text, `project shop · 3 durations · 0 held out, the newest\nused: simple (${why})\n`)
})
