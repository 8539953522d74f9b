import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { checkArchive } from './archive-check.ts'

test('checkArchive: what is no plain file is not waited for', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'muster-check-'))
  try {
    const pipe = join(directory, 'pipe')
    execFileSync('mkfifo', [pipe])
    for (const file of [directory, pipe]) await assert.rejects(checkArchive(file), /it is no plain file/)
    await assert.rejects(checkArchive(join(directory, 'none')), { code: 'not_found' })
  } finally {
    await rm(directory, { recursive: true })
  }
})
