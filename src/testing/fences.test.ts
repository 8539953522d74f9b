/**
 * Proves that the linter's fences stand: a file with one planted violation per line, put where
 * `core` is, must be reported on each of those lines, and on none of them elsewhere. Without this, a
 * typing error in the lint configuration would silently open the fence.
 */
import { test } from 'node:test'
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { copyFile, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'

const root = path.join(import.meta.dirname, '..', '..')

const planted = [
  "import { readFileSync } from 'node:fs'",
  "import os from 'os'",
  "export const lazy = await import('node:path')",
  'export const nowMs = Date.now()',
  'export const today = new Date()',
  'export const tick = performance.now()',
  'export const chance = Math.random()',
  'export const { random } = Math',
  'setTimeout(() => readFileSync(os.EOL), 1)',
  'setInterval(() => 0, 1)',
  'export const id = crypto.randomUUID()',
  "export const answer = await fetch('http://localhost')",
  'export const pid = process.pid',
  'export const hidden = globalThis.Date.now()',
]

async function lintedLines(folder: string): Promise<number[]> {
  const dir = await mkdtemp(path.join(os.tmpdir(), 'muster-fences-'))
  try {
    await mkdir(path.join(dir, folder), { recursive: true })
    for (const name of ['.oxlintrc.json', 'tsconfig.json']) await copyFile(path.join(root, name), path.join(dir, name))
    await symlink(path.join(root, 'node_modules'), path.join(dir, 'node_modules'))
    await writeFile(path.join(dir, folder, 'planted.ts'), planted.join('\n') + '\n')
    const run = spawnSync(path.join(root, 'node_modules', '.bin', 'oxlint'), ['-f', 'unix', folder], {
      cwd: dir,
      encoding: 'utf8',
    })
    const lines = [...run.stdout.matchAll(/planted\.ts:(\d+):.*no-restricted/g)].map((match) => Number(match[1]))
    assert.ok(run.status === (lines.length > 0 ? 1 : 0), `oxlint ended with ${run.status}: ${run.stdout}${run.stderr}`)
    return [...new Set(lines)].sort((one, other) => one - other)
  } finally {
    await rm(dir, { recursive: true, force: true })
  }
}

const allLines = planted.map((_, index) => index + 1)

test('fences: core may not touch clock, timers, randomness, I/O or node modules', async () => {
  assert.deepEqual(await lintedLines('src/core'), allLines)
})

test('fences: scheduling may not either', async () => {
  assert.deepEqual(await lintedLines('src/scheduling'), allLines)
})

test('fences: protocol, client and stdx may not import node modules or use process', async () => {
  for (const folder of ['src/protocol', 'src/client', 'src/stdx']) {
    assert.deepEqual(await lintedLines(folder), [1, 2, 3, 13], folder)
  }
})

test('fences: worker may do all of it', async () => {
  assert.deepEqual(await lintedLines('src/worker'), [])
})
