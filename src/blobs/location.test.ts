import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { DirectoryBlobs } from './directory.ts'
import { openBlobs, parseS3Location } from './location.ts'

const credentials = { AWS_ACCESS_KEY_ID: 'id', AWS_SECRET_ACCESS_KEY: 'secret' }

function parse(location: string, environment: Record<string, string> = {}) {
  const { endpoint, ...store } = parseS3Location(location, { ...credentials, ...environment })
  return { ...store, endpoint: endpoint.href }
}

describe('a blob location', () => {
  test('is a directory, which is made', async () => {
    const parent = await mkdtemp(join(tmpdir(), 'muster-location-'))
    try {
      const blobs = await openBlobs(join(parent, 'a', 'b'), {})
      assert.ok(blobs instanceof DirectoryBlobs)
      assert.equal(await blobs.check(), undefined)
    } finally {
      await rm(parent, { recursive: true, force: true })
    }
  })

  test('is a bucket of AWS, with the region from the location or the environment', () => {
    const store = { bucket: 'tests', accessKeyId: 'id', secretAccessKey: 'secret', pathStyle: false }
    assert.deepEqual(parse('s3://tests?region=eu-west-1', { AWS_REGION: 'other' }), {
      ...store,
      prefix: '',
      region: 'eu-west-1',
      endpoint: 'https://s3.eu-west-1.amazonaws.com/',
    })
    assert.deepEqual(parse('s3://tests/a/b/', { AWS_REGION: 'eu-west-2', AWS_SESSION_TOKEN: 'token' }), {
      ...store,
      sessionToken: 'token',
      prefix: 'a/b/',
      region: 'eu-west-2',
      endpoint: 'https://s3.eu-west-2.amazonaws.com/',
    })
    assert.equal(parse('s3://with.dots').pathStyle, true)
  })

  test("is a bucket of a store of one's own, with the bucket in the path unless told otherwise", () => {
    const own = parse('s3://tests/m?endpoint=http://h:9000')
    assert.deepEqual([own.endpoint, own.pathStyle, own.region], ['http://h:9000/', true, 'us-east-1'])
    const named = { AWS_ENDPOINT_URL: 'http://general', AWS_ENDPOINT_URL_S3: 'http://s3' }
    assert.equal(parse('s3://tests', named).endpoint, 'http://s3/')
    assert.equal(parse('s3://tests?endpoint=http://h:9000&pathStyle=false', named).pathStyle, false)
  })

  test('with credentials in it is refused, and they are not repeated', () => {
    for (const location of [
      's3://id:swordfish@tests',
      's3://tests?secretAccessKey=swordfish',
      's3://tests?AWS_SESSION_TOKEN=swordfish',
      's3://tests?endpoint=http://id:swordfish@h',
    ]) {
      assert.throws(
        () => parse(location),
        (error: Error & { code?: string; hint?: string }) =>
          error.code === 'config_invalid' &&
          /holds credentials/.test(error.message) &&
          !error.message.includes('swordfish') &&
          /AWS_SECRET_ACCESS_KEY/.test(error.hint ?? ''),
      )
    }
  })

  test('that is not understood is refused with what was expected', async () => {
    for (const [location, told] of [
      ['s3://', /name of a bucket/],
      ['s3://Tests_1', /name of a bucket/],
      ['s3://host:9000/tests', /name of a bucket/],
      ['s3://tests/a b', /prefix of letters/],
      ['s3://tests?ssl=no', /'ssl'/],
      ['s3://tests?pathStyle=1', /true or false/],
      ['s3://tests?endpoint=h:9000', /https:\/\/s3.example.org:9000/],
      ['gs://tests', /expected a directory or s3:/],
      ['', /received nothing/],
    ] as const) {
      await assert.rejects(openBlobs(location, credentials), (error: Error & { code?: string }) => {
        assert.equal(error.code, 'config_invalid')
        assert.match(error.message, told)
        return true
      })
    }
    await assert.rejects(openBlobs('s3://tests', { AWS_ACCESS_KEY_ID: 'id' }), /AWS_SECRET_ACCESS_KEY is not set/)
  })
})
