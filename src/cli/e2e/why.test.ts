/** `muster why` against real processes: a need that nobody fits, a lock that another run holds, a file that has ended. */
import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { test } from 'node:test'
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
