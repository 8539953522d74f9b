import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { after, before, describe, test } from 'node:test'
import { isMusterError } from '../protocol/errors.ts'
import { FaultyFront, pass, slowDown } from './fixtures/faulty-front.ts'
import type { Fault } from './fixtures/faulty-front.ts'
import { s3Credentials, startS3Server } from './fixtures/s3-server.ts'
import type { S3Server } from './fixtures/s3-server.ts'
import { parseS3Location } from './location.ts'
import { S3Blobs } from './s3.ts'
import type { S3BlobsOptions } from './s3.ts'

let server: S3Server
before(async () => {
  server = await startS3Server()
})
after(() => server[Symbol.asyncDispose]())

const partBytes = 5 * 1024 * 1024
const text = (value: string) => Buffer.from(value)
const hash = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex')

async function* inChunks(bytes: Uint8Array, size = 300_000): AsyncIterable<Uint8Array> {
  for (let from = 0; from < bytes.length; from += size) yield bytes.subarray(from, from + size)
}

/** Yields the faults one after the other to the requests that match, then lets everything pass. */
function faults(list: readonly Fault[], matches: RegExp = /./) {
  const left = [...list]
  return ({ method, url }: { method: string; url: string }) =>
    matches.test(`${method} ${url}`) ? (left.shift() ?? pass) : pass
}

async function withStore(
  body: (parts: {
    blobs: S3Blobs
    front: FaultyFront
    bucket: string
    open: (environment?: Record<string, string>, options?: Partial<S3BlobsOptions>) => S3Blobs
    object: (key: string) => string
  }) => Promise<void>,
): Promise<void> {
  await using front = await FaultyFront.start(server.endpoint)
  const { bucket, location } = await server.createBucket(front.endpoint)
  const open = (environment: Record<string, string> = {}, options: Partial<S3BlobsOptions> = {}) =>
    new S3Blobs(parseS3Location(location, { ...s3Credentials, ...environment }), {
      pauseMs: 20,
      timeoutMs: 20_000,
      partBytes,
      ...options,
    })
  await body({ blobs: open(), front, bucket, open, object: (key) => `/${bucket}/blobs/${key}` })
}

/** The whole of what a person is told. */
async function failure(action: Promise<unknown>): Promise<{ code: string; told: string }> {
  try {
    await action
  } catch (error) {
    assert.ok(isMusterError(error), `not a MusterError: ${String(error)}`)
    return { code: error.code, told: `${error.message} | ${error.hint}` }
  }
  throw new assert.AssertionError({ message: 'it succeeded' })
}

describe('S3Blobs rides out', () => {
  test('a store that is away for a moment', () =>
    withStore(async ({ open, front }) => {
      const blobs = open({}, { attempts: 10, pauseMs: 100 })
      const key = await blobs.put(text('before'))
      await front.away()
      const reading = blobs.get(key)
      const writing = blobs.put(text('meanwhile'))
      const asked = blobs.missing([key, hash(text('meanwhile')), hash(text('never'))])
      await new Promise((resolve) => setTimeout(resolve, 150))
      await front.back()
      assert.deepEqual(await reading, text('before'))
      await writing
      assert.ok((await asked).includes(hash(text('never'))))
      assert.deepEqual(await blobs.get(hash(text('meanwhile'))), text('meanwhile'))
    }))

  test('503 SlowDown and 500, with the pause that the store asks for', () =>
    withStore(async ({ blobs, front }) => {
      front.decide = faults([slowDown, { type: 'answer', status: 500, body: 'oops' }, slowDown])
      const key = await blobs.put(text('eventually'))
      front.decide = faults([{ ...slowDown, headers: { 'retry-after': '1' } } as Fault])
      const from = performance.now()
      assert.equal(await blobs.has(key), true)
      assert.ok(performance.now() - from > 990)
    }))

  test('a body that is cut in the middle', () =>
    withStore(async ({ blobs, front }) => {
      const bytes = new Uint8Array(500_000).map((_, i) => i % 251)
      const key = await blobs.put(bytes)
      front.decide = faults(
        [
          { type: 'cut', bytes: 100_000 },
          { type: 'cut', bytes: 0 },
        ],
        /^GET/,
      )
      assert.ok(Buffer.from((await blobs.get(key))!).equals(bytes))
    }))

  test('content damaged on the way, which is not dropped', () =>
    withStore(async ({ blobs, front }) => {
      const key = await blobs.put(text('fine where it lies'))
      front.decide = faults([{ type: 'damage' }], /^GET/)
      assert.deepEqual(await blobs.get(key), text('fine where it lies'))
      assert.ok(!front.seen.some((one) => one.startsWith('DELETE')))
    }))

  test('a lost answer to each kind of change', () =>
    withStore(async ({ blobs, front }) => {
      front.decide = faults([{ type: 'loseAnswer' }])
      const key = await blobs.put(text('twice'))
      front.decide = faults([{ type: 'loseAnswer' }])
      assert.equal(await blobs.removeUnused([key], Date.now() + 60_000), 1)
      assert.equal(await blobs.has(key), false)
      front.decide = faults([{ type: 'loseAnswer' }], /^DELETE/)
      await blobs.remove(key)
    }))

  test('an answer that never comes', () =>
    withStore(async ({ open, front }) => {
      const blobs = open({}, { timeoutMs: 2000 })
      const key = await blobs.put(text('patience'))
      front.decide = faults([{ type: 'hang' }], /^GET/)
      assert.deepEqual(await blobs.get(key), text('patience'))
    }))
})

describe('S3Blobs renews what is used', () => {
  test('by a copy; one that is collected at that moment is absent', () =>
    withStore(async ({ blobs, front, bucket }) => {
      const key = await blobs.put(text('long ago'))
      const copied = () => front.seen.filter((one) => one.startsWith('PUT')).length - 1
      assert.equal(await blobs.has(key), true)
      assert.equal(copied(), 0)
      await server.age(bucket, `blobs/${key}`, 90_000_000)
      const refusal = (status: number, code: string): Fault => {
        return { type: 'answer', status, body: `<?xml version="1.0"?><Error><Code>${code}</Code></Error>` }
      }
      front.decide = faults([refusal(200, 'InternalError'), refusal(404, 'NoSuchKey')], /^PUT/)
      assert.equal(await blobs.has(key), false)
      assert.equal(copied(), 2)
      assert.equal(await blobs.has(key), true)
      assert.equal(await blobs.has(key), true)
      assert.equal(copied(), 3)
    }))
})

describe('S3Blobs sends long streams in parts', () => {
  const bytes = new Uint8Array(2 * partBytes + 1000).map((_, i) => i % 241)
  const key = hash(bytes)

  test('each repeated when it fails, and the end too', () =>
    withStore(async ({ blobs, front }) => {
      const left: Record<string, Fault[]> = { part: [slowDown, { type: 'loseAnswer' }], end: [{ type: 'loseAnswer' }] }
      front.decide = ({ method, url }) => {
        const kind = url.includes('partNumber=') ? 'part' : method === 'POST' && url.includes('uploadId=') ? 'end' : ''
        return left[kind]?.shift() ?? pass
      }
      await blobs.putStream(key, inChunks(bytes), bytes.length)
      assert.deepEqual(left, { part: [], end: [] })
      assert.ok(Buffer.from((await blobs.get(key))!).equals(bytes))
      const sent = front.seen.length
      await blobs.putStream(key, inChunks(bytes), bytes.length)
      assert.ok(
        front.seen.slice(sent).every((one) => one.startsWith('HEAD')),
        'what is there is not sent again',
      )
    }))

  test('and leaves nothing when the content is another, too much, or breaks off', () =>
    withStore(async ({ blobs, bucket }) => {
      async function* broken(): AsyncIterable<Uint8Array> {
        yield* inChunks(bytes)
        throw new Error('connection lost')
      }
      const other = hash(text('something else'))
      assert.match((await failure(blobs.putStream(other, inChunks(bytes), bytes.length))).told, /SHA-256/)
      assert.match((await failure(blobs.putStream(key, inChunks(bytes), bytes.length - 1))).told, /at most/)
      await assert.rejects(blobs.putStream(key, broken(), bytes.length + 1), /connection lost/)
      for await (const one of blobs.list()) assert.fail(`listed ${one.key}`)
      const uploads = await (await server.send(`/${bucket}?uploads`)).text()
      assert.doesNotMatch(uploads, /<UploadId>/)
    }))

  test('and a whole blob that is longer than a few parts', () =>
    withStore(async ({ blobs }) => {
      const long = new Uint8Array(4 * partBytes + 5).map((_, i) => i % 239)
      assert.ok(Buffer.from((await blobs.get(await blobs.put(long)))!).equals(long))
    }))
})

describe('S3Blobs says what is wrong and what to do', () => {
  test('wrong credentials', () =>
    withStore(async ({ open }) => {
      const wrong: Record<string, string>[] = [
        { AWS_SECRET_ACCESS_KEY: 'wrong' },
        { AWS_ACCESS_KEY_ID: 'muster:nobody' },
      ]
      for (const environment of wrong) {
        const blobs = open(environment)
        const key = hash(text('x'))
        const actions = [
          () => blobs.put(text('x')),
          () => blobs.get(key),
          () => blobs.has(key),
          () => blobs.missing([key]),
        ]
        for (const action of actions) {
          const { code, told } = await failure(action())
          assert.equal(code, 'unavailable')
          assert.match(told, /refuses the credentials|does not allow/)
          assert.doesNotMatch(told, /swordfish|wrong/)
        }
        assert.match((await blobs.check())!, /credentials|does not allow/)
      }
    }))

  test('no bucket', () =>
    withStore(async ({ bucket, blobs }) => {
      assert.equal((await server.send(`/${bucket}`, { method: 'DELETE' })).status, 204)
      const { told } = await failure(blobs.put(text('x')))
      assert.equal(
        told,
        `Cannot use the blob store s3://${bucket}/blobs: there is no bucket '${bucket}' | Create it, or correct the location.`,
      )
      assert.match((await failure(blobs.get(hash(text('x'))))).told, /there is no bucket/)
      assert.match((await blobs.check())!, /there is no bucket .*Create it/)
      await assert.rejects(async () => {
        for await (const one of blobs.list()) assert.fail(one.key)
      }, /there is no bucket/)
    }))

  test('nobody there, and nobody who answers', () =>
    withStore(async ({ open, front }) => {
      front.decide = () => ({ type: 'hang' })
      const hasty = open({}, { attempts: 2, timeoutMs: 100 })
      assert.match((await failure(hasty.get(hash(text('x'))))).told, /tried 2 times: no answer within 100 ms/)
      await front.away()
      // Even to be refused takes a moment.
      const patient = open({}, { attempts: 2 })
      const { code, told } = await failure(patient.put(text('x')))
      assert.equal(code, 'unavailable')
      assert.match(told, /^Cannot reach the blob store s3:.* at 127.0.0.1:\d+, tried 2 times: .*ECONNREFUSED.*network/)
      assert.match((await patient.check())!, /ECONNREFUSED/)
    }))

  test('asked too often, full, in another region, and no S3 at all', () =>
    withStore(async ({ open, front }) => {
      const blobs = open({}, { attempts: 3 })
      const told = async (fault: Fault) => {
        front.decide = () => fault
        return await failure(blobs.put(text('x')))
      }
      const refusal = (status: number, code: string, headers: Record<string, string> = {}): Fault => {
        return { type: 'answer', status, headers, body: `<Error><Code>${code}</Code><Message>m</Message></Error>` }
      }
      assert.match((await told(slowDown)).told, /less often, still after 3 attempts \(SlowDown/)
      assert.equal((await told(refusal(507, 'XMinioStorageFull'))).code, 'disk_full')
      const moved = refusal(301, 'PermanentRedirect', { 'x-amz-bucket-region': 'eu-west-1' })
      assert.match((await told(moved)).told, /in the region eu-west-1, not us-east-1.*Set region=/)
      assert.match((await told(refusal(403, 'RequestTimeTooSkewed'))).told, /clock/)
      const page: Fault = { type: 'answer', status: 404, body: '<html><p>not here</html>' }
      assert.match((await told(page)).told, /refuses \(status 404\) \| Check the location/)
      front.decide = () => ({ type: 'answer', status: 200, body: '<html></html>' })
      await assert.rejects(async () => {
        for await (const one of blobs.list()) assert.fail(one.key)
      }, /its answer to a list is not S3's/)
    }))
})

describe('S3Blobs keeps many', () => {
  test('asks for thousands with a bounded number of requests at once, and lists them in pages', () =>
    withStore(async ({ blobs, front, object }) => {
      const keys = Array.from({ length: 1000 }, (_, i) => hash(text(`absent ${i}`)))
      const there = await blobs.put(text('there'))
      front.decide = ({ url }) =>
        url === object(there) ? pass : { type: 'answer', status: 404, body: '', afterMs: 50 }
      assert.deepEqual(await blobs.missing([...keys, there]), keys)
      assert.equal(front.mostAtOnce, 64)
      const page = (token: string) => `<ListBucketResult><IsTruncated>${token !== ''}</IsTruncated>
        ${token === '' ? '' : `<NextContinuationToken>${token}</NextContinuationToken>`}
        <Contents><Key>blobs/${hash(text(token))}</Key><LastModified>2026-11-22T09:42:34.000Z</LastModified><Size>7</Size></Contents>
        <Contents><Key>blobs/README</Key><LastModified>2026-11-22T09:42:34.000Z</LastModified><Size>1</Size></Contents>
        </ListBucketResult>`
      front.decide = ({ url }) => ({
        type: 'answer',
        status: 200,
        body: page(url.includes('continuation-token=b') ? '' : url.includes('continuation-token=a') ? 'b' : 'a'),
      })
      const listed: string[] = []
      for await (const one of blobs.list()) {
        assert.deepEqual(one, { key: one.key, bytes: 7, usedAtMs: Date.parse('2026-11-22T09:42:34Z') })
        listed.push(one.key)
      }
      assert.deepEqual(
        listed,
        ['a', 'b', ''].map((token) => hash(text(token))),
      )
    }))
})
