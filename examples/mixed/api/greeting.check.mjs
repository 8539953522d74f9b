import assert from 'node:assert/strict'
import { withGreeter } from './greeting.mjs'

export const greetsByName = () =>
  withGreeter(async (url) => {
    const response = await fetch(`${url}/?name=Ada`)
    assert.deepEqual(await response.json(), { greeting: 'Hello, Ada' })
  })

export const saysWhatIsMissing = () =>
  withGreeter(async (url) => {
    const response = await fetch(url)
    assert.equal(response.status, 400)
    assert.deepEqual(await response.json(), { error: 'name is missing' })
  })
