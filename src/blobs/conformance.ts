/**
 * What every blob store must do, as tests. A backend's own test calls `testBlobs` with a factory;
 * a new backend is right when this suite passes.
 */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { describe, test } from 'node:test'
import { isMusterError } from '../protocol/errors.ts'
import type { ErrorCode } from '../protocol/errors.ts'
import type { Blobs } from './blobs.ts'

export type BlobsMedium = {
  open(): Promise<Blobs>
  /** Changes the stored content of the key behind the store's back. */
  corrupt(key: string): Promise<void>
  /** Makes the blob look unused for that long. */
  age(key: string, byMs: number): Promise<void>
  remove(): Promise<void>
}

const bytesOf = (value: string) => new TextEncoder().encode(value)
const hash = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex')
const coded = (code: ErrorCode) => (error: unknown) => isMusterError(error) && error.code === code

async function* inChunks(bytes: Uint8Array, size: number): AsyncIterable<Uint8Array> {
  for (let from = 0; from < bytes.length; from += size) yield bytes.subarray(from, from + size)
}

async function keysOf(blobs: Blobs): Promise<string[]> {
  const keys: string[] = []
  for await (const { key } of blobs.list()) keys.push(key)
  return keys.sort()
}

export function testBlobs(name: string, createMedium: () => Promise<BlobsMedium>): void {
  const withBlobs = (criterion: string, body: (blobs: Blobs, medium: BlobsMedium) => Promise<void>): void =>
    void test(criterion, async () => {
      const medium = await createMedium()
      try {
        await body(await medium.open(), medium)
      } finally {
        await medium.remove()
      }
    })

  describe(`${name} keeps blobs`, () => {
    withBlobs('put returns the SHA-256 and get returns the bytes, empty and large ones too', async (blobs) => {
      for (const bytes of [bytesOf('hello'), new Uint8Array(), new Uint8Array(2_000_000).map((_, i) => i % 253)]) {
        const key = await blobs.put(bytes)
        assert.equal(key, hash(bytes))
        assert.ok(Buffer.from((await blobs.get(key))!).equals(bytes))
      }
    })

    withBlobs('what is absent is undefined, and missing names it', async (blobs) => {
      const key = await blobs.put(bytesOf('here'))
      const absent = hash(bytesOf('elsewhere'))
      assert.equal(await blobs.get(absent), undefined)
      assert.equal(await blobs.has(absent), false)
      assert.equal(await blobs.has(key), true)
      assert.deepEqual(await blobs.missing([absent, key, absent]), [absent, absent])
      assert.deepEqual(await blobs.missing([]), [])
    })

    withBlobs('blobs outlive the store that wrote them', async (blobs, medium) => {
      const key = await blobs.put(bytesOf('kept'))
      const again = await medium.open()
      assert.deepEqual(await again.get(key), Buffer.from('kept'))
    })

    withBlobs('many puts of the same content at once are one blob', async (blobs) => {
      const keys = await Promise.all(Array.from({ length: 30 }, () => blobs.put(bytesOf('same'))))
      assert.equal(new Set(keys).size, 1)
      assert.deepEqual(await keysOf(blobs), [keys[0]])
    })

    withBlobs('many puts of different content at once are all there', async (blobs) => {
      const keys = await Promise.all(Array.from({ length: 100 }, (_, i) => blobs.put(bytesOf(`blob ${i}`))))
      assert.deepEqual(await keysOf(blobs), [...keys].sort())
      assert.deepEqual(await blobs.missing(keys), [])
    })

    withBlobs('a stream is stored under its key, also when it is there already', async (blobs) => {
      const bytes = new Uint8Array(300_000).map((_, i) => i % 199)
      const key = hash(bytes)
      await blobs.putStream(key, inChunks(bytes, 7000), bytes.length)
      await blobs.putStream(key, inChunks(bytes, 100_000), bytes.length)
      assert.ok(Buffer.from((await blobs.get(key))!).equals(bytes))
      const empty = new Uint8Array()
      await blobs.putStream(hash(empty), inChunks(empty, 1), 0)
      assert.equal((await blobs.get(hash(empty)))!.length, 0)
    })

    withBlobs('a stream with other content or too much of it is refused and leaves nothing', async (blobs) => {
      const bytes = bytesOf('the content')
      const key = hash(bytes)
      await assert.rejects(blobs.putStream(key, inChunks(bytesOf('the contents'), 3), 1000), coded('request_invalid'))
      await assert.rejects(blobs.putStream(key, inChunks(bytes, 3), bytes.length - 1), coded('request_invalid'))
      assert.deepEqual(await keysOf(blobs), [])
    })

    withBlobs('a stream that breaks passes its own error on and leaves nothing', async (blobs) => {
      async function* broken(): AsyncIterable<Uint8Array> {
        yield bytesOf('the con')
        throw new Error('connection lost')
      }
      await assert.rejects(blobs.putStream(hash(bytesOf('the content')), broken(), 1000), /connection lost/)
      assert.deepEqual(await keysOf(blobs), [])
    })

    withBlobs(
      'content that changed on the medium is refused once, dropped, and can be put again',
      async (blobs, medium) => {
        const key = await blobs.put(bytesOf('precious'))
        await medium.corrupt(key)
        await assert.rejects(blobs.get(key), coded('unavailable'))
        assert.equal(await blobs.get(key), undefined)
        await blobs.put(bytesOf('precious'))
        assert.deepEqual(await blobs.get(key), Buffer.from('precious'))
      },
    )

    withBlobs('a key that is no key is refused, whatever it points at', async (blobs) => {
      for (const key of ['', '../../etc/passwd', 'AB'.repeat(32), 'a'.repeat(63), `${'a'.repeat(63)}/`]) {
        await assert.rejects(blobs.get(key), coded('request_invalid'))
        await assert.rejects(blobs.has(key), coded('request_invalid'))
        await assert.rejects(blobs.remove(key), coded('request_invalid'))
        await assert.rejects(blobs.putStream(key, inChunks(bytesOf('x'), 1), 10), coded('request_invalid'))
      }
    })

    withBlobs('remove removes, again is no error', async (blobs) => {
      const key = await blobs.put(bytesOf('gone'))
      await blobs.remove(key)
      await blobs.remove(key)
      assert.equal(await blobs.get(key), undefined)
      assert.deepEqual(await keysOf(blobs), [])
    })

    withBlobs(
      'what is unused is removed, what was used since stays, and what is absent is no error',
      async (blobs, medium) => {
        const contents = Array.from({ length: 70 }, (_, i) => `blob ${i}`)
        const keys = await Promise.all(contents.map((content) => blobs.put(bytesOf(content))))
        const kept = [keys[3]!, keys[55]!]
        for (const key of keys.slice(0, 60)) await medium.age(key, 90_000_000)
        // Another one asks, as another coordinator would.
        const other = await medium.open()
        assert.deepEqual(await other.missing(kept), [])
        const since = Date.now() - 80_000_000
        assert.equal(await blobs.removeUnused([...keys, hash(bytesOf('absent'))], since), 58)
        assert.deepEqual(await keysOf(blobs), [...kept, ...keys.slice(60)].sort())
        assert.equal(await blobs.removeUnused(keys, since), 0)
      },
    )

    withBlobs('check finds nothing wrong with a store that works, and leaves no blob', async (blobs) => {
      assert.equal(await blobs.check?.(), undefined)
      assert.deepEqual(await keysOf(blobs), [])
    })

    withBlobs('list gives size and last use, and a put, get, has or missing is a use', async (blobs, medium) => {
      const bytes = bytesOf('used')
      const key = await blobs.put(bytes)
      const listed = async () => {
        for await (const one of blobs.list()) if (one.key === key) return one
        throw new Error('not listed')
      }
      assert.equal((await listed()).bytes, bytes.length)
      const uses = [() => blobs.put(bytes), () => blobs.get(key), () => blobs.has(key), () => blobs.missing([key])]
      for (const use of uses) {
        await medium.age(key, 90_000_000)
        assert.ok(Date.now() - (await listed()).usedAtMs > 89_000_000)
        await use()
        assert.ok(Date.now() - (await listed()).usedAtMs < 60_000)
      }
    })
  })
}
