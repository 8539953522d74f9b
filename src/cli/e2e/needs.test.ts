/** What tests need, end to end: workers that fit, locks over hosts, order, deadlines and shares, with real processes. */
import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { describe, test } from 'node:test'
import type { RunView } from '../../protocol/run-view.ts'
import type { SharesView } from '../../protocol/shares.ts'
import type { JsonReport } from '../../reports/json.ts'
import { Fleet } from './fixtures/fleet.ts'
import { gate, marked, marks, shellSuite } from './fixtures/projects.ts'
import { Stage, until } from './fixtures/stage.ts'

const submitter = (stage: Stage) => ({ env: { MUSTER_DATA: stage.path('third') } })
const names = ['a', 'b', 'c', 'd'] as const
const scriptsOf = (body: (name: string) => string) =>
  Object.fromEntries(names.map((name) => [`${name}.sh`, body(name)]))

describe('needs', { concurrency: 3 }, () => {
  test('files go to the worker that has what a rule, a comment or a flag asks for; --dry-run says so', async () => {
    await using stage = await Stage.open()
    const where = (name: string) => `case $PWD in *worker-one*) echo one;; *) echo two;; esac > ${stage.path(name)}`
    const rules = [{ files: 't/a.sh', requires: { where: 'cpus >= 3' } }]
    await stage.write(
      shellSuite(
        { ...scriptsOf(where), 'b.sh': `# muster: requires label.zone == west\n${where('b')}` },
        { rules, requires: { where: 'os == linux' } },
      ),
    )
    const fleet = await Fleet.open(stage)
    await fleet.join('one', '--cpus', '1', '--label', 'zone=west')
    await fleet.join('two', '--cpus', '3')
    const plan = await stage.muster(['run', '--dry-run', ...fleet.flags], submitter(stage))
    assert.match(plan.stdout, /needs \(os == linux\) and \(cpus >= 3\)\nEXPECTED +FILE\n\? +t\/a\.sh\n/)
    assert.match(plan.stdout, /needs \(os == linux\) and \(label\.zone == west\)\nEXPECTED +FILE\n\? +t\/b\.sh\n/)
    const run = await stage.muster(['run', ...fleet.flags], submitter(stage))
    assert.equal(run.code, 0, run.stderr)
    const ranOn = async (name: string) => (await readFile(stage.path(name), 'utf8')).trim()
    assert.deepEqual([await ranOn('a'), await ranOn('b')], ['two', 'one'])
    const flags = ['--require', 'label.zone == west', 't/c.sh', 't/d.sh']
    assert.equal((await stage.muster(['run', ...fleet.flags, ...flags], submitter(stage))).code, 0)
    assert.deepEqual([await ranOn('c'), await ranOn('d')], ['one', 'one'])
    const nobody = await stage.muster(
      ['run', ...fleet.flags, '--wait-for-worker', '1s', '--require', 'cpus >= 4', 't/c.sh'],
      submitter(stage),
    )
    assert.equal(nobody.code, 3)
    assert.match(nobody.stderr, /needs cpus >= 4; nearest: worker two has 3/)
    const wrong = await stage.muster(['run', ...fleet.flags, '--require', 'cpus >= many'], submitter(stage))
    assert.equal(wrong.code, 2)
    assert.match(wrong.stderr, /--require: Cannot read the expression.*\n +cpus >= many\n +\^/)
  })

  test('a lock has one holder in the whole cluster, whatever runs and workers there are', async () => {
    await using stage = await Stage.open()
    const held = stage.path('held')
    // A second holder would find the folder there.
    const body = (name: string) =>
      `# muster: lock db\n# muster: batch 1\nmkdir ${held} || exit 1\nsleep 0.1\nrmdir ${held}\n${marked(name, stage.root)}`
    await stage.write(shellSuite(scriptsOf(body)))
    const other = stage.path('other')
    await mkdir(other)
    await stage.write(shellSuite(scriptsOf((name) => body(`other-${name}`))), other)
    const fleet = await Fleet.open(stage, ['one', 'two'])
    const start = (cwd: string) => stage.muster(['run', ...fleet.flags, '--json'], { ...submitter(stage), cwd })
    const ended = await Promise.all([start(stage.project), start(other)])
    for (const { code, stdout, stderr } of ended) assert.equal(code, 0, stderr + stdout)
    const all = [...names, ...names.map((name) => `other-${name}`)]
    assert.deepEqual(marks(stage.root, 'done'), Object.fromEntries(all.map((name) => [name, 1])))
    assert.equal(existsSync(held), false)
  })

  test('a shared lock keeps only an exclusive one out', async () => {
    await using stage = await Stage.open()
    const waits = marked('reader', stage.root, gate(stage.root))
    await stage.write(
      shellSuite({
        'a.sh': `# muster: lock db shared\n# muster: batch 1\n${waits}`,
        'b.sh': `# muster: lock db shared\n# muster: batch 1\n${waits}`,
        'c.sh': `# muster: lock db\n${marked('writer', stage.root)}`,
      }),
    )
    const fleet = await Fleet.open(stage, ['one', 'two', 'three'])
    const readers = stage.start(['run', ...fleet.flags, 't/a.sh', 't/b.sh'], submitter(stage))
    await until(() => marks(stage.root, 'begun')['reader'] === 2, 'both readers')
    const writer = stage.start(['run', ...fleet.flags, 't/c.sh'], submitter(stage))
    await writer.says(/waits for lock 'db', held by/)
    assert.equal(marks(stage.root, 'begun')['writer'], undefined)
    await writeFile(stage.path('gate'), '')
    assert.equal((await readers.ended).code, 0)
    assert.equal((await writer.ended).code, 0)
  })

  test('files in order: what comes after a failure is skipped, or runs if the suite says so', async () => {
    await using stage = await Stage.open()
    const rules = [{ files: 't/*', dependsOn: 't/a.sh' }]
    const scripts = { ...scriptsOf((name) => marked(name, stage.root)), 'a.sh': `${marked('a', stage.root)}exit 1\n` }
    await stage.write(shellSuite(scripts, { rules }))
    const fleet = await Fleet.open(stage, ['one', 'two'])
    const report = await stage.json<JsonReport>(['run', ...fleet.flags], 1, submitter(stage))
    assert.deepEqual([report.verdict, report.tasks.failed, report.tasks.skipped], ['failed', 1, 3])
    assert.deepEqual(
      report.notRun.map((one) => one.file),
      ['t/b.sh', 't/c.sh', 't/d.sh'],
    )
    assert.match(report.notRun[0]!.why, /t\/a\.sh, which it comes after/)
    assert.deepEqual(marks(stage.root, 'begun'), { a: 1 })
    const words = await stage.muster(['run', ...fleet.flags], submitter(stage))
    assert.match(words.stderr, /- t\/b\.sh \(not run: t\/a\.sh, which it comes after/)
    assert.match(words.stderr, /3 files not run: t\/a\.sh, which it comes after.*\n +t\/b\.sh/)
    await writeFile(stage.path('begun'), 'a\n')
    await stage.write(shellSuite(scripts, { rules, onDependencyFailure: 'run' }))
    const all = await stage.json<JsonReport>(['run', ...fleet.flags], 1, submitter(stage))
    assert.deepEqual([all.tasks.failed, all.tasks.passed], [1, 3])
    const order = (await readFile(stage.path('begun'), 'utf8')).trim().split('\n').slice(1)
    assert.equal(order[0], 'a')
    const circle = [...rules, { files: 't/a.sh', dependsOn: 't/d.sh' }]
    await stage.write(shellSuite(scripts, { rules: circle }))
    const refused = await stage.muster(['run', ...fleet.flags], submitter(stage))
    assert.equal(refused.code, 2)
    assert.match(refused.stderr, /t\/a\.sh -> t\/d\.sh -> t\/a\.sh|t\/d\.sh -> t\/a\.sh -> t\/d\.sh/)
  })

  test('a run after a run: it waits, and is cancelled when the first does not pass', async () => {
    await using stage = await Stage.open()
    await stage.write(
      shellSuite({
        'a.sh': `${marked('a', stage.root, gate(stage.root))}exit 1\n`,
        'b.sh': marked('b', stage.root),
        'c.sh': marked('c', stage.root),
      }),
    )
    const fleet = await Fleet.open(stage, ['one', 'two'])
    const first = stage.start(['run', ...fleet.flags, 't/a.sh'], submitter(stage))
    await until(() => marks(stage.root, 'begun')['a'] === 1, 'the first run')
    const [{ run: id }] = (await fleet.client.runs()) as [RunView]
    const passed = stage.start(['run', ...fleet.flags, 't/b.sh', '--after', id], submitter(stage))
    const finished = stage.start(['run', ...fleet.flags, 't/c.sh', '--after', `${id}:finished`], submitter(stage))
    await passed.says(/waits for run/)
    await finished.says(/waits for run/)
    await writeFile(stage.path('gate'), '')
    assert.equal((await first.ended).code, 1)
    assert.notEqual((await passed.ended).code, 0)
    assert.equal((await finished.ended).code, 0)
    assert.deepEqual(marks(stage.root, 'begun'), { a: 1, c: 1 })
    const nobody = await stage.muster(['run', ...fleet.flags, 't/b.sh', '--after', 'r0'], submitter(stage))
    assert.match(nobody.stderr, /no run r0 to come after/)
  })

  test('run again, files go where flags sent them; a suite comes after another one; files together never meet', async () => {
    await using stage = await Stage.open()
    const held = stage.path('held')
    const alone = (name: string) => `${marked(name, stage.root)}mkdir ${held} || exit 1\nsleep 0.1\nrmdir ${held}\n`
    const where = `pwd > ${stage.path('where')}\n`
    const suite = { run: ['sh', '{files}'], results: 'exit-code' }
    const suites = [
      { ...suite, name: 'first', discover: ['t/first.sh'] },
      { ...suite, name: 'second', discover: ['t/second.sh'], after: 'first' },
      { ...suite, name: 'place', discover: ['t/place.sh'] },
      {
        ...suite,
        name: 'alone',
        discover: ['t/alone-*.sh'],
        requires: { cpus: 1, together: 'folder', batch: { max: 1 } },
      },
    ]
    await stage.write({
      'muster.config.json': JSON.stringify({ suites }),
      't/first.sh': marked('first', stage.root, gate(stage.root)),
      't/second.sh': marked('second', stage.root),
      't/place.sh': where,
      ...Object.fromEntries(names.map((name) => [`t/alone-${name}.sh`, alone(name)])),
    })
    const fleet = await Fleet.open(stage)
    await fleet.join('one')
    await fleet.join('two', '--label', 'zone=west', '--cpus', '2')
    const run = (name: string, ...flags: string[]) =>
      stage.start(['run', '--suite', name, ...fleet.flags, ...flags], submitter(stage))
    const placed = await run('place', '--require', 'label.zone == west', '--json').ended
    assert.equal(placed.code, 0, placed.stderr)
    const { run: id } = JSON.parse(placed.stdout) as JsonReport
    await writeFile(stage.path('where'), '')
    const again = await stage.muster(['rerun', id, ...fleet.flags, '--json'], submitter(stage))
    assert.equal(again.code, 0, again.stderr)
    assert.match(await readFile(stage.path('where'), 'utf8'), /worker-two/)
    const spec = await fleet.client.spec((JSON.parse(again.stdout) as JsonReport).run)
    assert.deepEqual(spec.needs, [{ where: 'label.zone == west' }])
    const first = run('first')
    await until(() => marks(stage.root, 'begun')['first'] === 1, 'the first suite')
    const second = run('second')
    await second.says(/waits for run/)
    await writeFile(stage.path('gate'), '')
    assert.equal((await first.ended).code, 0)
    assert.equal((await second.ended).code, 0)
    assert.equal((await run('alone').ended).code, 0)
  })

  test('a deadline that cannot be kept: said, or refused; rules of shares hold', async () => {
    await using stage = await Stage.open()
    await stage.write(shellSuite({ 'a.sh': 'sleep 2', 'b.sh': '' }))
    const data = stage.path('coordinator')
    await mkdir(data)
    await writeFile(`${data}/coordinator.json`, JSON.stringify({ shares: { 'user:*': { weight: 2, cpus: 1 } } }))
    const fleet = await Fleet.open(stage, ['one'])
    const run = (...flags: string[]) => stage.muster(['run', ...fleet.flags, 't/a.sh', ...flags], submitter(stage))
    for (const _ of [1, 2, 3]) assert.equal((await run()).code, 0)
    // Long enough to be submitted on a busy machine.
    const refused = await run('--deadline', '1900ms', '--admission', 'refuse')
    assert.equal(refused.code, 3)
    assert.match(refused.stderr, /can't finish by .*: needs about .* on the only worker that fits, and .* are left/)
    const said = await run('--deadline', '500ms')
    assert.equal(said.code, 0)
    assert.match(said.stderr + said.stdout, /can't finish by|is past its deadline, .*, by/)
    const { shares } = await stage.json<SharesView>(['shares', ...fleet.flags])
    const user = shares.find((one) => one.scope.startsWith('user:') && one.rule !== undefined)
    assert.deepEqual([user?.weight, user?.quota, user?.rule], [2, { cpus: 1 }, 'user:*'])
    assert.ok(user!.lastHourCpuHours > 0)
    assert.match((await stage.muster(['shares', ...fleet.flags])).stdout, /user:\* +2 +1 CPU\b/)
    const barred = await run('--user', 'bob')
    assert.notEqual(barred.code, 0)
    assert.match(barred.stderr, /Cannot submit for user 'bob': this token is of 'client'/)
    const token = (await stage.muster(['token', 'user', 'ci', '--on-behalf', '--data', data])).stdout.trim()
    const forBob = ['run', '--server', fleet.url, '--token', token, '--user', 'bob', 't/b.sh']
    assert.equal((await stage.muster(forBob, submitter(stage))).code, 0)
    assert.match((await stage.muster(['shares', ...fleet.flags])).stdout, /user:bob/)
  })
})
