/** `muster why` against real processes: a need that nobody fits, a lock that another run holds, a file that has ended. */
import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { test } from 'node:test'
import type { Replay } from '../../scheduling/replay.ts'
import type { WhatIf } from '../../scheduling/what-if.ts'
import type { Why } from '../../scheduling/why.ts'
import { Fleet } from './fixtures/fleet.ts'
import { gate, marked, marks, shellSuite } from './fixtures/projects.ts'
import { Stage, until } from './fixtures/stage.ts'

test('muster why: a lock and its holder, a need that nobody fits, and where a file ended', async () => {
  await using stage = await Stage.open()
  await stage.write(shellSuite({ 'a.sh': marked('a', stage.root, gate(stage.root)) }))
  const fleet = await Fleet.open(stage, ['one', 'two'])
  const submitter = { env: { MUSTER_DATA: stage.path('third') } }
  const newest = async (count: number) => {
    await until(async () => (await fleet.client.runs()).length === count, `${count} runs`)
    return (await fleet.client.runs())[0]!.run
  }
  const why = async (...words: string[]) => {
    const { code, stdout, stderr } = await stage.muster(['why', ...words, ...fleet.flags], submitter)
    assert.equal(code, 0, stderr)
    return stdout
  }

  const first = stage.start(['run', ...fleet.flags, '--lock', 'db'], submitter)
  await until(() => marks(stage.root, 'begun')['a'] === 1, 'the first run')
  const holder = await newest(1)
  const second = stage.start(['run', ...fleet.flags, '--lock', 'db'], submitter)
  const waiting = await newest(2)
  const text = await why(`${waiting}/0`)
  assert.match(text.replaceAll(/\s+/g, ' '), new RegExp(`waits for lock 'db', held by run ${holder} on (one|two) for`))
  assert.ok(text.split('\n').every((line) => line.length <= 100))
  const { waits } = JSON.parse(await why(waiting, 't/a.sh', '--json')) as Why
  assert.equal(waits[0]!.reasons[0]!.type, 'lock')

  const third = stage.start(['run', ...fleet.flags, '--require', 'gpu.memory >= 24GiB'], submitter)
  const impossible = await newest(3)
  const said = (await why(impossible)).replaceAll(/\s+/g, ' ')
  assert.match(said, /none of the 2 connected workers fits: needs gpu\.memory >= 24GiB; nearest: worker (one|two) has/)
  assert.match(said, /sooner - a worker like (one|two) with gpu\.memory >= 24GiB would start it now/)
  await fleet.client.act(impossible, 'cancel')
  assert.notEqual((await third.ended).code, 0)

  await writeFile(stage.path('gate'), '')
  assert.equal((await first.ended).code, 0)
  assert.equal((await second.ended).code, 0)
  assert.match(await why(holder, '0'), /passed on (one|two)[\s\S]*ended .* after 1 attempt/)
  const missing = await stage.muster(['why', holder, 't/none.sh', ...fleet.flags], submitter)
  assert.equal(missing.code, 2, missing.stderr)
  assert.match(missing.stderr, /has no task 't\/none\.sh'/)
})

test('muster plan and muster replay: from a run that was recorded, and from a suite', async () => {
  await using stage = await Stage.open()
  await stage.write(shellSuite({ 'a.sh': 'sleep 1', 'b.sh': 'sleep 0.1', 'c.sh': '' }))
  const fleet = await Fleet.open(stage, ['one'])
  const submitter = { env: { MUSTER_DATA: stage.path('third') } }
  const ask = async (...words: string[]) => {
    const { code, stdout, stderr } = await stage.muster([...words, ...fleet.flags], submitter)
    assert.equal(code, 0, stderr)
    return stdout
  }
  await ask('run')
  const { run } = (await fleet.client.runs())[0]!
  const plan = JSON.parse(await ask('plan', '--run', run, '--workers', '1,2', '--cpus', '1', '--json')) as WhatIf
  assert.deepEqual([plan.files, plan.knownRatio, plan.fleets.map((one) => one.workers)], [3, 1, [1, 2]])
  assert.ok(plan.fleets[0]!.expectedMs >= 1100 && plan.fleets[1]!.expectedMs < plan.fleets[0]!.expectedMs)
  assert.match(
    await ask('plan', '--workers', '2,4'),
    /^3 files[\s\S]*EXPECTED[\s\S]*do not help: t\/[ab]\.sh alone takes/,
  )
  const replayed = JSON.parse(await ask('replay', '--policy', 'fifo', '--from', run, '--json')) as Replay
  assert.deepEqual([replayed.policy, replayed.runs.length, replayed.replayed.unfinished], ['fifo', 1, 0])
  assert.ok(replayed.same.makespanMs > 0 && replayed.same.makespanMs <= replayed.really.makespanMs)
  assert.match(await ask('replay', '--since', '1h', '--workers', '3', '--runs'), /MAKESPAN[\s\S]*really[\s\S]*as asked/)
  const wrong = await stage.muster(['replay', '--policy', 'no', '--from', run, ...fleet.flags], submitter)
  assert.equal(wrong.code, 2, wrong.stderr)
  assert.match(wrong.stderr, /--policy: expected one of .*fifo/)
})
