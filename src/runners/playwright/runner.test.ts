import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { after, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { assertComplete, collectFiles, findTest, statuses } from '../conformance/expect.ts'
import { runBatch } from '../conformance/run-batch.ts'
import type { BatchRun } from '../conformance/run-batch.ts'
import { exactFilter, splitPlaywrightArgs } from './arguments.ts'
import { playwrightRunner } from './runner.ts'

const cwd = fileURLToPath(new URL('./fixtures/suite', import.meta.url))
const output = mkdtempSync(path.join(tmpdir(), 'muster-playwright-test-'))
after(() => rmSync(output, { recursive: true, force: true }))

const oddName = 'tests/with space [x] $1.spec.ts'
const listed = ['tests/basic.spec.ts', 'tests/login.setup.ts', 'tests/page.spec.ts', oddName]

function start(
  env: Record<string, string>,
  options: { files?: readonly string[]; cpus?: number; args?: readonly string[] } = {},
): Promise<BatchRun> {
  return runBatch(playwrightRunner, { cwd, ...options, env: { FIXTURE_OUTPUT: output, ...env }, timeoutMs: 90_000 })
}

test('playwright: a whole run: listing, names, projects, retries, series', async () => {
  const run = await start({})
  assert.equal(run.detection.strength, 'script')
  assert.deepEqual(run.listing.files, listed)
  assert.deepEqual(run.listing.tags, { 'tests/page.spec.ts': ['@browser'] })
  assertComplete(run.events, listed)
  assert.equal(run.events.at(-1)?.type, 'end')
  assert.equal(run.exit.code, 1)

  const tests = run.events.flatMap((event) => (event.type === 'test' ? [event.test] : []))
  // The framework's own `list` reporter says at the end what it counted; `did not run` and skipped are one to us.
  const native = (what: string): number => Number(new RegExp(`^\\s+(\\d+) ${what}\\b`, 'm').exec(run.stdout)?.[1] ?? 0)
  const ours = (status: string): number => tests.filter((one) => one.status === status).length
  const flaky = tests.filter((one) => one.tries?.some((each) => each.status === 'failed')).length
  assert.equal(
    tests.length,
    native('failed') + native('flaky') + native('skipped') + native('did not run') + native('passed'),
  )
  assert.equal(ours('failed'), native('failed'))
  assert.equal(flaky, native('flaky'))
  assert.equal(ours('passed') - flaky, native('passed'))

  const files = collectFiles(run.events)
  const basic = files.get('tests/basic.spec.ts')
  assert.deepEqual(new Set(basic?.tests.map((one) => one.project)), new Set(['one', 'two']))
  const failed = findTest(basic, 'outer', 'fails')
  assert.deepEqual([failed.errors?.[0]?.expected, failed.errors?.[0]?.actual, failed.errors?.[0]?.line], ['3', '2', 10])
  assert.equal(failed.line, 8)
  assert.equal(failed.output, 'words of a test\n')
  assert.equal(findTest(basic, 'outer', 'is skipped').status, 'skipped')
  assert.equal(findTest(basic, 'outer', 'is to be mended').status, 'todo')
  assert.equal(findTest(basic, 'outer', 'is expected to fail').status, 'passed')
  assert.equal(findTest(basic, 'outer', 'inner', 'ünïcödé – 日本語 🎉').status, 'passed')
  assert.equal(findTest(basic, 'outer', 'retried', 'passes the second time').tries?.[0]?.status, 'failed')
  assert.equal(findTest(basic, 'in series', 'goes first').tries?.length, 1)
  assert.equal(findTest(basic, 'broken series', 'does not run').status, 'skipped')
  assert.deepEqual(statuses(files.get('tests/page.spec.ts')), { 'drives a browser': 'passed' })
})

test('playwright: exactly the given files run, and set-up projects with them, unreported', async () => {
  const run = await start({}, { files: [oddName], cpus: 1 })
  assertComplete(run.events, [oddName])
  assert.match(run.stdout, /login\.setup\.ts/)
  assert.equal(run.exit.code, 0)
})

test('playwright: a set-up that fails fails the files that depend on it', async () => {
  const run = await start({ SETUP_FAILS: 'yes' }, { files: [oddName] })
  const file = collectFiles(run.events).get(oddName)
  assert.match(file?.errors[0]?.message ?? '', /login\.setup\.ts > signs in: .*cannot sign in/)
  assert.equal(file?.tests[0]?.reason, 'did not run')
})

test('playwright: crashes, exits, hangs, rejections and ten megabytes of output', async () => {
  const run = await start({ FOLDER: 'broken' })
  assertComplete(
    run.events,
    ['crash', 'exit', 'fine', 'hang', 'noisy', 'rejects'].map((name) => `broken/${name}.spec.ts`),
  )
  const all = Object.fromEntries(
    [...collectFiles(run.events).values()].flatMap((file) => Object.entries(statuses(file))),
  )
  assert.deepEqual(all, {
    crashes: 'failed',
    exits: 'failed',
    hangs: 'failed',
    'is reached in another process': 'passed',
    'passes first': 'passed',
    'prints ten megabytes': 'passed',
    'rejects without anybody waiting': 'failed',
    'runs although its neighbour fails': 'passed',
  })
})

test('playwright: a file that fails to load is listed, named and failed', async () => {
  const run = await start({ FOLDER: 'unloadable' })
  assert.deepEqual(run.listing.files, ['unloadable/fine.spec.ts', 'unloadable/load.spec.ts'])
  const files = collectFiles(run.events)
  assert.match(files.get('unloadable/load.spec.ts')?.errors[0]?.message ?? '', /cannot load this/)
  // Natively nothing runs; here the neighbour is left for another batch, where it passes.
  assert.equal(files.has('unloadable/fine.spec.ts'), false)
  const again = await start({ FOLDER: 'unloadable' }, { files: ['unloadable/fine.spec.ts'] })
  assert.deepEqual(statuses(collectFiles(again.events).get('unloadable/fine.spec.ts')), {
    'runs although its neighbour fails': 'passed',
  })
})

test('splitPlaywrightArgs and exactFilter', () => {
  assert.deepEqual(
    splitPlaywrightArgs(['-c', 'x.ts', '--reporter=html', '--workers=1', 'a.spec.ts', '--reporter', 'dot']),
    {
      options: ['-c', 'x.ts', '--workers=1'],
      filters: ['a.spec.ts'],
      workers: true,
    },
  )
  const [, pattern, flags] = /^\/(.*)\/([gi]*)$/.exec(exactFilter('/a/[x] (1).ts'))!
  assert.ok(new RegExp(pattern!, flags).test('/a/[x] (1).ts'))
  assert.ok(!new RegExp(pattern!, flags).test('/b/a/[x] (1).ts'))
})
