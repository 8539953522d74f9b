import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { zstdCompressSync, zstdDecompressSync } from 'node:zlib'
import { archiveVersion, encodeArchive, openArchive, type ArchiveHeader, type Part, type Written } from './archive.ts'
import { exportLog, type LogContents } from './export.ts'
import type { Log } from './log.ts'
import { MemoryLog } from './memory.ts'
import { importIntoSqlite } from './sqlite-import.ts'
import { SqliteLog } from './sqlite.ts'

const header: ArchiveHeader = {
  archive: 'muster log',
  version: archiveVersion,
  createdAtMs: 1,
  by: '0.1.0',
  source: 'name',
  epoch: 2,
  firstPosition: 3,
  lastPosition: 5,
  snapshotPosition: 2,
  with: ['blobs'],
}
const blob = Buffer.from('content')
const parts: readonly Part[] = [
  { part: 'snapshot', position: 2, bytes: Buffer.from('state') },
  { part: 'entry', position: 3, epoch: 1, bytes: Buffer.from('three') },
  { part: 'entry', position: 4, epoch: 2, bytes: Buffer.alloc(0) },
  { part: 'entry', position: 5, epoch: 2, bytes: Buffer.alloc(200_000, 'x') },
  { part: 'blob', key: createHash('sha256').update(blob).digest('hex'), bytes: blob },
]

async function archive(given: readonly Written[] = parts, head = header): Promise<Buffer> {
  async function* each() {
    yield* given
  }
  return Buffer.concat(await Array.fromAsync(encodeArchive(head, each())))
}

async function* inChunks(bytes: Uint8Array, size = 1000): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size)
}

async function read(bytes: Uint8Array): Promise<{ parts: Part[]; end: unknown; header: ArchiveHeader }> {
  const reader = await openArchive(inChunks(bytes), 'a.zst')
  const iterator = reader.parts()
  const seen: Part[] = []
  for (;;) {
    const next = await iterator.next()
    if (next.done) return { parts: seen, end: next.value, header: reader.header }
    seen.push(next.value)
  }
}

test('what goes into an archive comes out', async () => {
  const found = await read(await archive([...parts, { missing: 'f'.repeat(64) }]))
  assert.deepEqual(found.header, header)
  assert.deepEqual(
    found.parts.map((one) => ({ ...one, bytes: Buffer.from(one.bytes) })),
    parts,
  )
  const { counts, missingBlobs } = found.end as { counts: object; missingBlobs: number }
  assert.deepEqual(counts, { snapshot: 1, entry: 3, blob: 1, context: 0, record: 0, file: 0 })
  assert.equal(missingBlobs, 1)
})

test('any byte that is changed, cut off or added is found', async () => {
  const whole = await archive()
  const plain = zstdDecompressSync(whole)
  for (let at = 0; at < plain.length; at += at < 700 || at > plain.length - 500 ? 1 : 4999) {
    const changed = Buffer.from(plain)
    changed[at] = changed[at]! ^ 1
    await assert.rejects(read(zstdCompressSync(changed)), { code: 'archive_invalid' }, `changed at ${at}`)
  }
  for (const length of [0, 1, 60, plain.length >> 1, plain.length - 1]) {
    await assert.rejects(read(zstdCompressSync(plain.subarray(0, length))), { code: 'archive_invalid' }, `${length}`)
  }
  await assert.rejects(read(whole.subarray(0, whole.length - 3)), { code: 'archive_invalid' })
  await assert.rejects(read(zstdCompressSync(Buffer.concat([plain, Buffer.from('{}')]))), /something follows/)
  await assert.rejects(read(Buffer.from('no archive at all')), { code: 'archive_invalid' })
})

test('an archive that does not hold what its header says, or is newer, is refused', async () => {
  await assert.rejects(async () => read(await archive(parts.toSpliced(2, 1))), /expected entry 4, received 5/)
  await assert.rejects(async () => read(await archive(parts.toSpliced(3, 1))), /entries 5 to 5 are missing/)
  await assert.rejects(async () => read(await archive(parts.slice(1))), /the snapshot at 2 is missing/)
  await assert.rejects(async () => read(await archive(parts, { ...header, version: 2 })), /expected version 1/)
  await assert.rejects(async () => read(await archive(parts, { ...header, epoch: 1 })), /entry 4 has epoch 2/)
})

async function fill(log: Log): Promise<void> {
  await log.claim('a')
  const { epoch } = await log.claim('b')
  for (let position = 1; position <= 10; position += 1) {
    await log.append(epoch, position, Buffer.from(position === 7 ? '' : `entry ${position}`))
    if (position === 6) {
      await log.putSnapshot(epoch, { position, bytes: Buffer.from('state at 6') })
      await log.trim(5)
    }
  }
}

test('a log that was exported and imported goes on where it was, and refuses older epochs', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'muster-import-'))
  try {
    for (const all of [false, true]) {
      await using log = new MemoryLog()
      await fill(log)
      const exported = await exportLog(log, { all })
      assert.equal(exported.firstPosition, all ? 5 : 7)
      const found = await Array.fromAsync(exported.parts())
      const contents: LogContents = {
        epoch: exported.epoch,
        firstPosition: exported.firstPosition,
        snapshot: await log.getSnapshot(),
        async *entries() {
          for (const part of found) if (part.part === 'entry') yield part
        },
      }
      const place = join(directory, `log-${all}`)
      await importIntoSqlite(place, contents)
      await using imported = await SqliteLog.open(place)
      assert.deepEqual(await imported.head(), { epoch: 2, position: 10, firstPosition: exported.firstPosition })
      assert.equal(Buffer.from((await imported.getSnapshot())!.bytes).toString(), 'state at 6')
      const before = await log.read(exported.firstPosition, 1_000_000)
      const after = await imported.read(exported.firstPosition, 1_000_000)
      assert.ok(before.type === 'entries' && after.type === 'entries')
      assert.deepEqual(
        after.entries.map((one) => [one.position, one.epoch, Buffer.from(one.bytes).toString()]),
        before.entries.map((one) => [one.position, one.epoch, Buffer.from(one.bytes).toString()]),
      )
      const { epoch } = await imported.claim('c')
      assert.equal(epoch, 3)
      assert.deepEqual(await imported.append(2, 11, Buffer.from('late')), { type: 'fenced', epoch: 3 })
      assert.deepEqual(await imported.append(3, 11, Buffer.from('next')), { type: 'ok' })
    }
  } finally {
    await rm(directory, { recursive: true })
  }
})
