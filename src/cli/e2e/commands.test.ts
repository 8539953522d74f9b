/** The commands round a run: looking at it, acting on it, and running parts of a suite again. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync } from 'node:fs'
import { rm, writeFile } from 'node:fs/promises'
import { text } from 'node:stream/consumers'
import { after, before, test } from 'node:test'
import type { PredictRow } from '../../history/history.ts'
import type { RunView, WorkerView } from '../../protocol/run-view.ts'
import type { JsonReport } from '../../reports/json.ts'
import { muster } from './fixtures/program.ts'
import { gate, marked, marks, shellSuite } from './fixtures/projects.ts'
import { Stage, until, type Files } from './fixtures/stage.ts'

let stage: Stage
before(async () => {
  stage = await Stage.open()
})
after(() => stage[Symbol.asyncDispose]())

async function project(name: string, scripts: Files, more: object = {}): Promise<string> {
  await stage.write(shellSuite(scripts, more), stage.path(name))
  return stage.path(name)
}

const mixed = { 'a.sh': 'echo from-a', 'b.sh': 'echo from-b; exit 1', 'c.sh': 'echo from-c' }

test('show, logs, rerun --failed, --last-failed', async () => {
  const cwd = await project('mixed', mixed)
  const first = await stage.json<JsonReport>(['run'], 1, { cwd })
  const shown = await stage.muster(['show', first.run])
  assert.match(shown.stdout, /failed +\S+ ms +t\/b\.sh/)
  assert.match((await stage.muster(['show', first.run, '--failed'])).stdout, /t\/b\.sh/)
  assert.equal((await stage.json<RunView>(['show', first.run])).run, first.run)
  assert.match((await stage.muster(['logs', first.run])).stdout, /from-a/)
  const one = await stage.muster(['logs', first.run, 't/b.sh'])
  assert.match(one.stdout, /from-b/)
  for (const args of [
    ['show', 'rnone'],
    ['logs', 'rnone'],
    ['logs', first.run, 't/none.sh'],
    ['cancel', 'rnone'],
    ['rerun', 'rnone'],
  ]) {
    const { code, stderr } = await stage.muster(args)
    assert.equal(code, 2, `${args.join(' ')}: ${stderr}`)
    assert.doesNotMatch(stderr, /bug in Muster/)
  }
  const again = await stage.json<JsonReport>(['rerun', first.run, '--failed'], 1)
  assert.deepEqual([again.planned, again.failures.map((one) => one.file)], [1, ['t/b.sh']])
  assert.equal((await stage.json<JsonReport>(['rerun', first.run], 1)).planned, 3)
  assert.match((await stage.muster(['rerun', first.run, '--lost'])).stderr, /has no lost files/)
  assert.equal((await stage.json<JsonReport>(['run', '--last-failed'], 1, { cwd })).planned, 1)
  await writeFile(`${cwd}/t/b.sh`, '')
  assert.equal((await stage.json<JsonReport>(['run', '--last-failed'], 0, { cwd })).planned, 1)
})

test('predict shows how far off estimates are, and what is missing for a better one', async () => {
  const cwd = await project('predicted', { 'slept.sh': 'sleep 1', 'idle.sh': '' })
  for (let run = 0; run < 2; run += 1) await stage.json<JsonReport>(['run'], 0, { cwd })
  // Others run here at the same time, in projects of their own.
  const all = await stage.json<PredictRow[]>(['predict', '--files'])
  const mine = all.find((row) => row.files?.some((one) => one.durations === 2 && one.file.endsWith('slept.sh')))
  assert.ok(mine !== undefined)
  assert.deepEqual([mine.used, mine.samples, mine.figures.learned], ['simple', 4, null])
  assert.ok(mine.files![0]!.file.endsWith('slept.sh') && mine.files![0]!.ms >= 1000)
  assert.ok(mine.startups[0]!.batches >= 2)
  const { stdout, stderr } = await stage.muster(['predict', mine.project])
  assert.match(stdout + stderr, /used: simple \(needs 200 durations/)
  const [unknown] = await stage.json<PredictRow[]>(['predict', 'nobody'])
  assert.equal(unknown!.samples, 0)
})

test('a reader that has seen enough is no error, except of a backup', async () => {
  const cwd = await project('unread', mixed)
  const { run } = await stage.json<JsonReport>(['run'], 1, { cwd })
  const piped = async (args: readonly string[]) => {
    const line = `"$@" | true; exit "\${PIPESTATUS[0]}"`
    const env = stage.environment()
    const child = spawn('bash', ['-c', line, 'bash', muster, ...args], { env, stdio: ['ignore', 'pipe', 'pipe'] })
    const [stderr, [code]] = await Promise.all([text(child.stderr), once(child, 'close') as Promise<[number]>])
    return { code, stderr }
  }
  assert.deepEqual(await piped(['show', run]), { code: 0, stderr: '' })
  assert.deepEqual(await piped(['log', 'export', '--data', stage.path('data', 'host')]), {
    code: 3,
    stderr: 'muster: Nobody reads the output any more; it is not complete\n',
  })
})

test('rerun repeats arguments and settings once', async () => {
  const cwd = await project('args', { 'a.sh': `echo "$@" >> ${stage.path('arguments')}` }, { args: ['--of-suite'] })
  const first = await stage.muster(
    ['run', '--json', '--retries', '2', '--timeout', '7s', '--cpus', '1', '--', '--own'],
    { cwd },
  )
  const again = await stage.json<JsonReport>(['rerun', (JSON.parse(first.stdout) as JsonReport).run], 0)
  const specs = await Promise.all(
    [JSON.parse(first.stdout) as JsonReport, again].map(({ run }) => stage.client().spec(run)),
  )
  assert.deepEqual({ ...specs[1], startupMs: 0 }, { ...specs[0], startupMs: 0 })
  assert.equal(readFileSync(stage.path('arguments'), 'utf8'), '--of-suite --own\n'.repeat(2))
})

test('--retries makes a file that fails at first flaky; --max-failures stops; --dry-run runs nothing', async () => {
  const seen = stage.path('seen')
  const flaky = await project('flaky', { 'a.sh': `test -e ${seen} || { echo > ${seen}; exit 1; }`, 'b.sh': '' })
  const report = await stage.json<JsonReport>(['run', '--retries', '1'], 0, { cwd: flaky })
  assert.deepEqual([report.tasks.flaky, report.tasks.passed, report.flaky.map((one) => one.file)], [1, 1, ['t/a.sh']])
  const failing = await project(
    'failing',
    Object.fromEntries(
      ['a', 'b', 'c', 'd', 'e', 'f'].map((name) => [`${name}.sh`, name === 'a' ? 'exit 1' : 'sleep 2']),
    ),
  )
  const stopped = await stage.json<JsonReport>(['run', '--max-failures', '1', '--cpus', '1'], 1, { cwd: failing })
  assert.equal(stopped.planned, stopped.accounted)
  assert.ok(stopped.tasks.failed >= 1 && stopped.tasks.cancelled >= 1, JSON.stringify(stopped.tasks))
  const dry = await project('dry', { 'a.sh': `echo > ${stage.path('dry-ran')}` })
  const plan = await stage.muster(['run', '--dry-run'], { cwd: dry })
  assert.equal(plan.code, 0)
  assert.match(plan.stdout, /t\/a\.sh/)
  assert.equal(existsSync(stage.path('dry-ran')), false)
})

test('shards are disjoint and complete', async () => {
  const names = ['a', 'b', 'c', 'd', 'e', 'f', 'g']
  const cwd = await project(
    'shards',
    Object.fromEntries(names.map((name) => [`${name}.sh`, marked(name, stage.path('shards'))])),
  )
  for (const part of [1, 2, 3]) await stage.json<JsonReport>(['run', '--shard', `${part}/3`], 0, { cwd })
  assert.deepEqual(marks(cwd, 'done'), Object.fromEntries(names.map((name) => [name, 1])))
})

test('pause, resume, cancel, ps, workers', async () => {
  const cwd = stage.path('paused')
  await project(
    'paused',
    Object.fromEntries(['a', 'b', 'c'].map((name) => [`${name}.sh`, marked(name, cwd, gate(cwd))])),
  )
  const run = stage.start(['run', '--cpus', '1', '--json'], { cwd })
  await stage.fileExists(`${cwd}/begun`)
  const [active] = await stage.json<RunView[]>(['ps'])
  const id = active!.run
  assert.equal(active!.state, 'running')
  assert.match((await stage.muster(['pause', id])).stdout, /paused/)
  assert.match((await stage.muster(['pause', id])).stdout, /paused/, 'twice is once')
  const workers = await stage.json<WorkerView[]>(['workers'])
  assert.deepEqual(
    workers.map((one) => one.state),
    ['busy'],
  )
  assert.match((await stage.muster(['resume', id])).stdout, /running/)
  await writeFile(`${cwd}/gate`, '')
  assert.equal((await run.ended).code, 0)
  await rm(`${cwd}/gate`)
  const other = stage.start(['run', '--json'], { cwd })
  await until(() => Object.values(marks(cwd, 'begun')).some((count) => count === 2), 'the second run')
  const [second] = await stage.json<RunView[]>(['ps'])
  assert.match((await stage.muster(['cancel', second!.run])).stdout, /cancelling|finished/)
  const ended = await other.ended
  assert.equal(ended.code, 130)
  const report = JSON.parse(ended.stdout) as JsonReport
  assert.deepEqual([report.verdict, report.planned, report.accounted], ['cancelled', 3, 3])
  assert.deepEqual(await stage.json<RunView[]>(['ps']), [])
})

test('doctor says what is here', async () => {
  const cwd = await project('doctor', { 'a.sh': '' })
  const { code, stdout } = await stage.muster(['doctor', '--cwd', cwd])
  assert.equal(code, 0)
  assert.match(stdout, /command|sh/)
})
