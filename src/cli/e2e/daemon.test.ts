/** The host daemon: started on demand, shared, remembering; and runs that do without it. */
import assert from 'node:assert/strict'
import { rm, writeFile } from 'node:fs/promises'
import { describe, test } from 'node:test'
import type { JsonReport } from '../../reports/json.ts'
import type { HealthView } from '../../protocol/api.ts'
import { gate, marked, marks, nodeSuite, nodeTest, shellSuite } from './fixtures/projects.ts'
import { Stage, until } from './fixtures/stage.ts'

type RunRow = { readonly run: string; readonly verdict: string | null; readonly planned: number }
type TestRow = { readonly file: string; readonly name: string; readonly runs: number; readonly failures: number }

// They mostly wait for each other's processes; each has a stage of its own.
describe('daemon', { concurrency: 4 }, () => {
  test('a daemon starts on demand, is used again, and remembers', async () => {
    await using stage = await Stage.open(
      nodeSuite({
        'a.test.mjs': nodeTest(`test('slow', async () => new Promise((resolve) => setTimeout(resolve, 60)))`),
        'b.test.mjs': nodeTest(`test('quick', () => {})`),
      }),
    )
    assert.equal(stage.daemonPid(), undefined)
    const first = await stage.muster(['run'])
    assert.equal(first.code, 0, first.stderr)
    assert.doesNotMatch(first.stderr.split('\n')[0]!, /predicted/)
    const pid = stage.daemonPid()
    assert.ok(pid)
    // Whoever asks history is answered with all that has happened.
    assert.equal((await stage.json<TestRow[]>(['tests', '--slowest', '5'])).length, 2)
    const second = await stage.muster(['run'])
    assert.match(second.stderr.split('\n')[0]!, /predicted .* from history \(100 % known\)/)
    assert.equal(stage.daemonPid(), pid)
    const rows = await stage.json<RunRow[]>(['runs'])
    assert.deepEqual(
      rows.map((row) => [row.verdict, row.planned]),
      [
        ['passed', 2],
        ['passed', 2],
      ],
    )
    const tests = await stage.json<TestRow[]>(['tests', '--slowest', '5'])
    assert.deepEqual(
      tests.map((row) => [row.file, row.name, row.runs]),
      [
        ['a.test.mjs', 'slow', 2],
        ['b.test.mjs', 'quick', 2],
      ],
    )
    assert.match((await stage.muster(['runs'])).stdout, /passed +node +2 +2/)

    // Everything is remembered over a restart of the daemon.
    assert.equal((await stage.muster(['down'])).stdout, 'the daemon has ended\n')
    assert.equal(stage.daemonPid(), undefined)
    assert.equal((await stage.muster(['down'])).stdout, 'no daemon is running\n')
    assert.equal((await stage.json<RunRow[]>(['runs'])).length, 2)
    assert.notEqual(stage.daemonPid(), pid)
    assert.match((await stage.muster(['show', rows[0]!.run])).stdout, /a\.test\.mjs/)
  })

  for (const [how, flags, env] of [
    ['--no-daemon', ['--no-daemon'], {}],
    ['CI=true', [], { CI: 'true' }],
  ] as const) {
    test(`${how}: coordinator and worker end with the run, and history is kept`, async () => {
      await using stage = await Stage.open(shellSuite({ 'a.sh': '', 'b.sh': '' }))
      const first = await stage.json<JsonReport>(['run', ...flags], 0, { env })
      assert.equal(first.tasks.passed, 2)
      assert.deepEqual(stage.processes(), [])
      const second = await stage.muster(['run', ...flags], { env })
      assert.match(second.stderr.split('\n')[0]!, /from history \(100 % known\)/)
      assert.equal((await stage.json<RunRow[]>(['runs'])).length, 2)
      // Beside a daemon, which then owns history.
      const third = await stage.muster(['run', ...flags], { env })
      assert.equal(third.code, 0, third.stderr)
    })
  }

  test('two runs at once: the second says its place and its start, and both complete', async () => {
    await using stage = await Stage.open()
    const scripts = (name: string, body: string) => ({
      'a.sh': marked(`${name}-a`, stage.root, body),
      'b.sh': marked(`${name}-b`, stage.root, body),
    })
    const [one, two] = [stage.path('one'), stage.path('two')]
    await stage.write(shellSuite(scripts('one', gate(stage.root))), one)
    await stage.write(shellSuite(scripts('two', '')), two)
    const first = stage.start(['run'], { cwd: one })
    await stage.fileExists(stage.path('begun'))
    await until(() => Object.keys(marks(stage.root, 'begun')).length === 2, 'both files of the first run')
    const second = stage.start(['run'], { cwd: two })
    await second.says(/waiting: next in the queue, expected to start /)
    const { stdout } = await stage.muster(['ps'])
    assert.match(stdout, /number 1 in the queue/)
    assert.deepEqual(Object.keys(marks(stage.root, 'begun')).sort(), ['one-a', 'one-b'], 'the second has not begun')
    await writeFile(stage.path('gate'), '')
    const ends = await Promise.all([first.ended, second.ended])
    assert.deepEqual(
      ends.map((end) => end.code),
      [0, 0],
    )
    assert.deepEqual(marks(stage.root, 'done'), { 'one-a': 1, 'one-b': 1, 'two-a': 1, 'two-b': 1 })
  })

  test('muster down: refused while a run is under way, --force cancels it', async () => {
    await using stage = await Stage.open()
    await stage.write(shellSuite({ 'a.sh': marked('a', stage.root, gate(stage.root)) }))
    const run = stage.start(['run', '--json'])
    await stage.fileExists(stage.path('begun'))
    const refused = await stage.muster(['down'])
    assert.equal(refused.code, 2)
    assert.match(refused.stderr, /1 run\(s\) are under way/)
    assert.equal(((await stage.client().health()) satisfies HealthView).activeRuns, 1)
    const forced = await stage.muster(['down', '--force'])
    assert.equal(forced.code, 0, forced.stderr)
    const ended = await run.ended
    assert.equal(ended.code, 130, ended.stderr)
    const report = JSON.parse(ended.stdout) as JsonReport
    assert.deepEqual([report.verdict, report.planned, report.accounted, report.tasks.cancelled], ['cancelled', 1, 1, 1])
    await rm(stage.path('gate'), { force: true })
    assert.deepEqual(marks(stage.root, 'done'), {}, 'its process was ended')
  })
})
