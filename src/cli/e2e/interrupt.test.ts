/** Ctrl-C: once stops the run and reports what is done, twice leaves at once. Nothing goes on running. */
import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { describe, test } from 'node:test'
import type { JsonReport } from '../../reports/json.ts'
import { shellSuite } from './fixtures/projects.ts'
import { Stage, until } from './fixtures/stage.ts'

/** One quick file, then more that never end than there are CPUs. */
const endless = (directory: string) =>
  shellSuite({
    'a.sh': `exit 0`,
    'b.sh': `echo > ${directory}/hangs; exec sleep 700`,
    'c.sh': 'exec sleep 700',
    'd.sh': 'exec sleep 700',
    'e.sh': 'exec sleep 700',
  })

async function testsEnd(stage: Stage): Promise<void> {
  await until(() => !stage.processes().some((one) => one.command.includes('sleep 700')), 'the end of the tests')
}

// They mostly wait for each other's processes; each has a stage of its own.
describe('interrupt', { concurrency: 4 }, () => {
  for (const [where, flags] of [
    ['with the daemon', []],
    ['without a daemon', ['--no-daemon']],
  ] as const) {
    test(`130 at the first SIGINT, ${where}: what is done is reported`, async () => {
      await using stage = await Stage.open()
      await stage.write(endless(stage.root))
      const run = stage.start(['run', ...flags, '--cpus', '2', '--json', 'report.json', '--junit', 'report.xml'])
      await run.says(/✓ t\/a\.sh/)
      await stage.fileExists(stage.path('hangs'))
      run.kill('SIGINT')
      const { code, stderr } = await run.ended
      assert.equal(code, 130, stderr)
      assert.match(stderr, /planned 5 files = 5 accounted/)
      const report = JSON.parse(await readFile(`${stage.project}/report.json`, 'utf8')) as JsonReport
      assert.deepEqual([report.verdict, report.exitCode, report.planned, report.accounted], ['cancelled', 130, 5, 5])
      assert.deepEqual([report.tasks.passed, report.tasks.cancelled], [1, 4])
      assert.match(await readFile(`${stage.project}/report.xml`, 'utf8'), /t\/a\.sh/)
      await testsEnd(stage)
    })

    test(`130 at once at the second SIGINT, ${where}`, async () => {
      await using stage = await Stage.open()
      await stage.write(
        shellSuite({ 'a.sh': `trap '' TERM INT; echo > ${stage.root}/hangs; while :; do sleep 701; done` }),
      )
      const run = stage.start(['run', ...flags])
      await stage.fileExists(stage.path('hangs'))
      run.kill('SIGINT')
      await run.says(/stopping the run/)
      run.kill('SIGINT')
      const { code } = await run.ended
      assert.equal(code, 130)
      await until(() => !stage.processes().some((one) => one.command.includes('sleep 701')), 'the end of the tests')
    })
  }

  test('SIGINT before there is a run leaves nothing behind', async () => {
    await using stage = await Stage.open({
      'muster.config.json': JSON.stringify({
        suites: [
          { name: 'slow', discover: { command: ['sh', 'list.sh'] }, run: ['sh', '{files}'], results: 'exit-code' },
        ],
      }),
    })
    await stage.write({ 'list.sh': `echo > ${stage.root}/listing; exec sleep 702` })
    const run = stage.start(['run', '--no-daemon'])
    await stage.fileExists(stage.path('listing'))
    run.kill('SIGINT')
    assert.equal((await run.ended).code, 130)
    await until(() => !stage.processes().some((one) => one.command.includes('sleep 702')), 'the end of the listing')
  })
})
