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

test('a log that is long because a history lags is not asked for one snapshot after the other', async () => {
  let position = 500
  let requests = 0
  const seat = {
    state: emptyState(),
    role: 'leading',
    epoch: 1,
    get position() {
      return position
    },
    followers: [{ member: 'c-2', position: 500, history: 10 }],
    loadedSnapshotPosition: 0,
    snapshotMade: () => undefined,
    between: (look: () => void) => look(),
    submit: () => undefined,
    requestSnapshot: () => {
      requests += 1
      return true
    },
  } as const
  const retention = new Retention({
    log: new MemoryLog(),
    blobs: undefined as never,
    contexts: undefined as never,
    seat,
    historyPosition: () => Number.MAX_SAFE_INTEGER,
    fill: () => 0.4,
    logBlobs: async () => [],
    say: () => undefined,
  })
  for (let n = 0; n < 20; n += 1) {
    const before = requests
    retention.tick()
    position += 10
    if (requests > before) await retention.snapshotted(position - 5)
  }
  assert.equal(requests, 1)
})

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
