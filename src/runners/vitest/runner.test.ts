/** The Vitest runner against the Vitest that is installed here, on small real projects. */
import assert from 'node:assert/strict'
import path from 'node:path'
import { before, describe, test } from 'node:test'
import { MusterError } from '../../protocol/errors.ts'
import { assertComplete, assertCrashed, collectFiles, findTest, runErrors, statuses } from '../conformance/expect.ts'
import type { FileReport } from '../conformance/expect.ts'
import { readProject, runBatch } from '../conformance/run-batch.ts'
import type { BatchRun } from '../conformance/run-batch.ts'
import { vitestRunner } from './runner.ts'

const fixture = (name: string): string => path.join(import.meta.dirname, 'fixtures', name)
const basic = fixture('basic')
const odd = 'test/a b [c] $d (e).test.ts'

describe('vitest, a whole suite in which everything goes wrong', () => {
  let run: BatchRun
  let files: Map<string, FileReport>
  const file = (name: string): FileReport => files.get(`test/${name}.test.ts`)!

  before(async () => {
    run = await runBatch(vitestRunner, { cwd: basic, env: { CI: '' } })
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
    for (const name of ['package.json', 'vitest.config.ts', 'limits.ts']) assert.ok(dependsOn.includes(name), name)
  })

  test('statuses, nesting, parameters and unicode', () => {
    assert.deepEqual(statuses(file('statuses')), {
      'outer > passes': 'passed',
      'outer > inner > fails': 'failed',
      'outer > inner > is skipped': 'skipped',
      'outer > inner > is to be done': 'todo',
      'adds 1 and 2': 'passed',
      'adds 2 and 2': 'passed',
      'passes at the third try': 'passed',
      'skips itself': 'skipped',
      'with a broken hook > can not run': 'skipped',
      'ünïcödé ✓ 日本語 🎉': 'passed',
    })
    assert.deepEqual(statuses(file('only')), { 'is left out': 'skipped', 'is the only one': 'passed' })
  })

  test('a failure has message, values, place and stack', () => {
    const [error] = findTest(file('statuses'), 'outer', 'inner', 'fails').errors ?? []
    assert.match(error?.message ?? '', /to deeply equal/)
    assert.equal(error?.type, 'AssertionError')
    assert.match(error?.expected ?? '', /3/)
    assert.match(error?.actual ?? '', /2/)
    assert.equal(error?.file, 'test/statuses.test.ts')
    assert.equal(error?.line, 9)
    assert.match(error?.stack ?? '', /statuses\.test\.ts:9/)
  })

  test('output, reasons, tries and broken hooks', () => {
    assert.equal(findTest(file('statuses'), 'outer', 'passes').output, 'said by passes\n')
    assert.equal(findTest(file('statuses'), 'skips itself').reason, 'not on this machine')
    const retried = findTest(file('statuses'), 'passes at the third try')
    assert.deepEqual(
      retried.tries?.map((one) => one.status),
      ['failed', 'failed'],
    )
    assert.match(retried.tries?.[1]?.errors?.[0]?.message ?? '', /expected 2 to be 3/)
    assert.deepEqual(
      file('statuses').errors.map((error) => error.message),
      ['the hook is broken'],
    )
  })

  test('a file that fails to load, and one without tests', () => {
    assert.match(file('load-error').errors[0]?.message ?? '', /does-not-exist/)
    assert.match(file('no-tests').errors[0]?.message ?? '', /No test suite found/)
  })

  test('a test that hangs, and one that ends the process', () => {
    assert.equal(statuses(file('hang'))['never ends'], 'failed')
    assert.ok(file('hang').durationMs >= 1500)
    assert.equal(statuses(file('exit'))['ends the process'], 'failed')
  })

  test('a crash is an error of its file alone', () => {
    assertCrashed(files, 'test/crash.test.ts')
    assert.match(file('crash').errors[0]?.message ?? '', /worker/i)
    assert.equal(
      run.events.some((event) => event.type === 'error' && event.error.type === 'WorkerCrash'),
      false,
    )
  })

  test('an unhandled rejection fails the run and names its file', () => {
    assert.match(file('rejection').errors[0]?.message ?? '', /nobody handles this/)
    assert.deepEqual(runErrors(run.events), [])
  })

  test('huge output comes through and what belongs to a test is capped', () => {
    assert.ok(run.stdout.length >= 10 * 1024 * 1024)
    const output = findTest(file('output'), 'logs a lot').output ?? ''
    assert.ok(output.length > 200_000 && output.length < 300_000, String(output.length))
  })

  test('a file name with spaces, brackets and a dollar sign', () => {
    assert.equal(findTest(files.get(odd), 'runs in a file with an odd name').status, 'passed')
  })
})

describe('vitest, chosen files', () => {
  test('exactly the given files run, none that only looks alike', async () => {
    const files = ['test/a.test.ts', odd]
    const run = await runBatch(vitestRunner, { cwd: basic, files })
    assertComplete(run.events, files)
    assert.equal(run.exit.code, 0)
  })

  test('a batch of 20,000 names', async () => {
    const many = Array.from({ length: 20_000 }, (_, at) => `test/${'long'.repeat(40)}/${at}.test.ts`)
    const run = await runBatch(vitestRunner, { cwd: basic, files: [...many, 'test/deep/a.test.ts'] })
    assertComplete(run.events, ['test/deep/a.test.ts'])
  })

  test('paths, patterns of names and lines of the user', async () => {
    const named = await runBatch(vitestRunner, { cwd: basic, paths: ['test/statuses'], args: ['-t', 'adds 1'] })
    assert.deepEqual(named.listing.files, ['test/statuses.test.ts'])
    assert.deepEqual(statusesOf(named, 'passed'), ['adds 1 and 2'])
    const line = await runBatch(vitestRunner, {
      cwd: basic,
      paths: ['test/statuses.test.ts:4', 'test/exit.test.ts:3'],
      files: ['test/statuses.test.ts'],
    })
    assertComplete(line.events, ['test/statuses.test.ts'])
    assert.deepEqual(statusesOf(line, 'passed'), ['outer > passes'])
  })

  test('a file in two projects starts once, ends once and has the tests of both', async () => {
    const run = await runBatch(vitestRunner, { cwd: fixture('projects') })
    assertComplete(run.events, ['shared/shared.test.ts', 'unit/unit.test.ts'])
    const shared = collectFiles(run.events).get('shared/shared.test.ts')!
    const found = shared.tests.map((one) => `${one.project}: ${one.status}`).toSorted()
    assert.deepEqual(found, ['first: passed', 'second: failed'])
    const one = await runBatch(vitestRunner, { cwd: fixture('projects'), args: ['--project', 'first'] })
    assert.equal(collectFiles(one.events).get('shared/shared.test.ts')?.tests.length, 1)
    assert.equal(one.exit.code, 0)
  })
})

function statusesOf(run: BatchRun, status: string): string[] {
  const all = [...collectFiles(run.events).values()].flatMap((one) => Object.entries(statuses(one)))
  return all.filter(([, found]) => found === status).map(([name]) => name)
}

describe('vitest, projects that say no', () => {
  test('a broken configuration is told in the words of vitest', async () => {
    await assert.rejects(runBatch(vitestRunner, { cwd: fixture('broken') }), (error) => {
      assert.ok(error instanceof MusterError)
      assert.equal(error.code, 'framework_failed')
      assert.match(error.message, /this configuration is broken/)
      return true
    })
  })

  test('a folder without any sign of vitest is not one', async () => {
    assert.equal(await vitestRunner.detect(await readProject(path.join(basic, 'test'))), undefined)
  })
})
