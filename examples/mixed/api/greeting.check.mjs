import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { startGreeter } from './greeting.mjs'

let greeter
before(async () => {
  greeter = await startGreeter()
})
after(() => greeter.server.close())

test('greets by name', async () => {
  const response = await fetch(`${greeter.url}/?name=Ada`)
  assert.deepEqual(await response.json(), { greeting: 'Hello, Ada' })
})

test('says what is missing', async () => {
  const response = await fetch(greeter.url)
  assert.equal(response.status, 400)
  assert.deepEqual(await response.json(), { error: 'name is missing' })
})
