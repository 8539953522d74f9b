/** What `muster run` ends with, and that its ledger always adds up: every exit code, with real suites. */
import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { after, before, test } from 'node:test'
import type { JsonReport } from '../../reports/json.ts'
import { junitSuite, nodeSuite, nodeTest, shellSuite } from './fixtures/projects.ts'
import { Stage, type Files } from './fixtures/stage.ts'

let stage: Stage
before(async () => {
  stage = await Stage.open()
})
after(() => stage[Symbol.asyncDispose]())

async function project(name: string, files: Files): Promise<string> {
  await stage.write(files, stage.path(name))
  return stage.path(name)
}

async function report(code: number, cwd: string, ...args: string[]): Promise<JsonReport> {
  const object = await stage.json<JsonReport>(['run', ...args], code, { cwd })
  assert.equal(object.exitCode, code)
  assert.equal(object.planned, object.accounted, 'every planned file is accounted for')
  const { tasks, tests } = object
  assert.equal(
    Object.values(tasks).reduce((sum, one) => sum + one, 0),
    object.accounted,
    'the seven counts add up',
  )
  assert.equal(tests.passed + tests.failed + tests.flaky + tests.skipped, tests.total)
  return object
}

test('0: all passed', async () => {
  const cwd = await project('passing', nodeSuite({ 'a.test.mjs': nodeTest(`test('a', () => {})`) }))
  const { verdict, tests, failures } = await report(0, cwd)
  assert.deepEqual(
    { verdict, tests, failures },
    { verdict: 'passed', tests: { passed: 1, failed: 0, flaky: 0, skipped: 0, total: 1 }, failures: [] },
  )
})

test('1: tests failed, each named with its error', async () => {
  const failing = nodeTest(
    `describe('sum', () => { test('adds', () => assert.equal(1 + 1, 3)); test('skips', { skip: true }, () => {}) })`,
  )
  const cwd = await project(
    'failing',
    nodeSuite({ 'a.test.mjs': failing, 'b.test.mjs': nodeTest(`test('b', () => {})`) }),
  )
  const { verdict, tasks, tests, failures } = await report(1, cwd)
  assert.equal(verdict, 'failed')
  assert.deepEqual([tasks.passed, tasks.failed], [1, 1])
  assert.deepEqual(tests, { passed: 1, failed: 1, flaky: 0, skipped: 1, total: 3 })
  assert.equal(failures.length, 1)
  assert.equal(failures[0]!.file, 'a.test.mjs')
  assert.deepEqual(failures[0]!.name, ['sum', 'adds'])
  assert.match(failures[0]!.errors[0]!.message, /2 !== 3|strictly equal/)
})

test('2: wrong usage or configuration, said before anything runs', async () => {
  const shell = await project('usage', shellSuite({ 'a.sh': 'touch ran' }))
  const none = await project('no-framework', { 'readme.txt': 'nothing here' })
  const ambiguous = await project('ambiguous', {
    'package.json': JSON.stringify({ devDependencies: { vitest: '*', mocha: '*' } }),
    'vitest.config.ts': '',
    '.mocharc.json': '{}',
  })
  const badConfig = await project('bad-config', { 'muster.config.json': '{"suites":[{"name":"x","retries":-1}]}' })
  const brokenConfig = await project('broken-config', { 'muster.config.json': '{' })
  const cases: readonly (readonly [string, readonly string[], RegExp])[] = [
    [shell, ['run', '--frobnicate'], /unknown option '--frobnicate'/],
    [shell, ['run', '--timeout', 'soon'], /--timeout: expected a duration such as 90s, 5m or 1h30m, received 'soon'/],
    [shell, ['run', '--wait-for-worker', '0s'], /--wait-for-worker: expected a duration/],
    [shell, ['run', '--shard', '0/2'], /--shard: expected I\/N with 1 ≤ I ≤ N, received '0\/2'/],
    [shell, ['run', '--shard', '3/2'], /--shard/],
    [shell, ['run', '--shard', 'half'], /--shard/],
    [shell, ['run', '--retries', '-1'], /--retries/],
    [shell, ['run', '--label', 'gpu'], /--label: expected KEY=VALUE, received 'gpu'/],
    [shell, ['run', '--label', '__proto__=1'], /--label: expected another key than '__proto__'/],
    [shell, ['run', '--lock', ' '], /--lock: expected NAME, NAME:shared or NAME:N, received ' '/],
    [shell, ['run', '--suite', 'other'], /other/],
    [shell, ['run', '--framework', 'karma'], /karma/],
    [shell, ['run', '--reporter', 'fancy'], /Unknown reporter 'fancy'/],
    [shell, ['run', '--reporter', 'json', '--reporter', 'junit'], /stdout/],
    [shell, ['run', '--cwd', 'nowhere'], /nowhere/],
    [shell, ['frob'], /unknown command 'frob'/],
    [none, ['run'], /framework/i],
    [ambiguous, ['run'], /vitest.*mocha|mocha.*vitest/s],
    [badConfig, ['run'], /suites\[0\]\.retries/],
    [brokenConfig, ['run'], /muster\.config\.json/],
  ]
  for (const [cwd, args, words] of cases) {
    const { code, stdout, stderr } = await stage.muster(args, { cwd })
    assert.equal(code, 2, `${args.join(' ')}: ${stderr}`)
    assert.match(stderr, words)
    assert.doesNotMatch(stderr, /bug in Muster|^\s+at /m, 'a message, not a stack')
    assert.equal(stdout, '')
  }
  assert.equal(existsSync(`${shell}/ran`), false)
})

test('3: a file that a command does not report is lost after bounded tries, and named', async () => {
  const runner = `report=$1; shift
echo "$@" >> '${stage.path('tried')}'
{ echo '<testsuite name="t">'
  for file; do case $file in *silent*) ;; *) echo "<testcase classname=\\"$file\\" name=\\"works\\" file=\\"$file\\"/>" ;; esac; done
  echo '</testsuite>'; } > "$report"
`
  const cwd = await project('silent', junitSuite(runner, { 'good.sh': '', 'silent.sh': '', 'fine.sh': '' }))
  const { verdict, reason, tasks, unfinished, failures } = await report(3, cwd)
  assert.equal(verdict, 'incomplete')
  assert.equal(reason, '1 of 3 tasks have no result')
  assert.deepEqual([tasks.passed, tasks.lost], [2, 1])
  assert.deepEqual(
    unfinished.map(({ file, state }) => [file, state]),
    [['t/silent.sh', 'lost']],
  )
  assert.equal(failures[0]!.errors[0]!.type, 'lost')
  const tries = readFileSync(stage.path('tried'), 'utf8')
    .split('\n')
    .filter((line) => line.includes('silent'))
  assert.equal(tries.length, 4, 'once, and up to 3 times again')
  const { stderr } = await stage.muster(['run'], { cwd })
  assert.match(stderr, /t\/silent\.sh/)
  assert.match(stderr, /planned 3 files = 3 accounted/)
})

test('5: no tests; --pass-with-no-tests makes it 0', async () => {
  const cwd = await project('empty', nodeSuite({}))
  const { code, stderr } = await stage.muster(['run'], { cwd })
  assert.equal(code, 5, stderr)
  assert.match(stderr, /no test files/)
  assert.equal((await stage.muster(['run', '--pass-with-no-tests'], { cwd })).code, 0)
  assert.equal((await stage.muster(['run', '--pass-with-no-tests', '--no-daemon'], { cwd })).code, 0)
  const shell = await project('empty-filter', shellSuite({ 'a.sh': '' }))
  assert.equal((await stage.muster(['run', 'u/'], { cwd: shell })).code, 5)
})

test('124: a hanging file is ended at its timeout and named; the others pass', async () => {
  // Enough to start a process on a busy machine.
  const cwd = await project('hanging', shellSuite({ 'hangs.sh': 'sleep 600 & wait', 'good.sh': '' }))
  const { verdict, tasks, unfinished } = await report(124, cwd, '--timeout', '5s')
  assert.equal(verdict, 'timed-out')
  assert.deepEqual([tasks.passed, tasks.timedOut], [1, 1])
  assert.deepEqual(
    unfinished.map((one) => [one.file, one.state]),
    [['t/hangs.sh', 'timed-out']],
  )
  assert.deepEqual(
    stage.processes().filter((one) => one.command.includes('sleep')),
    [],
    'what the file had started is ended',
  )
})
