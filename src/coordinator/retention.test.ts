import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { DirectoryBlobs } from '../blobs/directory.ts'
import { emptyState } from '../core/state.ts'
import { MemoryLog } from '../log/memory.ts'
import { DirectoryContexts } from './contexts.ts'
import { Retention } from './retention.ts'

const days = 24 * 3_600_000

test("the collector drops what nobody used for a week, but never what holds the log's own snapshots", async () => {
  const directory = await mkdtemp(join(tmpdir(), 'muster-retention-'))
  try {
    const blobs = await DirectoryBlobs.open(join(directory, 'blobs'))
    const [snapshot, unused] = [await blobs.put(Buffer.from('a snapshot')), await blobs.put(Buffer.from('unused'))]
    const retention = new Retention({
      log: new MemoryLog(),
      blobs,
      contexts: await DirectoryContexts.open(join(directory, 'contexts')),
      seat: {
        state: emptyState(),
        role: 'leading',
        epoch: 1,
        position: 0,
        followers: [],
        loadedSnapshotPosition: 0,
        snapshotMade: () => undefined,
        between: (look) => look(),
        submit: () => undefined,
        requestSnapshot: () => false,
      },
      historyPosition: () => 0,
      fill: () => 0,
      logBlobs: async () => [snapshot],
      say: () => undefined,
    })
    await retention.collect(Date.now() + 6 * days)
    assert.deepEqual(await blobs.missing([snapshot, unused]), [])
    await retention.collect(Date.now() + 8 * days)
    assert.deepEqual(await blobs.missing([snapshot, unused]), [unused])
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
})
