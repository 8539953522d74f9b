import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import path from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { assertComplete, assertCrashed, collectFiles, findTest, runErrors, statuses } from '../conformance/expect.ts'
import { readProject, runBatch } from '../conformance/run-batch.ts'
import { mochaRunner } from './runner.ts'

const fixtures = fileURLToPath(new URL('./fixtures/', import.meta.url))
const suite = path.join(fixtures, 'suite')

const oddName = 'test/with space [x] $1.test.js'
const listed = [
  'test/basic.test.js',
  'test/empty.test.js',
  'test/hooks.test.js',
  'test/module.test.mjs',
  'test/more/required.js',
  'test/rejects.test.js',
  oddName,
]

function broken(...names: readonly string[]): string[] {
  return names.map((name) => `test/broken/${name}.js`)
}

test('mocha: the npm script and the configuration decide what is listed and how it is started', async () => {
  const run = await runBatch(mochaRunner, { cwd: suite })
  assert.equal(run.detection.strength, 'script')
  assert.match(run.detection.reason, /npm script "test": mocha --require test\/support\.cjs/)
  assert.deepEqual(run.listing.files, listed)
  assert.equal(run.listing.serial, true)
  assert.ok(run.listing.dependsOn?.includes(path.join(suite, '.mocharc.yml')))
  assertComplete(run.events, listed)
  assert.equal(run.events.at(-1)?.type, 'end')
  assert.equal(run.exit.code, 4)
})

test('mocha: names and states are those of the native run', async () => {
  const run = await runBatch(mochaRunner, { cwd: suite })
  const native = await nativeTests()
  const ours = run.events.flatMap((event) =>
    event.type === 'test' ? [`${event.test.file}|${event.test.name.join(' ')}|${event.test.status}`] : [],
  )
  assert.deepEqual(ours.toSorted(), native.toSorted())
})

test('mocha: results carry errors, differences, retries and failed hooks', async () => {
  const files = collectFiles((await runBatch(mochaRunner, { cwd: suite })).events)
  const basic = files.get('test/basic.test.js')
  const failed = findTest(basic, 'outer', 'fails')
  assert.equal(failed.errors?.[0]?.type, 'AssertionError')
  assert.equal(failed.errors[0].expected, '{\n  "a": 2\n}')
  assert.equal(failed.errors[0].actual, '{\n  "a": 1\n}')
  assert.deepEqual([failed.errors[0].file, failed.errors[0].line], ['test/basic.test.js', 7])
  assert.deepEqual(
    findTest(basic, 'outer', 'passes the third time').tries?.map((one) => one.errors?.[0]?.message),
    ['try 1', 'try 2'],
  )
  assert.equal(basic?.tests.filter((one) => one.name.at(-1) === 'same title').length, 2)
  assert.equal(findTest(basic, 'outer', 'inner', 'ünïcödé – 日本語 🎉').status, 'passed')
  assert.equal(findTest(files.get(oddName), 'runs in a file with an odd name').status, 'passed')
  assert.equal(findTest(files.get('test/more/required.js'), 'shared', 'is defined in another file').status, 'passed')
  assert.deepEqual(
    files.get('test/hooks.test.js')?.errors.map((error) => error.message),
    ['"before each" hook: sets for "is never run": no set-up', '"after all" hook for "passes before it": no tear-down'],
  )
  assert.deepEqual(files.get('test/empty.test.js')?.errors, [])
})

test('mocha: a file that fails to load fails alone', async () => {
  const run = await runBatch(mochaRunner, { cwd: suite, files: broken('load', 'syntax', 'after-load') })
  const files = collectFiles(run.events)
  assert.equal(files.get('test/broken/load.js')?.errors[0]?.message, 'cannot load this')
  assert.deepEqual(files.get('test/broken/load.js')?.tests, [])
  assert.equal(files.get('test/broken/syntax.js')?.errors[0]?.type, 'SyntaxError')
  assert.deepEqual(statuses(files.get('test/broken/after-load.js')), {
    'runs although its neighbour fails to load': 'passed',
  })
  assert.equal(run.exit.code, 2)
})

for (const name of ['exit', 'exit-at-load', 'crash', 'dry']) {
  test(`mocha: a file that ends the process is never passed (${name})`, async () => {
    const run = await runBatch(mochaRunner, {
      cwd: suite,
      files: broken(name),
      ...(name === 'dry' ? { timeoutMs: 3000, hangsFrom: (event) => event.type === 'file-start' } : {}),
    })
    assertCrashed(collectFiles(run.events), `test/broken/${name}.js`)
  })
}

test('mocha: what was reported before a hang stays reported', async () => {
  const run = await runBatch(mochaRunner, {
    cwd: suite,
    files: broken('hang'),
    timeoutMs: 3000,
    hangsFrom: (event) => event.type === 'test',
  })
  assert.ok(run.killed)
  const file = collectFiles(run.events).get('test/broken/hang.js')
  assert.deepEqual(statuses(file), { 'passes first': 'passed' })
  assert.equal(file?.ended, false)
})

test('mocha: ten megabytes of output do no harm', async () => {
  const run = await runBatch(mochaRunner, { cwd: suite, files: broken('noisy') })
  assertComplete(run.events, broken('noisy'))
  assert.ok(run.stdout.length > 10 * 1024 * 1024)
})

test('mocha: a root hook that fails fails every file that it kept from running', async () => {
  const run = await runBatch(mochaRunner, { cwd: suite, files: broken('root-hook', 'after-load') })
  const files = collectFiles(run.events)
  for (const name of broken('root-hook', 'after-load'))
    assert.match(files.get(name)?.errors[0]?.message ?? '', /root set-up failed/)
  assert.deepEqual(runErrors(run.events), [])
})

test('mocha: --bail leaves the files after the failure skipped, not lost', async () => {
  const run = await runBatch(mochaRunner, { cwd: suite, args: ['--bail'] })
  assertComplete(run.events, listed)
  assert.ok(collectFiles(run.events).get('test/rejects.test.js')?.skipped)
})

test('mocha: .only is kept within the process', async () => {
  const files = collectFiles((await runBatch(mochaRunner, { cwd: suite, files: broken('only', 'after-load') })).events)
  assert.deepEqual(statuses(files.get('test/broken/only.js')), { 'exclusive > runs': 'passed' })
  assert.deepEqual(statuses(files.get('test/broken/after-load.js')), {})
})

test('mocha: paths narrow the listing, and add nothing of the configuration', async () => {
  const run = await runBatch(mochaRunner, { cwd: suite, paths: ['test/more', 'test/module*.mjs'] })
  assert.deepEqual(run.listing.files, ['test/module.test.mjs', 'test/more/required.js'])
  assertComplete(run.events, run.listing.files)
})

test('mocha: the workers of --parallel report too', async () => {
  const cwd = path.join(fixtures, 'parallel')
  const run = await runBatch(mochaRunner, { cwd })
  assert.equal(run.listing.serial, false)
  const expected = ['exit', 'load', 'one', 'three', 'two'].map((name) => `test/${name}.js`)
  assertComplete(run.events, expected)
  const files = collectFiles(run.events)
  assert.deepEqual(statuses(files.get('test/two.js')), { 'two > passes': 'passed', 'two > fails': 'failed' })
  assert.equal(files.get('test/load.js')?.errors[0]?.message, 'cannot load this')
  assertCrashed(files, 'test/exit.js')
})

test('mocha: --parallel keeps to the granted CPUs', async () => {
  const run = await runBatch(mochaRunner, {
    cwd: path.join(fixtures, 'parallel'),
    files: ['test/one.js', 'test/two.js'],
    cpus: 1,
  })
  assertComplete(run.events, ['test/one.js', 'test/two.js'])
  const order = run.events.flatMap((event) =>
    event.type === 'file-start' || event.type === 'file-end' ? [event.type] : [],
  )
  assert.deepEqual(order, ['file-start', 'file-end', 'file-start', 'file-end'])
})

test('mocha: a --file prelude is loaded in every batch and its tests run in one; --delay and Node flags work', async () => {
  const cwd = path.join(fixtures, 'prelude')
  const whole = await runBatch(mochaRunner, { cwd })
  assertComplete(whole.events, ['test/first.js', 'test/second.js', 'test/third.js'])
  const part = await runBatch(mochaRunner, { cwd, files: ['test/third.js'] })
  assertComplete(part.events, ['test/third.js'])
  assert.equal(part.exit.code, 0)
})

test('mocha: says what is missing', async () => {
  const project = await readProject(suite)
  const nowhere = await mochaRunner.detect({ ...project, cwd: '/' })
  assert.match(nowhere?.problem ?? '', /not installed/)
  assert.equal(await mochaRunner.detect({ ...project, packageJson: undefined, entries: new Set() }), undefined)
})

/** `file|full title|status` by mocha's own JSON reporter. */
async function nativeTests(): Promise<string[]> {
  type NativeTest = { file: string; fullTitle: string }
  const entry = fileURLToPath(new URL('../../../node_modules/mocha/bin/mocha.js', import.meta.url))
  const argv = [entry, '--require', 'test/support.cjs', '--reporter', 'json', 'test/*.test.{js,mjs}', 'test/more']
  const text = await new Promise<string>((resolve) => {
    // It fails, as it should: only what it prints counts.
    execFile('node', argv, { cwd: suite, env: { ...process.env, FIXTURE: 'yes' } }, (_error, stdout) => resolve(stdout))
  })
  const native = JSON.parse(text) as Record<'tests' | 'passes' | 'failures' | 'pending', NativeTest[]>
  const lines = (tests: readonly NativeTest[], status: string): string[] =>
    tests.map((one) => `${path.relative(suite, one.file)}|${one.fullTitle}|${status}`)
  const failures = native.failures.filter((one) => native.tests.some((other) => other.fullTitle === one.fullTitle))
  return [...lines(native.passes, 'passed'), ...lines(failures, 'failed'), ...lines(native.pending, 'skipped')]
}
