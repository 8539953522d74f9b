import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { encodeEntry } from '../core/events.ts'
import { plainSpec } from '../core/transcript.ts'
import { MemoryLog } from '../log/memory.ts'
import { KeptHistory, type KeptHistoryOptions } from './kept-history.ts'

async function withDirectory(body: (directory: string) => Promise<void>): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), 'muster-kept-'))
  try {
    await body(directory)
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
}

async function filledLog(count: number): Promise<MemoryLog> {
  const log = new MemoryLog()
  const { epoch } = await log.claim('one')
  for (let position = 1; position <= count; position += 1) {
    const run = `r${position}`
    const event = { type: 'run.submitted', run, who: 'x', spec: plainSpec, files: ['a'], estimates: [null] } as const
    await log.append(epoch, position, encodeEntry({ atMs: Date.now(), events: [event] }))
  }
  return log
}

async function trim(log: MemoryLog, position: number): Promise<void> {
  const { epoch } = await log.head()
  await log.putSnapshot(epoch, { position, bytes: new Uint8Array(1) })
  await log.trim(position + 1)
}

describe('KeptHistory', () => {
  const keep = (directory: string, log: MemoryLog, more: Partial<KeptHistoryOptions> = {}): KeptHistory =>
    new KeptHistory({
      directory,
      blobsLocation: join(directory, 'blobs'),
      source: 'the log',
      log,
      guard: { mayCall: () => true, ended: () => undefined },
      onTrouble: (trouble) => assert.fail(trouble),
      ...more,
    })
  const runsIn = async (history: KeptHistory): Promise<string[]> =>
    (await (await history.current()).runs({ limit: 100 })).map((row) => row.run).sort()

  test('of a new coordinator begins with that of another, when the log no longer has all', () =>
    withDirectory(async (root) => {
      const log = await filledLog(6)
      const first = keep(join(root, 'one'), log)
      assert.deepEqual(await runsIn(first), ['r1', 'r2', 'r3', 'r4', 'r5', 'r6'])
      await trim(log, 4)
      const second = keep(join(root, 'two'), log, {
        fetch: async (to) => {
          await first.copy(to)
          return true
        },
      })
      await eventually(async () => assert.equal((await runsIn(second)).length, 6))
      assert.equal(second.position, 6)
      await second.close()
      // What was fetched is its own: it goes on from there.
      const again = keep(join(root, 'two'), log, { fetch: () => assert.fail('nothing is missing') })
      assert.equal((await runsIn(again)).length, 6)
      await again.close()
      await first.close()
    }))

  test('takes what the log still has when nobody has the rest', () =>
    withDirectory(async (root) => {
      const log = await filledLog(6)
      await trim(log, 4)
      const history = keep(root, log, { fetch: async () => false })
      await eventually(async () => assert.deepEqual(await runsIn(history), ['r5', 'r6']))
      await history.close()
    }))
})

/** While it begins anew it answers from what it has. */
async function eventually(look: () => Promise<void>): Promise<void> {
  const deadlineMs = performance.now() + 20_000
  for (;;) {
    try {
      return await look()
    } catch (error) {
      if (performance.now() > deadlineMs) throw error
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
  }
}
