/** What a run writes: data on stdout or in files, progress on stderr, the same reports whoever ran it. */
import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { chmod, mkdir } from 'node:fs/promises'
import { after, before, test } from 'node:test'
import type { JsonReport } from '../../reports/json.ts'
import { nodeSuite, nodeTest, repositoryFile, shellSuite } from './fixtures/projects.ts'
import { Stage } from './fixtures/stage.ts'

let stage: Stage
let mixed: string
before(async () => {
  stage = await Stage.open()
  mixed = stage.path('mixed')
  await stage.write(
    nodeSuite({
      'a.test.mjs': nodeTest(`test('works', () => console.log('said'))`),
      'b.test.mjs': nodeTest(`test('breaks', () => assert.equal(1, 2)); test('later', { todo: true }, () => {})`),
    }),
    mixed,
  )
})
after(() => stage[Symbol.asyncDispose]())

/** Names in the first column of the tables below a heading of docs/reference/json.md. */
function documented(heading: string): string[] {
  const text = repositoryFile('docs/reference/json.md').split(`${heading}\n`)[1]!.split('\n#')[0]!
  return [...text.matchAll(/^\| `(\w+)` \| ([^|]*)\|/gm)].map((row) => row[1]!)
}

test('--json: the object has exactly the documented fields; stdout holds nothing else', async () => {
  const { code, stdout, stderr } = await stage.muster(['run', '--json', '-'], { cwd: mixed })
  assert.equal(code, 1)
  const report = JSON.parse(stdout) as JsonReport
  assert.deepEqual(Object.keys(report).sort(), documented('## Fields').sort())
  assert.deepEqual(Object.keys(report.workers[0]!).sort(), documented('### workers').sort())
  const known = documented('### failures')
  for (const failure of report.failures) for (const key of Object.keys(failure)) assert.ok(known.includes(key), key)
  assert.deepEqual(Object.keys(report.tests).sort(), ['failed', 'flaky', 'passed', 'skipped', 'total'])
  const tasks = ['passed', 'failed', 'flaky', 'skipped', 'cancelled', 'timedOut', 'lost']
  assert.deepEqual(Object.keys(report.tasks).sort(), tasks.sort())
  assert.ok(report.wallMs! > 0 && report.lowerBoundMs! > 0 && report.optimumRatio! <= 1)
  assert.match(stderr, /✗ b\.test\.mjs/, 'progress is on stderr')
  assert.match(stderr, /planned 2 files = 2 accounted/)
  assert.equal(stderr.includes('\u001B'), false, 'no cursor or colour codes without a terminal')
})

test('--json, --junit and --ctrf write files, whole; missing folders are made', async () => {
  const args = ['run', '--json', 'out/run.json', '--junit', 'out/deep/junit.xml', '--ctrf', 'out/ctrf.json']
  const { code, stdout } = await stage.muster(args, { cwd: mixed })
  assert.equal(code, 1)
  assert.equal(stdout, '')
  const read = (name: string) => readFileSync(`${mixed}/out/${name}`, 'utf8')
  assert.equal((JSON.parse(read('run.json')) as JsonReport).tests.total, 3)
  assert.match(read('deep/junit.xml'), /<testcase [^>]*name="breaks"[^>]*>\s*<failure/)
  const ctrf = JSON.parse(read('ctrf.json')) as { results: { summary: { tests: number; failed: number } } }
  assert.deepEqual([ctrf.results.summary.tests, ctrf.results.summary.failed], [3, 1])
})

test('an output that cannot be written is said before anything runs', async () => {
  const cwd = stage.path('unwritable')
  await stage.write({ ...shellSuite({ 'a.sh': 'touch ran' }), file: '' }, cwd)
  await mkdir(`${cwd}/closed`)
  await chmod(`${cwd}/closed`, 0o500)
  for (const path of ['file/report.xml', '/proc/report.xml', '.']) {
    const { code, stderr } = await stage.muster(['run', '--junit', path], { cwd })
    assert.equal(code, 2, stderr)
    assert.match(stderr, new RegExp(path.replaceAll('.', '\\.')))
  }
  assert.equal(existsSync(`${cwd}/ran`), false)
})

test('the same suite by one process and file by file is the same JUnit', async () => {
  const junit = async (name: string, ...flags: string[]): Promise<string> => {
    await stage.muster(['run', '--junit', name, ...flags], { cwd: mixed })
    // Times and durations are measured; nothing else may differ.
    return readFileSync(`${mixed}/${name}`, 'utf8').replaceAll(/ (time|timestamp)="[^"]*"/g, '')
  }
  assert.equal(await junit('whole.xml'), await junit('alone.xml', '--cpus', '1', '--no-daemon'))
})

test('a reporter alone on stdout; NO_COLOR, CI and GITHUB_ACTIONS are respected', async () => {
  const only = await stage.muster(['run', '--reporter', 'junit'], { cwd: mixed })
  assert.match(only.stdout, /^<\?xml/)
  assert.equal(only.stderr, '', 'no progress beside a data reporter that was asked for alone')
  const forced = await stage.muster(['run'], { cwd: mixed, env: { FORCE_COLOR: '1' } })
  const codes = forced.stderr.split('\u001B').slice(1)
  assert.ok(codes.some((one) => /^\[3\dm/.test(one)))
  assert.ok(
    codes.every((one) => /^\[[\d;]*m/.test(one)),
    'colours, but no cursor codes',
  )
  const summary = stage.path('summary.md')
  const github = await stage.muster(['run'], {
    cwd: mixed,
    env: { GITHUB_ACTIONS: 'true', GITHUB_STEP_SUMMARY: summary },
  })
  assert.match(github.stderr + github.stdout, /::error file=b\.test\.mjs/)
  assert.match(readFileSync(summary, 'utf8'), /breaks/)
})
