import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { appendFile, mkdtemp, readdir, rm, stat, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { testBlobs } from './conformance.ts'
import { DirectoryBlobs } from './directory.ts'

async function makeMedium() {
  const parent = await mkdtemp(join(tmpdir(), 'muster-blobs-'))
  const directory = join(parent, 'blobs')
  const path = (key: string) => join(directory, key.slice(0, 2), key)
  return {
    directory,
    path,
    open: () => DirectoryBlobs.open(directory),
    corrupt: (key: string) => appendFile(path(key), '!'),
    age: async (key: string, byMs: number) => {
      const at = (Date.now() - byMs) / 1000
      await utimes(path(key), at, at)
    },
    remove: () => rm(parent, { recursive: true, force: true }),
  }
}

testBlobs('DirectoryBlobs', makeMedium)

describe('DirectoryBlobs', () => {
  test('is private to its user, and leaves nothing aside', async () => {
    const medium = await makeMedium()
    try {
      const blobs = await medium.open()
      const key = await blobs.put(new Uint8Array([1, 2, 3]))
      assert.equal((await stat(medium.directory)).mode & 0o777, 0o700)
      assert.equal((await stat(join(medium.directory, key.slice(0, 2)))).mode & 0o777, 0o700)
      assert.equal((await stat(medium.path(key))).mode & 0o777, 0o600)
      assert.deepEqual(await readdir(join(medium.directory, 'tmp')), [])
    } finally {
      await medium.remove()
    }
  })

  test('opening removes what an interrupted put left long ago, and lists no strangers', async () => {
    const medium = await makeMedium()
    try {
      await medium.open()
      const old = join(medium.directory, 'tmp', 'old')
      await writeFile(old, 'half')
      await writeFile(join(medium.directory, 'tmp', 'young'), 'half')
      await utimes(old, 1000, 1000)
      await writeFile(join(medium.directory, 'ab', 'README'), 'not a blob')
      const blobs = await medium.open()
      assert.deepEqual(await readdir(join(medium.directory, 'tmp')), ['young'])
      for await (const one of blobs.list()) assert.fail(`listed ${one.key}`)
    } finally {
      await medium.remove()
    }
  })

  test('a failing disk is an error with a code, and leaves the key absent', async () => {
    const medium = await makeMedium()
    try {
      const blobs = await medium.open()
      const bytes = new TextEncoder().encode('nowhere to go')
      const key = createHash('sha256').update(bytes).digest('hex')
      await rm(join(medium.directory, 'tmp'), { recursive: true })
      await assert.rejects(blobs.put(bytes), { code: 'unavailable' })
      assert.equal(await blobs.has(key), false)
    } finally {
      await medium.remove()
    }
  })
})
