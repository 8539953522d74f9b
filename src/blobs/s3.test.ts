import assert from 'node:assert/strict'
import { after, before } from 'node:test'
import { testBlobs } from './conformance.ts'
import { s3Credentials, startS3Server } from './fixtures/s3-server.ts'
import type { S3Server } from './fixtures/s3-server.ts'
import { openBlobs } from './location.ts'

let server: S3Server
before(async () => {
  server = await startS3Server()
})
after(() => server[Symbol.asyncDispose]())

testBlobs('S3Blobs', async () => {
  const { bucket, location } = await server.createBucket()
  return {
    open: () => openBlobs(location, s3Credentials),
    corrupt: async (key) => {
      const answer = await server.send(`/${bucket}/blobs/${key}`, { method: 'PUT', body: 'precious!' })
      assert.equal(answer.status, 200)
    },
    age: (key, byMs) => server.age(bucket, `blobs/${key}`, byMs),
    remove: async () => {},
  }
})
