import assert from 'node:assert/strict'
import { test } from 'node:test'
import { startGreeter } from './greeting.mjs'

test('answers fifty requests at once', async () => {
  const { url, server } = await startGreeter()
  try {
    const answers = await Promise.all(Array.from({ length: 50 }, (_, index) => fetch(`${url}/?name=${index}`)))
    assert.ok(answers.every((answer) => answer.ok))
  } finally {
    server.close()
    server.closeAllConnections()
  }
})
