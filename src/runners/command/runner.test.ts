/** Any command end to end: small shell and Node programs in temporary projects. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { MusterError } from '../../protocol/errors.ts'
import { assertComplete, assertCrashed, collectFiles, findTest, runErrors, statuses } from '../conformance/expect.ts'
import { inlineProject } from '../conformance/inline-project.ts'
import { readProject, runBatch } from '../conformance/run-batch.ts'
import type { CommandSuite } from '../runner.ts'
import { commandRunner } from './runner.ts'

const base = { 'muster.config.json': '{}' }

test('commandRunner: exit codes, one process per file, with its output and its signal', async () => {
  await using project = await inlineProject({
    ...base,
    'checks/good.sh': 'echo fine; test ! -e /proc/self/fd/3',
    'checks/bad with space.sh': 'echo "what went wrong" >&2; exit 3',
    'checks/segv.sh': 'kill -SEGV $$',
    'checks/ünïcode.sh': 'true',
    'checks/node_modules/no.sh': 'exit 1',
  })
  const suite: CommandSuite = {
    name: 'checks',
    discover: ['checks/**/*.sh'],
    run: ['sh', '{files}'],
    results: 'exit-code',
  }
  const run = await runBatch(commandRunner, { cwd: project.cwd, suite })
  const names = ['checks/bad with space.sh', 'checks/good.sh', 'checks/segv.sh', 'checks/ünïcode.sh']
  assert.deepEqual(run.listing, { files: names, dependsOn: [] })
  assertComplete(run.events, names)
  const files = collectFiles(run.events)
  assert.deepEqual(
    names.map((name) => Object.values(statuses(files.get(name)))),
    [['failed'], ['passed'], ['failed'], ['passed']],
  )
  const bad = findTest(files.get(names[0]!), names[0]!)
  assert.deepEqual(bad.errors, [{ message: 'ended with exit code 3', stack: 'what went wrong\n' }])
  assert.equal(findTest(files.get('checks/segv.sh'), 'checks/segv.sh').errors![0]!.message, 'ended by SIGSEGV')
  assert.match(run.stdout, /fine/)
  const one = await runBatch(commandRunner, { cwd: project.cwd, suite, paths: ['checks/good.sh'], args: ['extra'] })
  assertComplete(one.events, ['checks/good.sh'])
  const missing = await runBatch(commandRunner, {
    cwd: project.cwd,
    suite: { ...suite, run: ['no-such-program', '{files}'] },
    paths: ['checks/good.sh'],
  })
  assert.equal(
    collectFiles(missing.events).get('checks/good.sh')!.tests[0]!.errors![0]!.message,
    'cannot start no-such-program: ENOENT',
  )
})

test('commandRunner: exit codes, a hanging file is left started and the rest unreported', async () => {
  await using project = await inlineProject({ ...base, 'a.sh': 'true', 'b.sh': 'sleep 1000', 'c.sh': 'true' })
  const suite: CommandSuite = { name: 'checks', discover: ['*.sh'], run: ['sh', '{files}'], results: 'exit-code' }
  const run = await runBatch(commandRunner, {
    cwd: project.cwd,
    suite,
    cpus: 1,
    timeoutMs: 2000,
    hangsFrom: (event) => event.type === 'file-start' && event.file === 'b.sh',
  })
  assert.equal(run.killed, true)
  const files = collectFiles(run.events)
  assert.equal(files.get('a.sh')!.ended, true)
  assertCrashed(files, 'b.sh')
  assert.equal(files.has('c.sh'), false)
})

/** Writes one testcase per file it was given, but keeps silent about `lost`. */
const reporter = `
import { writeFileSync } from 'node:fs'
const [report, cpus, ...files] = process.argv.slice(2)
const cases = files.filter((file) => !file.includes('lost')).map((file) => '<testsuite name="' + file + '" file="' + file + '"><testcase name="works" time="0.5">'
  + (file.includes('fails') ? '<failure message="no">stack</failure>' : '') + '</testcase></testsuite>')
writeFileSync(report, '<testsuites>' + cases.join('') + '</testsuites>')
console.log('cpus', cpus)
if (files.some((file) => file.includes('crash'))) process.kill(process.pid, 'SIGSEGV')
if (files.some((file) => file.includes('bad-exit'))) process.exitCode = 7
`

test('commandRunner: JUnit, results by file; what the report is silent about stays unreported', async () => {
  await using project = await inlineProject({
    ...base,
    'tool.mjs': reporter,
    't/ok.x': '',
    't/fails.x': '',
    't/lost.x': '',
  })
  const suite: CommandSuite = {
    name: 'x',
    discover: ['t/*.x'],
    run: [process.execPath, 'tool.mjs', '{junit}', '{cpus}', '{files}'],
    results: 'junit',
  }
  const run = await runBatch(commandRunner, { cwd: project.cwd, suite, cpus: 3 })
  const files = collectFiles(run.events)
  assert.deepEqual([...files.keys()], ['t/fails.x', 't/ok.x'])
  assert.deepEqual(
    [statuses(files.get('t/ok.x')), statuses(files.get('t/fails.x'))],
    [{ works: 'passed' }, { works: 'failed' }],
  )
  assert.equal(files.get('t/ok.x')!.durationMs, 500)
  assert.match(run.stdout, /cpus 3/)
  assert.equal(
    run.events.some((event) => event.type === 'end'),
    false,
  )
})

test('commandRunner: JUnit, exit code without a failed test, crash, no report', async () => {
  await using project = await inlineProject({
    ...base,
    'tool.mjs': reporter,
    't/bad-exit.x': '',
    't/lost.x': '',
    't/silent.x': '',
  })
  const suite: CommandSuite = {
    name: 'x',
    discover: ['t/*.x'],
    run: [process.execPath, 'tool.mjs', '{junit}', '1', '{files}'],
    results: 'junit',
  }
  const exit = await runBatch(commandRunner, { cwd: project.cwd, suite, files: ['t/bad-exit.x'] })
  assertComplete(exit.events, ['t/bad-exit.x'])
  assert.match(runErrors(exit.events)[0]!.message, /exit code 7 although no test failed/)
  const none = await runBatch(commandRunner, {
    cwd: project.cwd,
    suite: { ...suite, run: ['true', '{junit}'] },
    files: ['t/silent.x'],
  })
  assert.deepEqual(none.events, [], 'it ended well and said nothing: the file is lost')
  const dead = await runBatch(commandRunner, {
    cwd: project.cwd,
    suite: { ...suite, run: ['false', '{junit}'] },
    files: ['t/silent.x'],
  })
  assert.deepEqual(dead.events, [{ type: 'file-start', file: 't/silent.x' }], 'alone, it is to blame')
  for (const [report, events] of [
    ['<testsuites tests="0"/>', []],
    ['<testsuite name="t"/>', []],
    ['<testsuite name="t/silent.x"/>', ['file-start', 'file-end', 'end']],
  ] as const) {
    const empty = await runBatch(commandRunner, {
      cwd: project.cwd,
      suite: { ...suite, run: ['sh', '-c', `echo '${report}' > "$0"`, '{junit}'] },
      files: ['t/silent.x'],
    })
    assert.deepEqual(
      empty.events.map((event) => event.type),
      events,
      report,
    )
  }
})

test('commandRunner: a report folder, discovery by command, and what it says when that fails', async () => {
  await using project = await inlineProject({
    ...base,
    'list.sh': 'echo ./b.x; echo; echo "$PWD/a.x"; echo $LIST_MORE',
  })
  const suite: CommandSuite = {
    name: 'x',
    discover: { command: ['sh', 'list.sh'] },
    run: [
      'sh',
      '-c',
      'echo "<testsuite name=\\"b.x\\"><testcase name=\\"t\\"/></testsuite>" > "$0/one.xml"',
      '{junit}/',
      '{files}',
    ],
    results: 'junit',
    env: { LIST_MORE: 'c.x' },
  }
  const run = await runBatch(commandRunner, { cwd: project.cwd, suite })
  assert.deepEqual(run.listing, { files: ['a.x', 'b.x', 'c.x'] })
  assert.deepEqual([...collectFiles(run.events).keys()], ['b.x'])
  const detection = (await commandRunner.detect(await readProject(project.cwd)))!
  const request = {
    project: await readProject(project.cwd),
    detection,
    paths: [],
    args: [],
    signal: AbortSignal.timeout(10_000),
  }
  await assert.rejects(
    commandRunner.list({ ...request, suite: { ...suite, discover: { command: ['sh', '-c', 'echo broken; exit 4'] } } }),
    (error: unknown) =>
      error instanceof MusterError && error.code === 'framework_failed' && /exit code 4.*\nbroken/s.test(error.message),
  )
})
