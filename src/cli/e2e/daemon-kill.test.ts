/**
 * The daemon and its worker are killed in the middle of a run, at many moments. The run completes all the
 * same, its verdict is right, and marks that the test files leave show that each was executed exactly once,
 * unless the worker that ran it died.
 */
import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { describe, test } from 'node:test'
import type { JsonReport } from '../../reports/json.ts'
import type { Program } from './fixtures/program.ts'
import { gate, marked, marks, shellSuite } from './fixtures/projects.ts'
import { Stage, until } from './fixtures/stage.ts'

const names = ['a', 'b', 'c', 'd', 'e', 'f'] as const
const once = Object.fromEntries(names.map((name) => [name, 1]))

/** Six files, one at a time; each waits for a gate of its own; the last one fails. */
async function play(stage: Stage): Promise<Program> {
  const scripts = names.map((name) => [
    `${name}.sh`,
    marked(
      name,
      stage.root,
      `${gate(stage.root, `gate-${name}`)}\n${name === 'f' ? `echo f >> '${stage.root}/done'; exit 1` : ''}`,
    ),
  ])
  await stage.write(shellSuite(Object.fromEntries(scripts)))
  return stage.start(['run', '--cpus', '1', '--json'])
}

const open = (stage: Stage, ...which: readonly string[]) =>
  Promise.all(which.map((name) => writeFile(stage.path(`gate-${name}`), '')))

const begun = (stage: Stage, count: number) =>
  until(() => Object.keys(marks(stage.root, 'begun')).length >= count, `${count} files begun`)
const done = (stage: Stage, count: number) =>
  until(() => Object.keys(marks(stage.root, 'done')).length >= count, `${count} files done`)

async function completes(stage: Stage, run: Program): Promise<JsonReport> {
  await open(stage, ...names)
  const { code, stdout, stderr } = await run.ended
  assert.equal(code, 1, stderr)
  const report = JSON.parse(stdout) as JsonReport
  assert.deepEqual([report.verdict, report.planned, report.accounted], ['failed', 6, 6], stderr)
  assert.deepEqual([report.tasks.passed, report.tasks.failed], [5, 1], stderr)
  assert.deepEqual(
    report.failures.map((one) => one.file),
    ['t/f.sh'],
  )
  return report
}

/** When to kill; each leaves the run in another state. */
const moments: readonly (readonly [string, (stage: Stage, run: Program) => Promise<unknown>])[] = [
  ['as soon as it answers', (stage) => until(() => stage.daemonAnswers(), 'the socket')],
  ['as soon as its worker is there', (stage) => until(() => stage.workerPid() !== undefined, 'the worker')],
  ['when the run is known', (_, run) => run.says(/muster · command/)],
  ['when the first file has begun', (stage) => begun(stage, 1)],
  ['when a file has just ended', async (stage) => (await open(stage, 'a'), done(stage, 1))],
  ['when a file has been reported', async (stage, run) => (await open(stage, 'a'), run.says(/✓ t\/a\.sh/))],
  ['when the second file runs', async (stage) => (await open(stage, 'a'), begun(stage, 2))],
  ['when most are done', async (stage) => (await open(stage, 'a', 'b', 'c', 'd'), begun(stage, 5))],
  ['when the last one runs', async (stage) => (await open(stage, 'a', 'b', 'c', 'd', 'e'), begun(stage, 6))],
]

// They mostly wait for each other's processes; each has a stage of its own.
describe('daemon kill', { concurrency: 4 }, () => {
  for (const [when, moment] of moments) {
    test(`daemon killed ${when}`, async () => {
      await using stage = await Stage.open()
      const run = await play(stage)
      await moment(stage, run)
      stage.kill(stage.daemonPid())
      const report = await completes(stage, run)
      assert.deepEqual(marks(stage.root, 'begun'), once)
      assert.deepEqual(marks(stage.root, 'done'), once)
      assert.equal(report.tasks.lost, 0)
    })
  }

  test('daemon killed again and again in one run', async () => {
    await using stage = await Stage.open()
    const run = await play(stage)
    let killed: number | undefined
    for (const [index, name] of names.slice(0, 3).entries()) {
      await begun(stage, index + 1)
      await until(() => stage.daemonPid() !== undefined && stage.daemonPid() !== killed, 'another daemon')
      killed = stage.daemonPid()
      stage.kill(killed)
      await open(stage, name)
    }
    const report = await completes(stage, run)
    assert.deepEqual(marks(stage.root, 'begun'), once)
    assert.equal(report.rerun, 0)
  })

  test('what the tests did while the daemon was away is not lost', async () => {
    await using stage = await Stage.open()
    const run = await play(stage)
    await begun(stage, 1)
    // Stopped, the command line can't bring the daemon back.
    run.kill('SIGSTOP')
    stage.kill(stage.daemonPid())
    await open(stage, ...names)
    await done(stage, 6)
    run.kill('SIGCONT')
    const report = await completes(stage, run)
    assert.deepEqual(marks(stage.root, 'begun'), once)
    assert.equal(report.rerun, 0)
  })

  test('worker killed: its processes end, what it ran is run again, nothing is lost', async () => {
    await using stage = await Stage.open()
    const run = await play(stage)
    await open(stage, 'a', 'b')
    await begun(stage, 3)
    await run.says(/✓ t\/b\.sh/)
    const before = stage.processes().filter((one) => /t\/c\.sh/.test(one.command))
    assert.ok(before.length > 0)
    stage.kill(stage.workerPid())
    await stage.processesEnd(before)
    const report = await completes(stage, run)
    assert.deepEqual(marks(stage.root, 'begun'), { ...once, c: 2 })
    assert.deepEqual(marks(stage.root, 'done'), once)
    assert.ok(report.rerun >= 1)
    assert.equal(report.tasks.lost, 0)
  })

  test('daemon and worker killed together', async () => {
    await using stage = await Stage.open()
    const run = await play(stage)
    await open(stage, 'a')
    await begun(stage, 2)
    await run.says(/✓ t\/a\.sh/)
    const daemon = stage.daemonPid()
    const before = stage.processes().filter((one) => /t\/b\.sh/.test(one.command))
    stage.kill(stage.workerPid())
    stage.kill(daemon)
    await stage.processesEnd(before)
    await completes(stage, run)
    assert.deepEqual(marks(stage.root, 'begun'), { ...once, b: 2 })
    assert.deepEqual(marks(stage.root, 'done'), once)
  })
})
