import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { DirectoryBlobs } from '../blobs/directory.ts'
import { markBlobs } from './blobs-mark.ts'

test('markBlobs accepts the place that the first coordinator used, also when it was moved, and no other', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'muster-mark-'))
  const records = new Map<string, string>()
  const log = {
    async record(name: string, make: () => string) {
      if (!records.has(name)) records.set(name, make())
      return records.get(name)!
    },
  }
  try {
    const shared = await DirectoryBlobs.open(join(directory, 'shared'))
    const key = await markBlobs(log, shared, 'shared')
    assert.equal(await markBlobs(log, shared, 'shared'), key)
    const other = await DirectoryBlobs.open(join(directory, 'other'))
    await assert.rejects(markBlobs(log, other, 'other'), { code: 'config_invalid', message: /at other: they are not/ })
    await other.put((await shared.get(key))!)
    assert.equal(await markBlobs(log, other, 'other'), key)
  } finally {
    await rm(directory, { recursive: true })
  }
})
