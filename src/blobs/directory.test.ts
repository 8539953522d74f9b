import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { appendFile, mkdtemp, readdir, rename, rm, stat, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'
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

const sharer = fileURLToPath(new URL('./fixtures/directory-user.ts', import.meta.url))

function startSharer(directory: string, ...args: string[]) {
  const child = spawn(process.execPath, [sharer, directory, ...args], { stdio: ['pipe', 'pipe', 'inherit'] })
  const said = text(child.stdout)
  const exited = once(child, 'exit')
  return {
    endInput: () => child.stdin.end(),
    result: async () => {
      const [code] = await exited
      assert.equal(code, 0)
      return await said
    },
  }
}

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

  test('processes that share it lose nothing that is used, while one of them collects what is not', async () => {
    const medium = await makeMedium()
    try {
      const blobs = await medium.open()
      const collectors = [startSharer(medium.directory, 'collector'), startSharer(medium.directory, 'collector')]
      const users = ['one', 'two'].map((name) => startSharer(medium.directory, 'user', name, '150'))
      // Each asserts that it finds what it put or was told is there.
      await Promise.all(users.map((user) => user.result()))
      for (const collector of collectors) collector.endInput()
      const removed = await Promise.all(collectors.map((one) => one.result()))
      // The race took place.
      assert.ok(removed.some((count) => Number(count) > 0))
      const common = Array.from({ length: 150 }, (_, round) => Buffer.from(`everybody's ${round}`))
      for (const content of common)
        assert.deepEqual(await blobs.get(createHash('sha256').update(content).digest('hex')), content)
      assert.deepEqual(await readdir(join(medium.directory, 'tmp')), [])
    } finally {
      await medium.remove()
    }
  })

  test('opening puts back what a collector that died had taken aside', async () => {
    const medium = await makeMedium()
    try {
      const key = await (await medium.open()).put(Buffer.from('nearly gone'))
      await rename(medium.path(key), join(medium.directory, 'tmp', `collected-${key}`))
      const blobs = await medium.open()
      assert.deepEqual(await blobs.get(key), Buffer.from('nearly gone'))
      assert.deepEqual(await readdir(join(medium.directory, 'tmp')), [])
    } finally {
      await medium.remove()
    }
  })

  test('check says what is wrong', async () => {
    const medium = await makeMedium()
    try {
      const blobs = await medium.open()
      await rm(medium.directory, { recursive: true })
      assert.match((await blobs.check())!, /^Cannot write to the blob directory .*ENOENT.*permissions\.$/)
    } finally {
      await medium.remove()
    }
  })

  test('a place that cannot be made or written is named', async () => {
    const medium = await makeMedium()
    try {
      await medium.open()
      await writeFile(join(medium.directory, 'file'), '')
      const place = join(medium.directory, 'file', 'blobs')
      const message = new RegExp(`^Cannot use the blob directory ${place}: ENOTDIR`)
      await assert.rejects(DirectoryBlobs.open(place), { code: 'config_invalid', message })
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
