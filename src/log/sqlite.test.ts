import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { appendFile, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { describe, test } from 'node:test'
import { DatabaseSync } from 'node:sqlite'
import { fileURLToPath } from 'node:url'
import { isMusterError } from '../protocol/errors.ts'
import type { ErrorCode } from '../protocol/errors.ts'
import { testLog } from './conformance.ts'
import { SqliteLog } from './sqlite.ts'

const appender = fileURLToPath(new URL('./fixtures/appender.ts', import.meta.url))
const text = (value: string) => new TextEncoder().encode(value)
const coded = (code: ErrorCode) => (error: unknown) => isMusterError(error) && error.code === code

async function withDirectory(body: (directory: string) => Promise<void>): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), 'muster-log-'))
  try {
    await body(directory)
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
}

testLog('SqliteLog', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'muster-log-'))
  return {
    open: () => SqliteLog.open(directory, { onWarning: () => {} }),
    corruptNewestSnapshot: async () => {
      const newest = (await readdir(directory))
        .filter((name) => name.startsWith('snapshot-'))
        .sort()
        .at(-1)!
      const bytes = await readFile(join(directory, newest))
      bytes[bytes.length - 1]! ^= 1
      await writeFile(join(directory, newest), bytes)
    },
    remove: () => rm(directory, { recursive: true, force: true }),
  }
})

describe('SqliteLog', () => {
  test('is private to its user', () =>
    withDirectory(async (parent) => {
      const directory = join(parent, 'log')
      await using log = await SqliteLog.open(directory)
      const { epoch } = await log.claim('a')
      await log.append(epoch, 1, text('secret'))
      await log.putSnapshot(epoch, { position: 1, bytes: text('state') })
      assert.equal((await stat(directory)).mode & 0o777, 0o700)
    }))

  test('a second opening names the process that has it, and the first goes on', () =>
    withDirectory(async (directory) => {
      await using log = await SqliteLog.open(directory)
      const { epoch } = await log.claim('a')
      await assert.rejects(SqliteLog.open(directory, { lockTimeoutMs: 50 }), (error) => {
        assert.ok(isMusterError(error) && error.code === 'conflict')
        assert.match(error.message, new RegExp(`in use by process ${process.pid}`))
        return true
      })
      assert.deepEqual(await log.append(epoch, 1, text('still mine')), { type: 'ok' })
    }))

  test('a file that is no database is named, not overwritten', () =>
    withDirectory(async (directory) => {
      await writeFile(join(directory, 'log.sqlite'), 'x'.repeat(10_000))
      await assert.rejects(SqliteLog.open(directory), coded('log_failed'))
      assert.equal((await readFile(join(directory, 'log.sqlite'), 'utf8')).length, 10_000)
    }))

  test('a log written by a newer Muster is refused', () =>
    withDirectory(async (directory) => {
      const database = new DatabaseSync(join(directory, 'log.sqlite'))
      database.exec('PRAGMA user_version = 99')
      database.close()
      await assert.rejects(SqliteLog.open(directory), coded('log_failed'))
    }))

  test('a full disk is disk_full, keeps what was there, and the same append succeeds once there is room', () =>
    withDirectory(async (directory) => {
      {
        await using log = await SqliteLog.open(directory, { maxPages: 100 })
        const { epoch } = await log.claim('a')
        let position = 0
        const fill = async () => {
          for (;;) {
            await log.append(epoch, position + 1, new Uint8Array(20_000).fill(position + 1))
            position += 1
          }
        }
        await assert.rejects(fill(), coded('disk_full'))
        assert.ok(position > 5)
        assert.equal((await log.head()).position, position)
        await assert.rejects(log.append(epoch, position + 1, new Uint8Array(20_000)), coded('disk_full'))
        await log.putSnapshot(epoch, { position, bytes: text('state') })
        await log.trim(position + 1)
        assert.deepEqual(
          await log.append(epoch, position + 1, new Uint8Array(20_000)),
          { type: 'ok' },
          'trimming made room',
        )
      }
    }))

  test('a group that fails for one fails for all, and can be repeated', () =>
    withDirectory(async (directory) => {
      const room = new Uint8Array(300_000)
      await using log = await SqliteLog.open(directory, { maxPages: 100 })
      const { epoch } = await log.claim('a')
      const results = await Promise.allSettled([1, 2, 3].map((position) => log.append(epoch, position, room)))
      // However the three were grouped, what was acknowledged is there and nothing else.
      const acknowledged = results.filter((one) => one.status === 'fulfilled').length
      assert.ok(acknowledged <= 1)
      assert.equal((await log.head()).position, acknowledged)
      assert.deepEqual(await log.append(epoch, acknowledged + 1, new Uint8Array(10)), { type: 'ok' })
    }))

  test('truncated and empty snapshot files fall back too', () =>
    withDirectory(async (directory) => {
      const warnings: string[] = []
      await using log = await SqliteLog.open(directory, { onWarning: (warning) => warnings.push(warning) })
      const { epoch } = await log.claim('a')
      for (let position = 1; position <= 3; position += 1) await log.append(epoch, position, text('x'))
      await log.putSnapshot(epoch, { position: 1, bytes: text('one') })
      await log.putSnapshot(epoch, { position: 2, bytes: text('two') })
      await writeFile(join(directory, 'snapshot-0000000000000002.bin'), '')
      await appendFile(join(directory, 'snapshot-0000000000000001.bin'), '')
      assert.equal((await log.getSnapshot())?.position, 1)
      assert.match(warnings.join(), /0002\.bin does not verify/)
      await writeFile(
        join(directory, 'snapshot-0000000000000001.bin'),
        '{"format":1,"position":1,"bytes":3,"sha256":"00"}\ntw',
      )
      assert.equal(await log.getSnapshot(), undefined)
    }))

  test('a long log is checkpointed while it grows, and closing leaves one file', () =>
    withDirectory(async (directory) => {
      const log = await SqliteLog.open(directory)
      const { epoch } = await log.claim('a')
      const bytes = new Uint8Array(200_000).fill(1)
      for (let position = 1; position <= 250; position += 1) await log.append(epoch, position, bytes)
      const { size } = await stat(join(directory, 'log.sqlite-wal'))
      assert.ok(size < 30_000_000, `the WAL has ${size} bytes after 50 MB of appends`)
      await log[Symbol.asyncDispose]()
      assert.deepEqual((await readdir(directory)).sort(), ['log.sqlite', 'owner.json'])
    }))

  test(
    'kill -9 in the middle of group commits: nothing acknowledged is lost, no gap, no block',
    { timeout: 120_000 },
    () =>
      withDirectory(async (directory) => {
        await mkdir(join(directory, 'log'))
        let acknowledged = 0
        for (let round = 1; round <= 6; round += 1) {
          const child = spawn(process.execPath, [appender, join(directory, 'log')], {
            stdio: ['ignore', 'pipe', 'inherit'],
          })
          const exited = once(child, 'exit')
          const stopAfter = acknowledged + 37 * round
          for await (const line of createInterface({ input: child.stdout })) {
            if (line === 'ready') continue
            acknowledged = Math.max(acknowledged, Number(line))
            if (acknowledged >= stopAfter) child.kill('SIGKILL')
          }
          await exited
          await using log = await SqliteLog.open(join(directory, 'log'), { lockTimeoutMs: 0 })
          const head = await log.head()
          assert.ok(
            head.position >= acknowledged,
            `round ${round}: acknowledged ${acknowledged}, found ${head.position}`,
          )
          assert.equal(head.epoch, round)
          const result = await log.read(1, 1_000_000_000)
          assert.ok(result.type === 'entries' && result.entries.length === head.position)
          for (const [i, entry] of result.type === 'entries' ? result.entries.entries() : []) {
            assert.equal(entry.position, i + 1)
            assert.ok(
              Buffer.from(entry.bytes)
                .toString()
                .startsWith(`entry ${i + 1} `),
            )
          }
          acknowledged = head.position
        }
      }),
  )
})
