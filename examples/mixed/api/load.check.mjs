import assert from 'node:assert/strict'
import { withGreeter } from './greeting.mjs'

export const answersFiftyAtOnce = () =>
  withGreeter(async (url) => {
    const answers = await Promise.all(Array.from({ length: 50 }, (_, index) => fetch(`${url}/?name=${index}`)))
    assert.ok(answers.every((answer) => answer.ok))
  })
