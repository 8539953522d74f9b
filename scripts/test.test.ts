/**
 * Proves that `npm test` tells the truth: it fails when a test fails, and when every test passes but
 * a process is left behind, even one that has detached itself.
 */
import { test } from 'node:test'
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'

const script = path.join(import.meta.dirname, 'test.ts')

async function runOn(source: (dir: string) => string): Promise<{ code: number | null; output: string; note: string }> {
  const dir = await mkdtemp(path.join(os.tmpdir(), 'muster-test-script-'))
  try {
    const file = path.join(dir, 'planted.test.ts')
    await writeFile(path.join(dir, 'note'), '')
    await writeFile(file, source(dir))
    const env = { ...process.env }
    // Node refuses to run tests inside tests while this is set.
    delete env.NODE_TEST_CONTEXT
    const run = spawnSync(process.execPath, [script, file], { encoding: 'utf8', env, timeout: 60_000 })
    return { code: run.status, output: run.stdout + run.stderr, note: await readFile(path.join(dir, 'note'), 'utf8') }
  } finally {
    await rm(dir, { recursive: true, force: true })
  }
}

/** Empty when the process is dead; it may stay in the process table until its parent asks. */
async function commandLine(pid: string): Promise<string> {
  try {
    return await readFile(`/proc/${pid}/cmdline`, 'latin1')
  } catch (error) {
    assert.match((error as NodeJS.ErrnoException).code ?? '', /^(ENOENT|ESRCH)$/)
    return ''
  }
}

test('npm test: passes when tests pass and nothing is left', async () => {
  const { code, output } = await runOn(() => "import { test } from 'node:test'\ntest('fine', () => {})\n")
  assert.equal(code, 0, output)
  assert.match(output, /pass 1/)
})

test('npm test: fails when a test fails', async () => {
  const { code, output } = await runOn(
    () => "import { test } from 'node:test'\ntest('broken', () => { throw new Error('no') })\n",
  )
  assert.equal(code, 1, output)
  assert.match(output, /fail 1/)
})

test('npm test: fails, names it and ends it when a process is left running', async () => {
  const { code, output, note } = await runOn((dir) =>
    [
      "import { test } from 'node:test'",
      "import { spawn } from 'node:child_process'",
      "import { writeFileSync } from 'node:fs'",
      "test('leaves a process', () => {",
      "  const child = spawn('sleep', ['300'], { detached: true, stdio: 'ignore' })",
      '  child.unref()',
      `  writeFileSync(${JSON.stringify(path.join(dir, 'note'))}, String(child.pid))`,
      '})',
    ].join('\n'),
  )
  assert.equal(code, 1, output)
  assert.match(output, new RegExp(`left running: ${note} sleep 300`))
  assert.equal(await commandLine(note), '', 'it has been ended')
})
