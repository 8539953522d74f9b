import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { AboutFiles, Estimates } from '../history/history.ts'
import { GatheredEstimates, toldEstimates } from './told-estimates.ts'

test('toldEstimates: a guess is told as one, and what is usual for a framework not at all', () => {
  const bases = ['history', 'size', 'framework', 'none', 'directory'] as const
  const told = toldEstimates({ durationsMs: [10, 20, 30, null, 50], bases, startupMs: null })
  assert.deepEqual(told, { estimates: [10, 20, null, null, 50], guessed: [1, 4] })
  assert.deepEqual(toldEstimates({ durationsMs: [10], bases: ['history'], startupMs: 1 }), { estimates: [10] })
})

test('GatheredEstimates: what comes while a question is under way is asked for with one more', async () => {
  const questions: { readonly files: readonly string[]; readonly about: AboutFiles }[] = []
  const answers: PromiseWithResolvers<void>[] = []
  const gathered = new GatheredEstimates(async (_project, _suite, files, about): Promise<Estimates> => {
    questions.push({ files, about })
    const answer = Promise.withResolvers<void>()
    answers.push(answer)
    await answer.promise
    return { durationsMs: files.map((file) => Number(file)), bases: files.map(() => 'history'), startupMs: null }
  })
  const suite = { project: 'p', suite: 's', framework: 'f' }
  const first = gathered.of(suite, ['1'])
  const others = [gathered.of(suite, ['2', '3']), gathered.of(suite, ['4'], [40]), gathered.of(suite, [])]
  answers[0]!.resolve()
  assert.deepEqual(await first, { estimates: [1] })
  answers[1]!.resolve()
  assert.deepEqual(await Promise.all(others), [{ estimates: [2, 3] }, { estimates: [4] }, { estimates: [] }])
  assert.deepEqual(questions, [
    { files: ['1'], about: { framework: 'f' } },
    { files: ['2', '3', '4'], about: { framework: 'f', bytes: [null, null, 40] } },
  ])
  const later = gathered.of(suite, ['5'])
  answers[2]!.resolve()
  assert.deepEqual(await later, { estimates: [5] })
})
