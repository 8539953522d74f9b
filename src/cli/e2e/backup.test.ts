/** Backup and restore: what a coordinator knew is there again elsewhere, from a file. */
import assert from 'node:assert/strict'
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { mkdir, rename } from 'node:fs/promises'
import { test } from 'node:test'
import type { RunView } from '../../protocol/run-view.ts'
import type { JsonReport } from '../../reports/json.ts'
import { Coordinators } from './fixtures/coordinators.ts'
import { Fleet } from './fixtures/fleet.ts'
import { nodeSuite, nodeTest } from './fixtures/projects.ts'
import { Stage } from './fixtures/stage.ts'

const suite = nodeSuite({
  'a.test.mjs': nodeTest(`test('adds', () => assert.equal(1 + 1, 2))`),
  'b.test.mjs': nodeTest(`test('fails', () => { console.log('seen in the output'); assert.equal(1, 2) })`),
})

async function told(stage: Stage, flags: readonly string[], run: string): Promise<object> {
  const show = await stage.json<{ version: number }>(['show', run, ...flags])
  const logs = await stage.muster(['logs', run, ...flags])
  const tasks = await stage.muster(['show', run, ...flags])
  assert.match(logs.stdout, /seen in the output/)
  return { show, logs: logs.stdout, tasks: tasks.stdout }
}

test('a backup made while the coordinator runs is the same coordinator elsewhere', async () => {
  await using stage = await Stage.open(suite)
  const fleet = await Fleet.open(stage, ['one'])
  const { run } = await stage.json<JsonReport>(['run', ...fleet.flags], 1)
  const before = await told(stage, fleet.flags, run)

  const archive = stage.path('backup.zst')
  const place = ['--data', stage.path('coordinator')]
  const exported = await stage.muster(['log', 'export', ...place, '--with-blobs', '--to', archive])
  assert.equal(exported.code, 0, exported.stderr)
  assert.match(exported.stderr, /exported the running coordinator/)
  assert.equal(statSync(archive).mode & 0o777, 0o600)
  const verified = await stage.json<Record<string, unknown>>(['log', 'verify', archive])
  assert.deepEqual([verified['runs'], verified['unfinishedRuns'], verified['missingBlobs']], [1, 0, 0])

  // It can be played without any coordinator, and comes out as the coordinator's own recording does.
  const played = await stage.json<object>(['replay', '--log', archive])
  assert.deepEqual(played, await stage.json<object>(['replay', '--from', run, ...fleet.flags]))
  const missing = await stage.muster(['replay', '--log', archive, '--from', 'r0none'])
  assert.equal(missing.code, 2)
  assert.match(missing.stderr, /no run r0none is in .*backup\.zst/)

  // Its history can be had only when nobody writes to it.
  const withHistory = await stage.muster(['log', 'export', ...place, '--with-history', '--to', stage.path('x')])
  assert.equal(withHistory.code, 2)
  assert.match(withHistory.stderr, /is running/)

  fleet.server.kill('SIGTERM')
  assert.equal((await fleet.server.ended).code, 0)
  const whole = stage.path('whole.zst')
  const stopped = await stage.muster(['log', 'export', ...place, '--with-blobs', '--with-history', '--to', whole])
  assert.equal(stopped.code, 0, stopped.stderr)

  // The old one is out of the way: whatever is seen now comes from the archive.
  await rename(stage.path('coordinator'), stage.path('old'))
  assert.deepEqual(await stage.json<object>(['replay', '--log', whole]), played)
  const imported = await stage.muster(['log', 'import', archive, ...place])
  assert.equal(imported.code, 0, imported.stderr)
  await fleet.serveAgain()
  assert.deepEqual(await told(stage, fleet.flags, run), before)
  // The worker has the tokens of the archive, and joins again: what was done can be done again.
  await fleet.workersAre(1)
  const again = await stage.json<JsonReport>(['rerun', run, ...fleet.flags], 1)
  assert.equal(again.planned, 2)

  // The log's own history is rebuilt from what the log holds; with the database, all of it is there.
  fleet.server.kill('SIGTERM')
  await fleet.server.ended
  await rename(stage.path('coordinator'), stage.path('second'))
  const restored = await stage.muster(['log', 'import', whole, ...place])
  assert.match(restored.stderr, /the history/)
  await fleet.serveAgain()
  const runs = await stage.json<RunView[]>(['runs', ...fleet.flags])
  assert.deepEqual(
    runs.map((one) => one.run),
    [run],
  )
})

test('an import writes nothing that is not whole, and never over something', async () => {
  await using stage = await Stage.open(suite)
  const fleet = await Fleet.open(stage)
  const answer = await fleet.post('/runs', { framework: 'command', files: ['a', 'b'] })
  const { run } = (await answer.json()) as RunView
  const archive = stage.path('log.zst')
  const data = stage.path('coordinator')
  const exported = await stage.muster(['log', 'export', '--data', data, '--all', '--to', archive])
  assert.equal(exported.code, 0, exported.stderr)

  const taken = await stage.muster(['log', 'import', archive, '--data', data])
  assert.equal(taken.code, 2)
  assert.match(taken.stderr, /expected an empty directory, found /)

  const broken = stage.path('broken.zst')
  const bytes = readFileSync(archive)
  writeFileSync(broken, bytes.subarray(0, bytes.length - 20))
  const target = stage.path('target')
  for (const args of [
    ['import', broken, '--data', target],
    ['verify', broken],
  ]) {
    const ended = await stage.muster(['log', ...args])
    assert.equal(ended.code, 2)
    assert.match(ended.stderr, /^muster: Cannot use the archive .*broken\.zst: it /)
  }
  assert.equal(existsSync(target), false)
  assert.deepEqual(
    readdirSync(stage.path()).filter((name) => name.includes('import')),
    [],
  )

  await mkdir(target)
  const imported = await stage.muster(['log', 'import', archive, '--data', target])
  assert.equal(imported.code, 0, imported.stderr)
  assert.match(imported.stderr, /1 runs \(1 unfinished\)/)
  fleet.server.kill('SIGTERM')
  await fleet.server.ended
  await rename(data, stage.path('old'))
  await rename(target, data)
  await fleet.serveAgain()
  assert.equal((await fleet.client.run(run)).planned, 2)
})

test('from one coordinator to a cluster and back: runs, output, contexts and tokens stay', async () => {
  await using stage = await Stage.open(suite)
  const fleet = await Fleet.open(stage, ['one'])
  const { run } = await stage.json<JsonReport>(['run', ...fleet.flags], 1)
  const before = await told(stage, fleet.flags, run)
  const { tokens } = fleet
  fleet.server.kill('SIGTERM')
  await fleet.server.ended
  const move = async (from: readonly string[], to: readonly string[], name: string) => {
    const file = stage.path(name)
    const exported = await stage.muster(['log', 'export', ...from, '--with-blobs', '--to', file])
    assert.equal(exported.code, 0, exported.stderr)
    const imported = await stage.muster(['log', 'import', file, ...to])
    assert.equal(imported.code, 0, imported.stderr)
  }

  await using cluster = await Coordinators.bare(stage, 1)
  const shared = ['--cluster', cluster.etcd.url('/muster'), '--blobs', stage.path('blobs')]
  await move(['--data', stage.path('coordinator')], shared, 'there.zst')
  await cluster.start('c1')
  const { peer: _, ...kept } = cluster.tokens as Readonly<Record<string, string>>
  assert.deepEqual(kept, tokens)
  assert.deepEqual(await told(stage, cluster.flags, run), before)
  await cluster.join('two')
  // Its private context was sealed for the cluster: without it the new run would not start.
  const again = await stage.json<JsonReport>(['rerun', run, ...cluster.flags], 1)
  assert.deepEqual([again.planned, again.accounted], [2, 2])
  const second = await told(stage, cluster.flags, again.run)
  await cluster.kill('c1')

  await rename(stage.path('coordinator'), stage.path('old'))
  await move(shared, ['--data', stage.path('coordinator')], 'back.zst')
  await fleet.serveAgain()
  assert.deepEqual(fleet.tokens, tokens)
  assert.deepEqual(await told(stage, fleet.flags, run), before)
  assert.deepEqual(await told(stage, fleet.flags, again.run), second)
})
