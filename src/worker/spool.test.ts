import assert from 'node:assert/strict'
import { existsSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { describe, it } from 'node:test'
import type { OutboxEntry } from './outbox.ts'
import { removeStaleSpools, Spool } from './spool.ts'
import { temporaryFolder } from './test-worker.ts'

/** Everything that may be sent now. */
function drain(spool: Spool): OutboxEntry[] {
  const entries: OutboxEntry[] = []
  for (let entry = spool.next(); entry !== undefined; entry = spool.next()) entries.push(entry)
  return entries
}

const large = 'ü'.repeat(1024 * 1024)

describe('Spool', () => {
  it('keeps what a full disk has no room for in memory and in order, up to a limit', () => {
    using folder = temporaryFolder()
    // Every write to it fails as on a full disk.
    symlinkSync('/dev/full', path.join(folder.path, `w.${process.pid}.jsonl`))
    const spool = new Spool(folder.path, 'w')
    const sent: number[] = []
    for (let at = 0; at < 30; at += 1) spool.append(at === 20 ? 'b2' : 'b1', JSON.stringify({ large }))
    assert.equal(spool.size, 30)
    spool.forget('b2')
    while (spool.size > 0) {
      for (const { seq } of drain(spool)) sent.push(seq)
      spool.acknowledge(sent.at(-1)!)
    }
    assert.deepEqual(
      sent,
      Array.from({ length: 30 }, (_, at) => at + 1).filter((seq) => seq !== 21),
    )
    assert.throws(
      () => {
        for (;;) spool.append('b1', JSON.stringify({ large }))
      },
      { code: 'disk_full' },
    )
    spool.close()
  })

  it('numbers reports and gives each out once until it is rewound', () => {
    using folder = temporaryFolder()
    const spool = new Spool(folder.path, 'w')
    assert.equal(spool.append('b1', '{"type":"started"}'), 1)
    assert.equal(spool.append('b1', '{"type":"ended"}'), 2)
    assert.deepEqual(
      drain(spool).map((one) => JSON.parse(one.text)),
      [
        { seq: 1, type: 'started' },
        { seq: 2, type: 'ended' },
      ],
    )
    assert.deepEqual(drain(spool), [])
    spool.acknowledge(1)
    spool.rewind()
    assert.deepEqual(
      drain(spool).map((one) => one.seq),
      [2],
    )
    spool.acknowledge(2)
    assert.equal(spool.size, 0)
    spool.close()
  })

  it('keeps on disk what does not fit, and gives it out whole and in order as room is made', () => {
    using folder = temporaryFolder()
    const spool = new Spool(folder.path, 'w')
    const count = 40
    for (let index = 1; index <= count; index += 1) spool.append('b', JSON.stringify({ index, text: large }))
    assert.equal(spool.size, count)
    assert.ok(spool.bytesOnDisk > 60 * 1024 * 1024)
    const seen: number[] = []
    while (spool.size > 0) {
      const entries = drain(spool)
      assert.ok(entries.length > 0 && entries.length <= 5, `${entries.length} at once`)
      for (const { seq, text } of entries) {
        const value = JSON.parse(text) as { seq: number; index: number; text: string }
        assert.equal(value.seq, seq)
        assert.equal(value.index, seq)
        assert.equal(value.text, large)
        seen.push(seq)
      }
      spool.acknowledge(seen.at(-1)!)
    }
    assert.deepEqual(
      seen,
      Array.from({ length: count }, (_, index) => index + 1),
    )
    assert.equal(spool.bytesOnDisk, 0)
    spool.close()
    assert.deepEqual(readdirSync(folder.path), [])
  })

  it('forgets a batch in memory and on disk', () => {
    using folder = temporaryFolder()
    const spool = new Spool(folder.path, 'w')
    for (let index = 1; index <= 20; index += 1)
      spool.append(index % 2 === 0 ? 'even' : 'odd', JSON.stringify({ text: large }))
    drain(spool)
    spool.rewind()
    spool.forget('odd')
    const seen: number[] = []
    while (spool.size > 0) {
      const entries = drain(spool)
      if (entries.length === 0) break
      assert.ok(entries.every((one) => one.batch === 'even'))
      seen.push(...entries.map((one) => one.seq))
      spool.acknowledge(seen.at(-1)!)
    }
    assert.deepEqual(seen, [2, 4, 6, 8, 10, 12, 14, 16, 18, 20])
    assert.equal(spool.size, 0)
    spool.close()
  })

  it('removes what workers that are gone have left', () => {
    using folder = temporaryFolder()
    for (const name of ['w-1.41.jsonl', 'w-2.42.jsonl']) writeFileSync(path.join(folder.path, name), '')
    removeStaleSpools(folder.path, (pid) => pid === 42)
    assert.deepEqual(readdirSync(folder.path), ['w-2.42.jsonl'])
    removeStaleSpools(path.join(folder.path, 'absent'), () => false)
    assert.ok(!existsSync(path.join(folder.path, 'absent')))
  })
})
