/** A run over several machines: the workspace travels, work is shared, and deaths of workers and of the coordinator lose nothing. */
import assert from 'node:assert/strict'
import { chmod, readFile, readdir, rm, symlink, writeFile } from 'node:fs/promises'
import { describe, test } from 'node:test'
import type { JsonReport } from '../../reports/json.ts'
import { Fleet } from './fixtures/fleet.ts'
import { gate, marked, marks, shellSuite } from './fixtures/projects.ts'
import { Stage, until } from './fixtures/stage.ts'

const names = ['a', 'b', 'c', 'd', 'e', 'f'] as const
const once = Object.fromEntries(names.map((name) => [name, 1]))
const submitter = (stage: Stage) => ({ env: { MUSTER_DATA: stage.path('third') } })

// They mostly wait for each other's processes; each has a stage of its own.
describe('machines', { concurrency: 4 }, () => {
  test('the workspace travels exactly as it is, and again after changes', async () => {
    await using stage = await Stage.open({
      '.gitignore': 'secret.txt\n',
      'secret.txt': 'x',
      'data/one.txt': '1',
      'data/two.txt': '2',
      'tool.sh': '#!/bin/sh\necho tool\n',
    })
    const seen = stage.path('seen')
    const look = `{ ls -1d data/* secret.txt 2>/dev/null; cat data/*; ./tool.sh; readlink link; cat link; echo; pwd; } > '${seen}'`
    await stage.write(shellSuite({ 'look.sh': look }))
    await chmod(`${stage.project}/tool.sh`, 0o755)
    await symlink('data/one.txt', `${stage.project}/link`)
    const fleet = await Fleet.open(stage, ['one'])
    const run = async () => {
      const { code, stderr } = await stage.muster(['run', ...fleet.flags], submitter(stage))
      assert.equal(code, 0, stderr)
      const lines = (await readFile(seen, 'utf8')).split('\n')
      const place = lines.splice(-2)[0]!
      assert.ok(place.startsWith(stage.path('worker-one')), place)
      return lines
    }
    assert.deepEqual(await run(), ['data/one.txt', 'data/two.txt', '12tool', 'data/one.txt', '1'])
    await rm(`${stage.project}/data/two.txt`)
    await writeFile(`${stage.project}/data/one.txt`, 'new')
    await writeFile(`${stage.project}/data/three.txt`, '3')
    assert.deepEqual(await run(), ['data/one.txt', 'data/three.txt', 'new3tool', 'data/one.txt', 'new'])
  })

  test('data directories may be named relative to where a worker is started', async () => {
    await using stage = await Stage.open()
    await stage.write(shellSuite({ 'a.sh': 'pwd' }))
    const fleet = await Fleet.open(stage)
    await fleet.join('one', '--data', '../below')
    const { code, stderr } = await stage.muster(['run', ...fleet.flags], submitter(stage))
    assert.equal(code, 0, stderr)
    assert.ok((await readdir(stage.path('below'))).length > 0)
  })

  test('two workers share a run; its reports are those of one worker; --workers and --cpus are kept to', async () => {
    await using stage = await Stage.open()
    const scripts = names.map((name) => [
      `${name}.sh`,
      `${marked(name, stage.root, gate(stage.root))}echo ${name}; exit ${name === 'f' ? 1 : 0}`,
    ])
    await stage.write(shellSuite(Object.fromEntries(scripts)))
    const fleet = await Fleet.open(stage, ['one', 'two'])
    const start = (...flags: string[]) => stage.start(['run', ...fleet.flags, ...flags, '--json'], submitter(stage))
    const both = start('--junit', 'both.xml')
    await until(() => Object.keys(marks(stage.root, 'begun')).length === 2, 'a file on each worker')
    await writeFile(stage.path('gate'), '')
    const ended = await both.ended
    assert.equal(ended.code, 1, ended.stderr)
    const report = JSON.parse(ended.stdout) as JsonReport
    assert.deepEqual(report.workers.map((one) => one.name).sort(), ['one', 'two'])
    assert.deepEqual([report.planned, report.accounted, report.tasks.failed, report.rerun], [6, 6, 1, 0])
    assert.deepEqual(marks(stage.root, 'begun'), once)
    const one = await start('--workers', '1', '--cpus', '1', '--junit', 'one.xml').ended
    assert.equal((JSON.parse(one.stdout) as JsonReport).workers.length, 1)
    // Times are measured, and the name of the worker is the only thing that may tell who ran it.
    const plain = async (name: string) =>
      (await readFile(`${stage.project}/${name}`, 'utf8')).replaceAll(/ (time|timestamp|hostname)="[^"]*"/g, '')
    assert.equal(await plain('both.xml'), await plain('one.xml'))
  })

  test('a worker killed in the middle: its file runs again elsewhere', async () => {
    await using stage = await Stage.open()
    await stage.write(
      shellSuite(Object.fromEntries(names.map((name) => [`${name}.sh`, marked(name, stage.root, gate(stage.root))]))),
    )
    const fleet = await Fleet.open(stage, ['one'])
    const victim = await fleet.join('two')
    const run = stage.start(['run', ...fleet.flags, '--json'], submitter(stage))
    await until(() => Object.keys(marks(stage.root, 'begun')).length === 2, 'a file on each worker')
    // Each begins a 'sleep' now and then, which is called as it is itself until it has become one.
    const scripts = () => stage.processes().filter((one) => one.command.startsWith('sh t/')).length
    await until(() => scripts() === 2, 'the two that run')
    stage.kill(victim.pid)
    await until(() => scripts() === 1, 'the end of what it ran')
    await writeFile(stage.path('gate'), '')
    const { code, stdout, stderr } = await run.ended
    assert.equal(code, 0, stderr)
    const report = JSON.parse(stdout) as JsonReport
    assert.deepEqual([report.verdict, report.planned, report.accounted, report.tasks.passed], ['passed', 6, 6, 6])
    assert.ok(report.rerun >= 1)
    assert.deepEqual(marks(stage.root, 'done'), once)
  })

  test('the coordinator killed and started again on its data: the run completes, nothing ran twice', async () => {
    await using stage = await Stage.open()
    await stage.write(
      shellSuite(Object.fromEntries(names.map((name) => [`${name}.sh`, marked(name, stage.root, gate(stage.root))]))),
    )
    const fleet = await Fleet.open(stage, ['one', 'two'])
    const run = stage.start(['run', ...fleet.flags, '--json'], submitter(stage))
    await until(() => Object.keys(marks(stage.root, 'begun')).length === 2, 'a file on each worker')
    stage.kill(fleet.server.pid)
    await run.says(/the coordinator is away/)
    await fleet.serveAgain()
    await writeFile(stage.path('gate'), '')
    const { code, stdout, stderr } = await run.ended
    assert.equal(code, 0, stderr)
    const report = JSON.parse(stdout) as JsonReport
    assert.deepEqual([report.planned, report.accounted, report.tasks.passed, report.rerun], [6, 6, 6, 0])
    assert.deepEqual(marks(stage.root, 'begun'), once)
  })

  test('no worker within --wait-for-worker: exit code 3 that says so', async () => {
    await using stage = await Stage.open(shellSuite({ 'a.sh': '' }))
    const fleet = await Fleet.open(stage)
    const none = await stage.muster(['run', ...fleet.flags, '--wait-for-worker', '1s'], submitter(stage))
    assert.equal(none.code, 3, none.stderr)
    assert.match(none.stderr, /no worker is connected/)
    await fleet.join('one')
    const label = await stage.muster(
      ['run', ...fleet.flags, '--wait-for-worker', '1s', '--label', 'gpu=yes'],
      submitter(stage),
    )
    assert.equal(label.code, 3)
    assert.match(
      label.stderr,
      /the only connected worker does not fit: needs label\.gpu == yes; nearest: worker one has none/,
    )
  })
})
