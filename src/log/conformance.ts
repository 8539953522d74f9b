/**
 * What every log backend must do, as tests. A backend's own test calls `testLog` with a factory; a
 * new backend is right when this suite passes. Each test gets a medium of its own; `open` may be
 * called again after the log before was closed, which is a restart.
 */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { isMusterError } from '../protocol/errors.ts'
import type { AppendResult, Log } from './log.ts'

export type LogMedium = {
  /** Opens the log on this medium; what was there before is there again. */
  open(): Promise<Log>
  /** Spoils the newest snapshot on the medium, while the log is closed; absent where nothing can. */
  corruptNewestSnapshot?(): Promise<void>
  remove(): Promise<void>
}

const text = (value: string) => new TextEncoder().encode(value)
const string = (bytes: Uint8Array) => new TextDecoder().decode(bytes)

async function fill(log: Log, epoch: number, from: number, to: number): Promise<void> {
  for (let position = from; position <= to; position += 1) {
    assert.deepEqual(await log.append(epoch, position, text(`entry ${position}`)), { type: 'ok' })
  }
}

async function readAll(log: Log, from: number, maxBytes = 1_000_000): Promise<[number, number, string][]> {
  const result = await log.read(from, maxBytes)
  assert.equal(result.type, 'entries')
  return result.type === 'entries' ? result.entries.map((one) => [one.position, one.epoch, string(one.bytes)]) : []
}

export function testLog(name: string, createMedium: () => Promise<LogMedium>): void {
  const withLog = (criterion: string, body: (log: Log, medium: LogMedium) => Promise<void>): void =>
    void test(criterion, async () => {
      const medium = await createMedium()
      try {
        const log = await medium.open()
        try {
          await body(log, medium)
        } finally {
          await log[Symbol.asyncDispose]()
        }
      } finally {
        await medium.remove()
      }
    })

  /** Like withLog, with a restart in the middle. */
  const withRestart = (
    criterion: string,
    before: (log: Log) => Promise<number>,
    after: (log: Log, epoch: number) => Promise<void>,
  ): void =>
    withLog(criterion, async (first, medium) => {
      const epoch = await before(first)
      await first[Symbol.asyncDispose]()
      const second = await medium.open()
      try {
        await after(second, epoch)
      } finally {
        await second[Symbol.asyncDispose]()
      }
    })

  describe(`${name} is a log`, () => {
    withLog('an empty log has head 0, no entries and no snapshot', async (log) => {
      assert.deepEqual(await log.head(), { position: 0, epoch: 0, firstPosition: 1 })
      assert.deepEqual(await readAll(log, 1), [])
      assert.equal(await log.getSnapshot(), undefined)
    })

    withLog('every claim gets a larger epoch and sees the head', async (log) => {
      const first = await log.claim('a')
      await fill(log, first.epoch, 1, 3)
      const second = await log.claim('b')
      assert.ok(second.epoch > first.epoch)
      assert.equal(second.position, 3)
    })

    withLog('entries come back as they went in, contiguous, with their epochs', async (log) => {
      const { epoch } = await log.claim('a')
      await fill(log, epoch, 1, 2)
      const next = await log.claim('b')
      await log.append(next.epoch, 3, text('üñí'))
      assert.deepEqual(await readAll(log, 1), [
        [1, epoch, 'entry 1'],
        [2, epoch, 'entry 2'],
        [3, next.epoch, 'üñí'],
      ])
      assert.deepEqual(await readAll(log, 3), [[3, next.epoch, 'üñí']])
      assert.deepEqual(await readAll(log, 4), [])
      assert.deepEqual(await readAll(log, 400), [])
    })

    withLog('empty and large entries survive', async (log) => {
      const { epoch } = await log.claim('a')
      const large = new Uint8Array(3_000_000).map((_, i) => i % 251)
      await log.append(epoch, 1, new Uint8Array())
      await log.append(epoch, 2, large)
      const result = await log.read(1, 10_000_000)
      assert.equal(result.type, 'entries')
      assert.deepEqual(result.type === 'entries' && result.entries.map((one) => one.bytes.length), [0, large.length])
      assert.deepEqual(result.type === 'entries' && Buffer.from(result.entries[1]!.bytes).equals(large), true)
    })

    withLog('the log keeps its own copy: the caller may reuse the buffer, and still holds it', async (log) => {
      const { epoch } = await log.claim('a')
      const buffer = text('before')
      const appended = log.append(epoch, 1, buffer)
      await appended
      assert.equal(string(buffer), 'before')
      buffer.set(text('after!'))
      assert.deepEqual(await readAll(log, 1), [[1, epoch, 'before']])
      // A view into a larger buffer is what it shows, not what it hides.
      await log.append(epoch, 2, text('xxviewxx').subarray(2, 6))
      assert.deepEqual(await readAll(log, 2), [[2, epoch, 'view']])
    })

    withLog('read stops at maxBytes, but gives at least one entry', async (log) => {
      const { epoch } = await log.claim('a')
      for (let position = 1; position <= 10; position += 1) await log.append(epoch, position, new Uint8Array(100))
      assert.equal((await readAll(log, 1, 350)).length, 3)
      assert.equal((await readAll(log, 1, 1)).length, 1)
      assert.equal((await readAll(log, 8, 1000)).length, 3)
    })

    withLog(
      'the same bytes again at the same position are ok and written once (unknown outcome, retried)',
      async (log) => {
        const { epoch } = await log.claim('a')
        await fill(log, epoch, 1, 2)
        assert.deepEqual(await log.append(epoch, 2, text('entry 2')), { type: 'ok' })
        assert.deepEqual(await log.append(epoch, 1, text('entry 1')), { type: 'ok' })
        assert.equal((await log.head()).position, 2)
        assert.equal((await readAll(log, 1)).length, 2)
      },
    )

    withLog('other bytes at a taken position are refused and change nothing', async (log) => {
      const { epoch } = await log.claim('a')
      await fill(log, epoch, 1, 2)
      for (const other of ['entry X', 'entry 22', 'entry', '']) {
        assert.deepEqual(await log.append(epoch, 2, text(other)), { type: 'taken' })
      }
      assert.deepEqual(await readAll(log, 2), [[2, epoch, 'entry 2']])
    })

    withLog('a deposed writer is fenced, at the next position and at taken ones, and writes nothing', async (log) => {
      const old = await log.claim('a')
      await fill(log, old.epoch, 1, 2)
      const now = await log.claim('b')
      const fenced: AppendResult = { type: 'fenced', epoch: now.epoch }
      assert.deepEqual(await log.append(old.epoch, 3, text('late')), fenced)
      assert.deepEqual(await log.append(old.epoch, 2, text('other')), fenced)
      assert.deepEqual(await log.append(old.epoch, 9, text('far')), fenced)
      await log.append(now.epoch, 3, text('mine'))
      assert.deepEqual(await log.append(old.epoch, 3, text('late')), fenced)
      assert.deepEqual(await readAll(log, 3), [[3, now.epoch, 'mine']])
    })

    withLog('a deposed writer learns that its own append had been written', async (log) => {
      const old = await log.claim('a')
      await fill(log, old.epoch, 1, 1)
      const now = await log.claim('b')
      assert.deepEqual(await log.append(old.epoch, 1, text('entry 1')), { type: 'ok' })
      // The same words written by another leader are not its own.
      await log.append(now.epoch, 2, text('same'))
      assert.deepEqual(await log.append(old.epoch, 2, text('same')), { type: 'fenced', epoch: now.epoch })
    })

    withLog('an append that would leave a hole is a bug of its caller', async (log) => {
      const { epoch } = await log.claim('a')
      await fill(log, epoch, 1, 1)
      await assert.rejects(log.append(epoch, 3, text('far')), { name: 'AssertionFailed' })
      assert.equal((await log.head()).position, 1)
      await fill(log, epoch, 2, 2)
    })

    withLog('appends sent without waiting keep their order', async (log) => {
      const { epoch } = await log.claim('a')
      const results = await Promise.all(
        Array.from({ length: 200 }, (_, i) => log.append(epoch, i + 1, text(`entry ${i + 1}`))),
      )
      assert.ok(results.every((one) => one.type === 'ok'))
      assert.deepEqual(
        (await readAll(log, 1)).map(([position]) => position),
        Array.from({ length: 200 }, (_, i) => i + 1),
      )
    })

    withLog('a claim between appends sent without waiting fences exactly those after it', async (log) => {
      const { epoch } = await log.claim('a')
      const first = log.append(epoch, 1, text('one'))
      const claimed = log.claim('b')
      const second = log.append(epoch, 2, text('two'))
      assert.deepEqual(await first, { type: 'ok' })
      const head = await claimed
      assert.equal(head.position, 1)
      assert.deepEqual(await second, { type: 'fenced', epoch: head.epoch })
    })

    withLog('the newest two snapshots are kept, and the newest is given', async (log) => {
      const { epoch } = await log.claim('a')
      await fill(log, epoch, 1, 30)
      for (const position of [10, 20, 30]) await log.putSnapshot(epoch, { position, bytes: text(`state ${position}`) })
      const newest = await log.getSnapshot()
      assert.deepEqual([newest?.position, newest && string(newest.bytes)], [30, 'state 30'])
      await log.putSnapshot(epoch, { position: 30, bytes: text('again') })
      assert.equal(string((await log.getSnapshot())!.bytes), 'again')
    })

    withLog('a deposed writer stores no snapshot, and none is stored of what has not happened', async (log) => {
      const old = await log.claim('a')
      await fill(log, old.epoch, 1, 2)
      await assert.rejects(log.putSnapshot(old.epoch, { position: 3, bytes: text('future') }), {
        name: 'AssertionFailed',
      })
      await log.claim('b')
      await assert.rejects(
        log.putSnapshot(old.epoch, { position: 2, bytes: text('late') }),
        (error) => isMusterError(error) && error.code === 'conflict',
      )
      assert.equal(await log.getSnapshot(), undefined)
    })

    withLog('trim drops entries below, and reading them says so', async (log) => {
      const { epoch } = await log.claim('a')
      await fill(log, epoch, 1, 20)
      await log.putSnapshot(epoch, { position: 10, bytes: text('state') })
      await log.trim(11)
      assert.deepEqual(await log.read(10, 1000), { type: 'trimmed', firstPosition: 11 })
      assert.deepEqual((await readAll(log, 11))[0], [11, epoch, 'entry 11'])
      assert.deepEqual(await log.head(), { position: 20, epoch, firstPosition: 11 })
      await log.trim(5)
      assert.equal((await log.head()).firstPosition, 11, 'trimming less again changes nothing')
      assert.deepEqual(
        await log.append(epoch, 10, text('entry 10')),
        { type: 'taken' },
        'what is trimmed cannot be compared',
      )
    })

    withLog('trim above the newest snapshot is a bug of its caller', async (log) => {
      const { epoch } = await log.claim('a')
      await fill(log, epoch, 1, 20)
      await assert.rejects(log.trim(2), { name: 'AssertionFailed' })
      await log.putSnapshot(epoch, { position: 10, bytes: text('state') })
      await assert.rejects(log.trim(12), { name: 'AssertionFailed' })
      assert.equal((await log.head()).firstPosition, 1)
    })

    withLog('appends and reads during a trim are whole', async (log) => {
      const { epoch } = await log.claim('a')
      const count = 5000
      await Promise.all(Array.from({ length: count }, (_, i) => log.append(epoch, i + 1, text(`entry ${i + 1}`))))
      await log.putSnapshot(epoch, { position: count, bytes: text('state') })
      const trimming = log.trim(count + 1)
      const appending = fill(log, epoch, count + 1, count + 50)
      for (let i = 0; i < 10; i += 1) {
        const result = await log.read(2500, 1_000_000)
        if (result.type === 'entries') assert.equal(result.entries[0]!.position, 2500)
        else assert.ok(result.firstPosition > 2500)
      }
      await Promise.all([trimming, appending])
      assert.deepEqual(await log.head(), { position: count + 50, epoch, firstPosition: count + 1 })
      assert.equal((await readAll(log, count + 1)).length, 50)
    })

    withRestart(
      'a restart finds entries, epoch, trim and snapshot again',
      async (log) => {
        const { epoch } = await log.claim('a')
        await fill(log, epoch, 1, 20)
        await log.putSnapshot(epoch, { position: 15, bytes: text('state 15') })
        await log.trim(11)
        return epoch
      },
      async (log, epoch) => {
        assert.deepEqual(await log.head(), { position: 20, epoch, firstPosition: 11 })
        assert.equal((await readAll(log, 11)).length, 10)
        assert.deepEqual(string((await log.getSnapshot())!.bytes), 'state 15')
        assert.deepEqual(await log.append(epoch, 20, text('entry 20')), { type: 'ok' }, 'a retry across the restart')
        const next = await log.claim('b')
        assert.ok(next.epoch > epoch)
        assert.deepEqual(await log.append(epoch, 21, text('late')), { type: 'fenced', epoch: next.epoch })
      },
    )

    withRestart(
      'a log trimmed to its end goes on where it was',
      async (log) => {
        const { epoch } = await log.claim('a')
        await fill(log, epoch, 1, 5)
        await log.putSnapshot(epoch, { position: 5, bytes: text('state') })
        await log.trim(6)
        return epoch
      },
      async (log, epoch) => {
        assert.deepEqual(await log.head(), { position: 5, epoch, firstPosition: 6 })
        await log.trim(6)
        const next = await log.claim('b')
        await fill(log, next.epoch, 6, 6)
        assert.deepEqual(await readAll(log, 6), [[6, next.epoch, 'entry 6']])
      },
    )

    withLog('a damaged newest snapshot falls back to the one before it', async (log, medium) => {
      const { epoch } = await log.claim('a')
      await fill(log, epoch, 1, 20)
      await log.putSnapshot(epoch, { position: 10, bytes: text('state 10') })
      if (medium.corruptNewestSnapshot === undefined) return
      await log.putSnapshot(epoch, { position: 20, bytes: text('state 20') })
      await log[Symbol.asyncDispose]()
      await medium.corruptNewestSnapshot()
      const again = await medium.open()
      try {
        assert.equal(string((await again.getSnapshot())!.bytes), 'state 10')
        await assert.rejects(again.trim(21), { name: 'AssertionFailed' }, 'trim goes by what verifies')
        await again.putSnapshot(epoch, { position: 20, bytes: text('state 20 anew') })
        assert.equal(string((await again.getSnapshot())!.bytes), 'state 20 anew')
      } finally {
        await again[Symbol.asyncDispose]()
      }
    })

    withLog('a closed log refuses', async (log) => {
      const { epoch } = await log.claim('a')
      await log[Symbol.asyncDispose]()
      await assert.rejects(
        log.append(epoch, 1, text('late')),
        (error) => isMusterError(error) && error.code === 'log_failed',
      )
      await log[Symbol.asyncDispose]()
    })

    withLog('its size grows with what is stored', async (log) => {
      const { epoch } = await log.claim('a')
      const before = await log.sizeBytes()
      await log.append(epoch, 1, new Uint8Array(1_000_000).fill(7))
      assert.ok((await log.sizeBytes()) >= before + 1_000_000)
    })
  })
}
