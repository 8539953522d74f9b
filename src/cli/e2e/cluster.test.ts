/** Coordinators on etcd: whatever happens to them, a run goes on, nothing is executed twice, and who asks is told. */
import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { describe, test } from 'node:test'
import type { JsonReport } from '../../reports/json.ts'
import type { Why } from '../../scheduling/why.ts'
import { Coordinators } from './fixtures/coordinators.ts'
import { gate, marked, marks, shellSuite } from './fixtures/projects.ts'
import { Stage, until } from './fixtures/stage.ts'

const names = ['a', 'b', 'c', 'd', 'e', 'f'] as const
const once = Object.fromEntries(names.map((name) => [name, 1]))

/** A run of six files over two workers, each file waiting at the gate; `trouble` comes while two of them wait. */
async function runThrough(stage: Stage, cluster: Coordinators, trouble: () => Promise<void>): Promise<void> {
  const scripts = names.map((name) => [`${name}.sh`, `${marked(name, stage.root, gate(stage.root))}echo ${name}`])
  await stage.write(shellSuite(Object.fromEntries(scripts)))
  await cluster.join('one')
  await cluster.join('two')
  const run = stage.start(['run', ...cluster.flags, '--json'], { env: { MUSTER_DATA: stage.path('third') } })
  await until(() => Object.keys(marks(stage.root, 'begun')).length === 2, 'a file on each worker')
  await trouble()
  await writeFile(stage.path('gate'), '')
  const ended = await run.ended
  assert.equal(ended.code, 0, ended.stderr)
  const report = JSON.parse(ended.stdout) as JsonReport
  assert.equal(report.verdict, 'passed')
  assert.deepEqual([report.planned, report.accounted, report.rerun], [6, 6, 0])
  assert.deepEqual(marks(stage.root, 'begun'), once, 'each file was begun once')
  assert.deepEqual(marks(stage.root, 'done'), once, 'each file ended once')
}

describe('a cluster', { concurrency: 2 }, () => {
  test('the leader is killed: another leads, and what runs is not interrupted', async () => {
    await using stage = await Stage.open()
    await using cluster = await Coordinators.open(stage)
    await runThrough(stage, cluster, async () => {
      const first = await cluster.leader()
      await cluster.kill(first)
      const second = await cluster.leader(first)
      assert.notEqual(second, first)
      await cluster.start(first)
      await cluster.settled(3)
      // And the one that took over, at once.
      await cluster.kill(second)
      await cluster.settled(2, second)
    })
  })

  test('the leader is frozen: another leads, and the frozen one follows when it wakes', async () => {
    await using stage = await Stage.open()
    await using cluster = await Coordinators.open(stage)
    await runThrough(stage, cluster, async () => {
      const first = await cluster.leader()
      cluster.signal(first, 'SIGSTOP')
      await cluster.leader(first)
      cluster.signal(first, 'SIGCONT')
      await cluster.settled(3)
      assert.notEqual(await cluster.leader(), first)
    })
  })

  test('a host is lost with its etcd member, and that led etcd: another leads', async () => {
    await using stage = await Stage.open()
    await using cluster = await Coordinators.open(stage)
    await runThrough(stage, cluster, async () => {
      const first = await cluster.leader()
      const member = await cluster.etcd.leader()
      await Promise.all([cluster.kill(first), member.kill()])
      await cluster.settled(2, first)
      await member.restart()
    })
  })

  test('every coordinator is killed: workers finish what they hold and report to those that come back', async () => {
    await using stage = await Stage.open()
    await using cluster = await Coordinators.open(stage)
    await runThrough(stage, cluster, async () => {
      await Promise.all(['c1', 'c2', 'c3'].map((name) => cluster.kill(name)))
      await writeFile(stage.path('gate'), '')
      // Each batch has one file or two: how many is up to the coordinator.
      const count = (ledger: 'begun' | 'done') => Object.keys(marks(stage.root, ledger)).length
      await until(() => count('done') >= 2 && count('done') === count('begun'), 'what was held is done')
      for (const name of ['c1', 'c2', 'c3']) await cluster.start(name)
      await cluster.settled(3)
    })
  })

  test('coordinators are added, handed over, drained and replaced one at a time', async () => {
    await using stage = await Stage.open()
    await using cluster = await Coordinators.open(stage)
    await runThrough(stage, cluster, async () => {
      await cluster.start('c4')
      await cluster.settled(4)
      const ended = await stage.muster(['cluster', 'transfer', '--to', 'c4', ...cluster.flags])
      assert.equal(ended.code, 0, ended.stderr)
      assert.match(ended.stdout, /^c4 \(c-\w+\) leads now, epoch \d+\n$/)
      assert.equal(await cluster.leader(), 'c4')
      const again = await stage.muster(['cluster', 'transfer', '--to', 'c4', ...cluster.flags])
      assert.match(again.stdout, /^c4 \(c-\w+\) leads already, epoch \d+\n$/)
      const nobody = await stage.muster(['cluster', 'transfer', '--to', 'c9', ...cluster.flags])
      assert.equal(nobody.code, 2)
      assert.match(nobody.stderr, /no coordinator 'c9' follows this one\n.*'muster cluster status'/)
      // The same directory would be the same member twice.
      const place = ['--data', stage.path('c4'), '--listen', '127.0.0.1:0']
      const shared = ['--cluster', cluster.etcd.url('/muster'), '--blobs', stage.path('blobs')]
      const twice = await stage.muster(['serve', ...place, ...shared])
      assert.equal(twice.code, 2, twice.stderr)
      assert.match(twice.stderr, /^muster: Cannot use the data directory \S+c4: it is in use by process \d+ on /)
      assert.equal(await cluster.leader(), 'c4')
      for (const name of ['c1', 'c2', 'c3', 'c4']) {
        cluster.signal(name, 'SIGTERM')
        await cluster.programs.get(name)!.ended
        await cluster.start(name)
        await cluster.settled(4)
      }
    })
  })

  test('a follower answers what was written through another, and the status names everybody', async () => {
    await using stage = await Stage.open(shellSuite({ 'a.sh': 'exit 0' }))
    await using cluster = await Coordinators.open(stage)
    await cluster.join('one', 'c2')
    const leader = await cluster.leader()
    const follower = ['c1', 'c2', 'c3'].find((name) => name !== leader)!
    const flags = ['--token', cluster.tokens.client, '--server', cluster.url(follower)]
    const run = await stage.json<JsonReport>(['run', ...flags], 0)
    for (const name of ['c1', 'c2', 'c3']) {
      const at = ['--token', cluster.tokens.client, '--server', cluster.url(name)]
      await until(async () => (await stage.muster(['show', run.run, ...at])).code === 0, `the run at ${name}`)
      const shown = await stage.json<{ readonly verdict: string }>(['show', run.run, ...at])
      assert.equal(shown.verdict, 'passed')
      const why = await stage.json<Why>(['why', `${run.run}/0`, ...at])
      assert.deepEqual([why.state, why.attempts?.map((one) => one.name)], ['passed', ['one']])
    }
    const status = await stage.muster(['cluster', 'status', ...flags])
    assert.equal(status.code, 0, status.stderr)
    for (const name of ['c1', 'c2', 'c3'])
      assert.match(status.stdout, new RegExp(`^c-\\w+ +${name} +(leader|follower) `, 'm'))
    assert.match(status.stdout, /^blobs +ok$/m)
    assert.match(status.stdout, /m1 {2}127\.0\.0\.1:\d+ {2}(leader|follower)/)
  })

  test('a reader who names a position is answered with that state or later, or told that it is not there yet', async () => {
    await using stage = await Stage.open()
    await using cluster = await Coordinators.open(stage, 2)
    const leader = await cluster.leader()
    const follower = leader === 'c1' ? 'c2' : 'c1'
    const headers = { authorization: `Bearer ${cluster.tokens.client}`, 'content-type': 'application/json' }
    for (let count = 1; count <= 10; count += 1) {
      const body = JSON.stringify({ framework: 'noop', files: [`f${count}`] })
      const once = { ...headers, 'idempotency-key': `run ${count}` }
      const post = () => fetch(`${cluster.url(leader)}/api/v1/runs`, { method: 'POST', headers: once, body })
      let made = await post()
      // On a busy machine another one may come to lead; meanwhile who writes is told to come again.
      await until(async () => made.status !== 503 || (made = await post()).status !== 503, 'a leader')
      assert.equal(made.status, 201, await made.clone().text())
      const position = made.headers.get('muster-position')!
      const { run } = (await made.json()) as { readonly run: string }
      const read = await fetch(`${cluster.url(follower)}/api/v1/runs/${run}`, {
        headers: { ...headers, 'muster-position': position },
      })
      assert.equal(read.status, 200)
      assert.ok(Number(read.headers.get('muster-position')) >= Number(position))
      const why = await fetch(`${cluster.url(follower)}/api/v1/runs/${run}/why`, { headers })
      assert.deepEqual(((await why.json()) as Why).waits[0]!.reasons, [{ type: 'no-worker' }])
    }
    const far = await fetch(`${cluster.url(follower)}/api/v1/runs`, {
      headers: { ...headers, 'muster-position': '1000000' },
    })
    assert.equal(far.status, 503)
    assert.match(((await far.json()) as { readonly detail: string }).detail, /position 1000000/)
  })

  for (const [what, flags, pattern] of [
    ['no blobs', ['--cluster', 'etcd://127.0.0.1:1'], /--cluster: expected --blobs with it/],
    ['blobs alone', ['--blobs', 'x'], /--blobs is for a coordinator of a cluster/],
    ['another scheme', ['--cluster', 'http://127.0.0.1:1', '--blobs', 'x'], /expected it to start with 'etcd:\/\/'/],
    ['no etcd there', ['--cluster', 'etcd://127.0.0.1:1', '--blobs', 'blobs'], /Cannot reach etcd at 127\.0\.0\.1:1/],
    [
      'a bad address',
      ['--cluster', 'etcd://127.0.0.1:1', '--blobs', 'x', '--advertise', 'here'],
      /expected http:\/\/HOST:PORT/,
    ],
  ] as const) {
    test(`serve --cluster with ${what} ends with one error`, async () => {
      await using stage = await Stage.open()
      const ended = await stage.muster(['serve', '--listen', '127.0.0.1:0', '--data', stage.path('c'), ...flags])
      assert.ok(ended.code === 2 || ended.code === 3, String(ended.code))
      assert.match(ended.stderr, pattern)
      assert.doesNotMatch(ended.stderr, /\n\s+at /)
      assert.equal(ended.stdout, '')
    })
  }
})
