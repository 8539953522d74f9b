import assert from 'node:assert/strict'
import { test } from 'node:test'
import { MusterError } from '../protocol/errors.ts'
import { loadPlugins } from '../plugins/load.ts'
import { fromHere } from './plugin-flag.ts'

test('fromHere: a file that is not there is named by the flag, not by a file', async () => {
  await assert.rejects(loadPlugins([fromHere('./no-such-plugin.ts')]), (error) => {
    assert.ok(error instanceof MusterError)
    assert.match(
      error.message,
      /Cannot find plugin \.\/no-such-plugin\.ts: expected a file, there is no \S+no-such-plugin\.ts$/,
    )
    assert.equal(error.hint, '--plugin names it.')
    return true
  })
})
