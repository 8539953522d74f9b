/** The Jest runner against the Jest that is installed here, on small real projects. */
import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { cp, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { before, describe, test } from 'node:test'
import { MusterError } from '../../protocol/errors.ts'
import { assertComplete, assertCrashed, collectFiles, findTest, runErrors, statuses } from '../conformance/expect.ts'
import type { FileReport } from '../conformance/expect.ts'
import { readProject, runBatch } from '../conformance/run-batch.ts'
import type { BatchRun } from '../conformance/run-batch.ts'
import { jestRunner } from './runner.ts'

const fixture = (name: string): string => path.join(import.meta.dirname, 'fixtures', name)
const basic = fixture('basic')
const odd = 'test/a b [c] $d (e).test.js'

describe('jest, a whole suite in which everything goes wrong', () => {
  let run: BatchRun
  let files: Map<string, FileReport>
  const file = (name: string): FileReport => files.get(`test/${name}.test.js`)!

  before(async () => {
    run = await runBatch(jestRunner, { cwd: basic, env: { CI: '' } })
    files = collectFiles(run.events)
  })

  test('every listed file is started and ended, and the framework fails', () => {
    assert.equal(run.killed, false)
    assert.equal(run.exit.code, 1)
    assertComplete(run.events, run.listing.files)
    assert.equal(run.events.at(-1)?.type, 'end')
  })

  test('the listing rests on the configuration and what it imports', () => {
    const dependsOn = run.listing.dependsOn?.map((one) => path.relative(basic, one)) ?? []
    for (const name of ['package.json', 'jest.config.js', 'limits.js']) assert.ok(dependsOn.includes(name), name)
  })

  test('statuses, nesting, parameters and unicode', () => {
    const { 'has a name twice': _twice, ...once } = statuses(file('statuses'))
    assert.deepEqual(once, {
      'outer > passes': 'passed',
      'outer > inner > fails': 'failed',
      'outer > inner > is skipped': 'skipped',
      'outer > inner > is to be done': 'todo',
      'adds 1 and 2': 'passed',
      'adds 2 and 2': 'passed',
      'with a broken hook > can not run': 'failed',
      'ünïcödé ✓ 日本語 🎉': 'passed',
    })
    assert.equal(file('statuses').tests.filter((one) => one.name.join() === 'has a name twice').length, 2)
    assert.deepEqual(statuses(file('only')), { 'is left out': 'skipped', 'is the only one': 'passed' })
  })

  test('a failure has message, values, place and stack', () => {
    const [error] = findTest(file('statuses'), 'outer', 'inner', 'fails').errors ?? []
    assert.match(error?.message ?? '', /toEqual/)
    assert.equal(error?.type, 'AssertionError')
    assert.match(error?.expected ?? '', /3/)
    assert.match(error?.actual ?? '', /2/)
    assert.equal(error?.file, 'test/statuses.test.js')
    assert.equal(error?.line, 7)
    assert.match(error?.stack ?? '', /statuses\.test\.js:7/)
  })

  test('tries and broken hooks', () => {
    const retried = findTest(file('retries'), 'passes at the third try')
    assert.deepEqual(
      retried.tries?.map((one) => one.status),
      ['failed', 'failed'],
    )
    assert.match(retried.tries?.[1]?.errors?.[0]?.message ?? '', /Received: 2/)
    assert.equal(
      findTest(file('statuses'), 'with a broken hook', 'can not run').errors?.[0]?.message,
      'the hook is broken',
    )
  })

  test('a file that fails to load, and one without tests', () => {
    assert.match(file('load-error').errors[0]?.message ?? '', /does-not-exist/)
    assert.match(file('no-tests').errors[0]?.message ?? '', /must contain at least one test/)
  })

  test('a test that hangs', () => {
    assert.equal(statuses(file('hang'))['never ends'], 'failed')
    assert.ok(file('hang').durationMs >= 1500)
  })

  test('a crash and an end of the process are errors of their files alone', () => {
    assertCrashed(files, 'test/crash.test.js')
    assertCrashed(files, 'test/exit.test.js')
    assert.match(file('crash').errors[0]?.message ?? '', /SIGSEGV/)
    assert.deepEqual(runErrors(run.events), [])
  })

  test('a file name with spaces, brackets and a dollar sign', () => {
    assert.equal(findTest(files.get(odd), 'runs in a file with an odd name').status, 'passed')
  })
})

describe('jest, chosen files', () => {
  test('exactly the given files run, none that only looks alike', async () => {
    const files = ['test/a.test.js', odd]
    const run = await runBatch(jestRunner, { cwd: basic, files })
    assertComplete(run.events, files)
    assert.equal(run.exit.code, 0)
  })

  test('huge output comes through, and what the console says', async () => {
    // Not in the run above: jest drops what a worker printed when a later file of that worker crashes.
    const files = ['test/output.test.js', 'test/a.test.js']
    // Half a second after its last test jest ends a worker, with what it still has to write: the test waits until it is taken.
    const run = await runBatch(jestRunner, { cwd: basic, files, env: { FIXTURE_WAITS: '1' } })
    assert.ok(run.stdout.length >= 10 * 1024 * 1024, String(run.stdout.length))
    assert.match(run.stdout, /console\.log\n    yyyy/)
  })

  test('a batch whose names do not fit on a command line', async () => {
    const cwd = await mkdtemp(path.join(tmpdir(), 'muster-jest-many-'))
    try {
      await cp(path.join(basic, 'jest.config.js'), path.join(cwd, 'jest.config.js'))
      await cp(path.join(basic, 'limits.js'), path.join(cwd, 'limits.js'))
      await writeFile(path.join(cwd, 'package.json'), '{}')
      await symlink(path.resolve(import.meta.dirname, '../../../node_modules'), path.join(cwd, 'node_modules'))
      const folder = Array.from({ length: 3 }, () => 'long'.repeat(60)).join('/')
      await mkdir(path.join(cwd, folder), { recursive: true })
      const files = Array.from({ length: 3000 }, (_, at) => `${folder}/${at}.test.js`)
      assert.ok(files.join(' ').length > 2 * 1024 * 1024)
      for (const file of files) writeFileSync(path.join(cwd, file), 'test("runs", () => {})')
      // Bail at the first failure: what is proved is that jest gets them all, not that it can run them all.
      writeFileSync(path.join(cwd, files[0]!), 'test("fails", () => { throw new Error("x") })'.padEnd(10_000))
      const run = await runBatch(jestRunner, { cwd, files, args: ['--bail'], timeoutMs: 120_000 })
      assert.equal(run.listing.files.length, 3000)
      assert.equal(run.exit.code, 1)
      assert.equal(collectFiles(run.events).get(files[0]!)?.tests[0]?.status, 'failed')
    } finally {
      await rm(cwd, { recursive: true, force: true })
    }
  })

  test('paths and patterns of names of the user', async () => {
    const named = await runBatch(jestRunner, { cwd: basic, paths: ['test/statuses'], args: ['-t', 'adds 1'] })
    assert.deepEqual(named.listing.files, ['test/statuses.test.js'])
    assert.deepEqual(statusesOf(named, 'passed'), ['adds 1 and 2'])
  })

  test('a file in two projects starts once, ends once and has the tests of both', async () => {
    // Also: the script's environment and its --config count, its --coverage doesn't.
    const run = await runBatch(jestRunner, { cwd: fixture('projects') })
    assert.equal(run.detection.reason, 'npm script "unit"')
    assertComplete(run.events, ['shared/shared.test.js', 'unit/unit.test.js'])
    const shared = collectFiles(run.events).get('shared/shared.test.js')!
    const found = shared.tests.map((one) => `${one.project}: ${one.status}`).toSorted()
    assert.deepEqual(found, ['first: passed', 'second: failed'])
    const one = await runBatch(jestRunner, { cwd: fixture('projects'), args: ['--selectProjects', 'first'] })
    assert.equal(collectFiles(one.events).get('shared/shared.test.js')?.tests.length, 1)
    assert.equal(one.exit.code, 0)
  })
})

function statusesOf(run: BatchRun, status: string): string[] {
  const all = [...collectFiles(run.events).values()].flatMap((one) => Object.entries(statuses(one)))
  return all.filter(([, found]) => found === status).map(([name]) => name)
}

describe('jest, projects that say no', () => {
  test('a broken configuration is told in the words of jest', async () => {
    await assert.rejects(runBatch(jestRunner, { cwd: fixture('broken') }), (error) => {
      assert.ok(error instanceof MusterError)
      assert.equal(error.code, 'framework_failed')
      assert.match(error.message, /this configuration is broken/)
      return true
    })
  })

  test('a folder without any sign of jest is not one', async () => {
    assert.equal(await jestRunner.detect(await readProject(path.join(basic, 'test'))), undefined)
  })
})
