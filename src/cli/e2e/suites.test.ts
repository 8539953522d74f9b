/** Several suites by one command: their order, one exit code, one summary, and reports that don't overwrite each other. */
import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { readFile, rm, writeFile } from 'node:fs/promises'
import { describe, test } from 'node:test'
import type { JsonReport } from '../../reports/json.ts'
import { Fleet } from './fixtures/fleet.ts'
import { gate, marked, marks } from './fixtures/projects.ts'
import { Stage, until } from './fixtures/stage.ts'

const sh = { run: ['sh', '{files}'], results: 'exit-code' }

type Given = Readonly<Record<string, { readonly script: string; readonly after?: string | readonly string[] }>>

function suitesOf(given: Given): Readonly<Record<string, string>> {
  const suites = Object.entries(given).map(([name, { after }]) => ({
    name,
    ...sh,
    discover: [`${name}/*.sh`],
    ...(after === undefined ? {} : { after }),
  }))
  const scripts = Object.entries(given).map(([name, { script }]) => [`${name}/t.sh`, script] as const)
  return { 'muster.config.json': JSON.stringify({ suites }), ...Object.fromEntries(scripts) }
}

const begunIn = async (stage: Stage) => (await readFile(stage.path('begun'), 'utf8')).trim().split('\n')
/** `--json` on stdout is one object after another. */
const reportsOf = (stdout: string) =>
  stdout
    .split(/(?<=^\}\n)/m)
    .filter((one) => one.trim() !== '')
    .map((one) => JSON.parse(one) as JsonReport)

describe('several suites', { concurrency: 2 }, () => {
  test('all run in their order, and one that only waits for an end runs after a failure; reports do not meet', async () => {
    await using stage = await Stage.open()
    const mark = (name: string, rest = '') => `${marked(name, stage.root)}${rest}`
    await stage.write(
      suitesOf({
        last: { script: mark('last'), after: ['middle:finished'] },
        middle: { script: mark('middle', 'exit 1\n'), after: 'first' },
        first: { script: mark('first') },
        never: { script: mark('never'), after: ['first', 'middle'] },
        beyond: { script: mark('beyond'), after: 'never' },
      }),
    )
    const ended = await stage.muster(['run', '--all', '--json', '--junit', 'out/r.xml', '--ctrf', '{suite}.ctrf.json'])
    assert.equal(ended.code, 1, ended.stderr)
    assert.deepEqual(await begunIn(stage), ['first', 'middle', 'last'])
    const reports = Object.fromEntries(reportsOf(ended.stdout).map((one) => [one.suite, one.verdict]))
    assert.deepEqual(reports, {
      first: 'passed',
      middle: 'failed',
      last: 'passed',
      never: 'cancelled',
      beyond: 'cancelled',
    })
    for (const name of Object.keys(reports)) {
      assert.match(await readFile(`${stage.project}/out/r.${name}.xml`, 'utf8'), new RegExp(`name="${name}"|${name}/t`))
      assert.ok(existsSync(`${stage.project}/${name}.ctrf.json`), name)
    }
    assert.match(ended.stderr, /^first +│ ✓ first\/t\.sh/m)
    assert.match(ended.stderr, /^ {2}✗ middle +1 failed · r\w+/m)
    assert.match(ended.stderr, /^ {2}- never +not run: 'middle' did not pass$/m)
    assert.match(ended.stderr, /^ {2}- beyond +not run: 'never' did not pass$/m)
    assert.match(ended.stderr, /5 suites · 2 passed · 1 did not pass · 2 not run/)
    assert.match(ended.stderr, /reports +out\/r\.first\.xml, first\.ctrf\.json/)
    // What failed last is all that is tried again: what did not run has not failed.
    const again = await stage.muster(['run', '--all', '--last-failed'])
    assert.equal(again.code, 1, again.stderr)
    assert.match(again.stderr, /muster: first: nothing failed in the last run: left out/)
    assert.deepEqual((await begunIn(stage)).slice(3), ['middle'])
  })

  test('some of them: by name, in their order; suites that are not among them are waited for as ever', async () => {
    await using stage = await Stage.open()
    await stage.write(
      suitesOf({
        one: { script: marked('one', stage.root, gate(stage.root)) },
        two: { script: marked('two', stage.root), after: 'one' },
        three: { script: marked('three', stage.root), after: 'two' },
      }),
    )
    const fleet = await Fleet.open(stage, ['worker'])
    const submitter = { env: { MUSTER_DATA: stage.path('third') } }
    const run = (...flags: string[]) => stage.start(['run', ...fleet.flags, ...flags], submitter)
    const first = run('--suite', 'one')
    await until(() => marks(stage.root, 'begun')['one'] === 1, 'the first suite')
    const others = run('--suite', 'three', '--suite', 'two')
    await others.says(/two +│ waiting: waits for run/)
    await others.says(/three +│ waiting: waits for run/)
    assert.equal(marks(stage.root, 'begun')['two'], undefined)
    await writeFile(stage.path('gate'), '')
    assert.equal((await first.ended).code, 0)
    assert.equal((await others.ended).code, 0)
    assert.deepEqual(await begunIn(stage), ['one', 'two', 'three'])
  })

  test('Ctrl-C ends all of them; one that is refused takes the others back', async () => {
    await using stage = await Stage.open()
    await stage.write(
      suitesOf({
        one: { script: marked('one', stage.root, gate(stage.root)) },
        two: { script: marked('two', stage.root), after: 'one' },
      }),
    )
    const fleet = await Fleet.open(stage, ['worker'])
    const submitter = { env: { MUSTER_DATA: stage.path('third') } }
    const both = stage.start(['run', '--all', ...fleet.flags], submitter)
    await until(() => marks(stage.root, 'begun')['one'] === 1, 'the first suite')
    both.kill('SIGINT')
    await both.says(/one +│ ! stopping the run/)
    await writeFile(stage.path('gate'), '')
    assert.equal((await both.ended).code, 130)
    assert.deepEqual(await begunIn(stage), ['one'])
    // The second can't be over by its deadline.
    const config = JSON.parse(suitesOf({ one: { script: '' }, two: { script: '' } })['muster.config.json']!) as {
      suites: object[]
    }
    const suites = [config.suites[0], { ...config.suites[1], deadline: '300ms', admission: 'refuse', after: 'one' }]
    await stage.write({ 'muster.config.json': JSON.stringify({ suites }) })
    await writeFile(stage.path('begun'), '')
    for (const _ of [1, 2, 3]) await stage.muster(['run', '--suite', 'one', ...fleet.flags], submitter)
    await stage.write({ 'two/t.sh': 'sleep 1' })
    for (const _ of [1, 2, 3])
      await stage.muster(['run', '--suite', 'two', '--deadline', '1h', ...fleet.flags], submitter)
    await rm(stage.path('gate'))
    const refused = await stage.muster(['run', '--all', ...fleet.flags], submitter)
    assert.equal(refused.code, 3, refused.stderr)
    assert.match(refused.stderr, /Suite 'two': the run is past its deadline|Suite 'two': the run can't finish by/)
    const last = async () => (await fleet.client.runs())[0]!
    await until(async () => (await last()).verdict === 'cancelled', 'the end of the first suite')
    assert.equal((await last()).suite, 'one')
  })

  test('what makes no sense together is refused before anything runs', async () => {
    await using stage = await Stage.open()
    await stage.write(suitesOf({ a: { script: '', after: 'b' }, b: { script: '', after: 'a' } }))
    const circle = await stage.muster(['run', '--all'])
    assert.equal(circle.code, 2)
    assert.match(circle.stderr, /suites\[0\]\.after .*a circle: a -> b -> a/)
    await stage.write(suitesOf({ a: { script: '' }, b: { script: '' } }))
    for (const [flags, words] of [
      [['--all', 'a/t.sh'], /--all: expected no paths, received a\/t\.sh/],
      [['--all', '--', '-v'], /--all: expected no arguments/],
      [['--all', '--suite', 'a'], /--all: expected no --suite/],
      [['--all', '--framework', 'jest'], /--all: expected no --framework/],
      [['--suite', 'a', '--suite', 'c'], /Cannot run the suite 'c': there are a, b/],
      [['--all', '--junit', '-'], /several XML documents/],
      [[], /has 2 suites that fit:\n {2}--suite a\n {2}--suite b\n.*--all/],
    ] as const) {
      const refused = await stage.muster(['run', ...flags])
      assert.equal(refused.code, 2, refused.stderr)
      assert.match(refused.stderr, words)
    }
    const plan = await stage.muster(['run', '--all', '--dry-run'])
    assert.equal(plan.code, 0, plan.stderr)
    assert.match(plan.stdout, /\na\ncommand .*\n[^]*a\/t\.sh\n\nb\n[^]*b\/t\.sh\n/)
  })
})
