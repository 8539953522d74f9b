import assert from 'node:assert/strict'
import path from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { assertComplete, assertCrashed, collectFiles, findTest, statuses } from '../conformance/expect.ts'
import { readProject, runBatch } from '../conformance/run-batch.ts'
import { asPattern, splitNodeTestArgs } from './arguments.ts'
import { nodeTestRunner } from './runner.ts'

const suite = fileURLToPath(new URL('./fixtures/suite', import.meta.url))
const oddName = 'test/with space [x] $1.test.js'
const listed = [
  'basic.test.js',
  'empty.test.js',
  'hooks.test.js',
  'module.test.mjs',
  'rejects.test.js',
  'required.test.js',
]
  .map((name) => `test/${name}`)
  .concat(oddName)

test('node:test: lists what node --test would run, and counts what it counts', async () => {
  const run = await runBatch(nodeTestRunner, { cwd: suite })
  assert.equal(run.detection.strength, 'script')
  assert.deepEqual(run.listing.files, listed)
  assertComplete(run.events, listed)
  assert.equal(run.events.at(-1)?.type, 'end')
  assert.equal(run.exit.code, 1)
  // The framework's own reporter runs beside ours: its summary is the reference.
  const native = (what: string): number => Number(new RegExp(`^ℹ ${what} (\\d+)$`, 'm').exec(run.stdout)?.[1])
  const tests = run.events.flatMap((event) => (event.type === 'test' ? [event.test] : []))
  const ours = (...wanted: readonly string[]): number => tests.filter((one) => wanted.includes(one.status)).length
  assert.equal(tests.length, native('tests'))
  assert.equal(ours('passed'), native('pass'))
  assert.equal(ours('failed'), native('fail') + native('cancelled'))
  assert.equal(ours('skipped'), native('skipped'))
  assert.equal(ours('todo'), native('todo'))
})

test('node:test: results carry names from the outside in, lines, errors, reasons', async () => {
  const files = collectFiles((await runBatch(nodeTestRunner, { cwd: suite })).events)
  const basic = files.get('test/basic.test.js')
  const failed = findTest(basic, 'outer', 'fails')
  assert.equal(failed.line, 13)
  assert.deepEqual([failed.errors?.[0]?.expected, failed.errors?.[0]?.actual], ['{ a: 2 }', '{ a: 1 }'])
  assert.deepEqual([failed.errors?.[0]?.file, failed.errors?.[0]?.line], ['test/basic.test.js', 13])
  assert.equal(findTest(basic, 'has subtests', 'second', 'deeper').status, 'passed')
  assert.equal(findTest(basic, 'outer', 'is skipped with a reason').reason, 'not today')
  assert.equal(findTest(basic, 'outer', 'is to be done and fails').status, 'todo')
  assert.equal(basic?.tests.filter((one) => one.name.at(-1) === 'same title').length, 2)
  assert.equal(findTest(basic, 'outer', 'inner', 'ünïcödé – 日本語 🎉').status, 'passed')
  assert.deepEqual(statuses(files.get(oddName)), { 'runs in a file with an odd name': 'passed' })
  assert.deepEqual(statuses(files.get('test/required.test.js')), { 'is defined in another file': 'passed' })
  assert.deepEqual(statuses(files.get('test/empty.test.js')), { 'test/empty.test.js': 'passed' })
  assert.deepEqual(
    files.get('test/hooks.test.js')?.errors.map((error) => error.message),
    ['a failing before: no set-up for all', 'a failing after: no tear-down'],
  )
})

test('node:test: files that fail to load or end their process fail alone, by name', async () => {
  const names = ['crash', 'exit', 'fine', 'load', 'syntax'].map((name) => `broken/${name}.js`)
  const run = await runBatch(nodeTestRunner, { cwd: suite, files: names })
  assertComplete(run.events, names)
  const files = collectFiles(run.events)
  for (const name of names) if (name !== 'broken/fine.js') assertCrashed(files, name)
  assert.deepEqual(statuses(files.get('broken/fine.js')), { 'runs although its neighbour fails': 'passed' })
  assert.match(files.get('broken/load.js')?.errors[0]?.message ?? '', /TypeError: cannot load this/)
  assert.match(files.get('broken/syntax.js')?.errors[0]?.message ?? '', /SyntaxError/)
  assert.match(files.get('broken/crash.js')?.errors[0]?.message ?? '', /SIGSEGV/)
  assert.match(files.get('broken/exit.js')?.errors[0]?.message ?? '', /"exits", "is never reached"/)
})

test('node:test: a hanging file leaves the others reported', async () => {
  const files = ['broken/fine.js', 'broken/hang.js']
  let fineEnded = false
  let hangStarted = false
  const run = await runBatch(nodeTestRunner, {
    cwd: suite,
    files,
    timeoutMs: 3000,
    // Both by processes of their own, in any order.
    hangsFrom: (event) => {
      if (event.type === 'file-end' && event.file === 'broken/fine.js') fineEnded = true
      if (event.type === 'file-start' && event.file === 'broken/hang.js') hangStarted = true
      return fineEnded && hangStarted
    },
  })
  assert.ok(run.killed)
  assert.ok(fineEnded)
  assert.equal(collectFiles(run.events).get('broken/hang.js')?.ended, false)
})

test('node:test: ten megabytes of output do no harm', async () => {
  const run = await runBatch(nodeTestRunner, { cwd: suite, files: ['broken/noisy.js'] })
  assertComplete(run.events, ['broken/noisy.js'])
  assert.equal(run.exit.code, 0)
})

test('node:test: --test-only and the paths of the user reach node', async () => {
  const run = await runBatch(nodeTestRunner, { cwd: suite, paths: ['broken/only.js'], args: ['--test-only'] })
  assert.deepEqual(run.listing.files, ['broken/only.js'])
  assert.deepEqual(statuses(collectFiles(run.events).get('broken/only.js')), { 'exclusive > runs': 'passed' })
})

test('node:test: borp is read as node --test', async () => {
  const project = await readProject(suite)
  const scripts = { test: 'npm run unit', unit: "borp --no-timeout -c 1 'test/*.test.mjs'" }
  const borp = { ...project, packageJson: { scripts } }
  const detection = await nodeTestRunner.detect(borp)
  assert.match(detection?.reason ?? '', /npm script "unit": borp/)
  const request = { project: borp, detection: detection!, paths: [], args: [] }
  const listing = await nodeTestRunner.list({ ...request, signal: AbortSignal.timeout(30_000) })
  assert.deepEqual(listing.files, ['test/module.test.mjs'])
})

test('splitNodeTestArgs keeps options, and takes out what Muster decides', () => {
  const words =
    '--test --import tsx --test-reporter spec --test-reporter-destination=x --test-concurrency=3 --experimental-test-coverage --expose-gc a b/*.js'
  assert.deepEqual(splitNodeTestArgs(words.split(' ')), {
    options: ['--import', 'tsx', '--expose-gc'],
    patterns: ['a', 'b/*.js'],
    concurrency: 3,
  })
})

test('asPattern: a pattern that matches the file and nothing else', () => {
  for (const file of ['a/[id].js', 'a/{b,c}.js', 'a/(x)+(y).js', 'a b/$1.js', 'what?.js']) {
    assert.ok(path.posix.matchesGlob(file, asPattern(file)), file)
  }
})
