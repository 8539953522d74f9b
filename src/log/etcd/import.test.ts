import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { after, before, describe, test } from 'node:test'
import type { LogContents } from '../export.ts'
import { EtcdCluster } from '../fixtures/etcd-cluster.ts'
import type { Entry } from '../log.ts'
import { openEtcdLog, type EtcdLog } from './etcd-log.ts'
import { importIntoEtcd } from './import.ts'
import { parseEtcdUrl } from './url.ts'

const entries: readonly Entry[] = Array.from({ length: 300 }, (_, at) => {
  const position = 41 + at
  // One is large enough to be cut into pieces, and one is empty.
  const bytes =
    position === 60 ? Buffer.alloc(2_500_000, 'large') : Buffer.from(position === 61 ? '' : `entry ${position}`)
  return { position, epoch: position < 100 ? 7_000_000 : 7_000_003, bytes }
})
const contents: LogContents = {
  epoch: 7_000_005,
  firstPosition: 41,
  snapshot: { position: 40, bytes: Buffer.from('state at 40') },
  async *entries() {
    yield* entries
  },
}

describe('importIntoEtcd', () => {
  let etcd: EtcdCluster
  const kept = new Map<string, Uint8Array>()
  const blobs = {
    async put(bytes: Uint8Array): Promise<string> {
      const key = createHash('sha256').update(bytes).digest('hex')
      kept.set(key, bytes)
      return key
    },
    get: async (key: string) => kept.get(key),
    remove: async (key: string) => void kept.delete(key),
  }
  before(async () => {
    etcd = await EtcdCluster.start({ members: 1 })
  })
  after(() => etcd[Symbol.asyncDispose]())

  const place = (prefix: string) => ({ address: parseEtcdUrl(etcd.url(prefix)), blobs })
  const open = (prefix: string): Promise<EtcdLog> => openEtcdLog(place(prefix))

  test('the log is what it was, goes on above every epoch it had, and has its records', async () => {
    await importIntoEtcd(place('/a'), contents, { name: 'its name' })
    await using log = await open('/a')
    const head = await log.head()
    assert.deepEqual([head.position, head.firstPosition], [340, 41])
    assert.ok(head.epoch > contents.epoch)
    const found: Entry[] = []
    while (found.length < entries.length) {
      const read = await log.read(41 + found.length, 1_000_000)
      assert.ok(read.type === 'entries' && read.entries.length > 0)
      found.push(...read.entries)
    }
    for (const [at, entry] of entries.entries()) {
      assert.deepEqual([found[at]!.position, found[at]!.epoch], [entry.position, entry.epoch])
      assert.ok(Buffer.from(found[at]!.bytes).equals(entry.bytes), `entry ${entry.position}`)
    }
    assert.deepEqual(await log.read(40, 1000), { type: 'trimmed', firstPosition: 41 })
    assert.equal(Buffer.from((await log.getSnapshot())!.bytes).toString(), 'state at 40')
    assert.equal(await log.record('name', () => 'another'), 'its name')

    const claimed = await log.claim('first')
    assert.ok(claimed.epoch > head.epoch)
    assert.deepEqual(await log.append(claimed.epoch, 341, Buffer.from('next')), { type: 'ok' })
    await using other = await open('/a')
    const second = (await other.claimFrom(claimed.epoch, 'second'))!
    assert.ok(second.epoch > claimed.epoch)
    assert.deepEqual(await log.append(claimed.epoch, 342, Buffer.from('late')), { type: 'fenced', epoch: second.epoch })
    assert.deepEqual(await other.leadership(), { epoch: second.epoch, owner: 'second' })
    await other.putSnapshot(second.epoch, { position: 341, bytes: Buffer.from('state at 341') })
    await other.trim(342)
    assert.equal((await other.head()).firstPosition, 342)
    await assert.rejects(log.putSnapshot(claimed.epoch, { position: 341, bytes: Buffer.from('x') }), {
      code: 'conflict',
    })
  })

  test('a prefix with a log, or with a coordinator that is beginning one, is refused and left alone', async () => {
    await using log = await open('/b')
    await log.record('secrets', () => 'made by a coordinator')
    await assert.rejects(importIntoEtcd(place('/b'), contents, { secrets: 'other' }), { code: 'conflict' })
    const { epoch } = await log.claim('one')
    await log.append(epoch, 1, Buffer.from('its own'))
    await assert.rejects(importIntoEtcd(place('/b'), contents, {}), /a log whose last entry is 1/)
    assert.deepEqual(await log.append(epoch, 2, Buffer.from('goes on')), { type: 'ok' })
    assert.equal(await log.record('secrets', () => ''), 'made by a coordinator')
  })

  test('an import that is cut off leaves no log, and the next one is not disturbed by what it left', async () => {
    const broken: LogContents = {
      ...contents,
      async *entries() {
        yield* entries.slice(0, 250)
        throw new Error('cut off')
      },
    }
    await assert.rejects(importIntoEtcd(place('/c'), broken, { name: 'x' }), /cut off/)
    {
      await using log = await open('/c')
      assert.deepEqual(await log.head(), { position: 0, epoch: 0, firstPosition: 1 })
    }
    const short: LogContents = {
      epoch: 1,
      firstPosition: 1,
      snapshot: undefined,
      async *entries() {
        yield { position: 1, epoch: 1, bytes: Buffer.from('only') }
      },
    }
    await importIntoEtcd(place('/c'), short, { name: 'y' })
    await using log = await open('/c')
    const { epoch, position } = await log.claim('one')
    assert.equal(position, 1)
    // A slot that the first import had filled is free.
    assert.deepEqual(await log.append(epoch, 41, Buffer.from('x')).catch(() => 'refused'), 'refused')
    for (let at = 2; at <= 45; at += 1) {
      assert.deepEqual(await log.append(epoch, at, Buffer.from('new')), { type: 'ok' })
    }
  })

  test('nobody can lead while a log is being written', async () => {
    await using early = await open('/d')
    const raced: LogContents = {
      ...contents,
      async *entries() {
        yield* entries.slice(0, 200)
        await assert.rejects(early.claim('coordinator'), { code: 'conflict' })
        await assert.rejects(early.claimFrom(0, 'coordinator'), { code: 'conflict' })
        await assert.rejects(open('/d'), /An import into this prefix of etcd is under way, or was cut off/)
        yield* entries.slice(200)
      },
    }
    await importIntoEtcd(place('/d'), raced, {})
    assert.equal((await early.head()).position, 340)
    assert.equal(await early.claimFrom(0, 'coordinator'), undefined)
    assert.ok((await early.claim('coordinator')).epoch > contents.epoch)
  })
})
