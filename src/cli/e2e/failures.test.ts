/** What happens to what keeps failing: breakers leave it alone, dead letters keep it until somebody has mended the cause. */
import assert from 'node:assert/strict'
import { chmod, mkdir, writeFile } from 'node:fs/promises'
import { describe, test } from 'node:test'
import type { BreakerView, DeadLetterView, LettersPage, ReplayResult } from '../../protocol/failures.ts'
import type { WorkerView } from '../../protocol/run-view.ts'
import type { JsonReport } from '../../reports/json.ts'
import { Fleet } from './fixtures/fleet.ts'
import { marked, marks, shellSuite } from './fixtures/projects.ts'
import { Stage, until } from './fixtures/stage.ts'

const names = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'] as const

const runner = `#!/bin/sh
report=$1; shift
{ echo '<testsuite name="t">'
  for file; do sh $file; echo "<testcase classname='$file' name='works' time='0.1' file='$file'/>"; done
  echo '</testsuite>'; } > "$report"
`

/** A suite whose runner is a program that a worker has or hasn't. */
async function suite(stage: Stage): Promise<void> {
  const scripts = names.map((name) => [`${name}.sh`, marked(name, stage.root, 'sleep 0.1')])
  await stage.write(
    shellSuite(Object.fromEntries(scripts), { run: ['special-runner', '{junit}', '{files}'], results: 'junit' }),
  )
}

/** The worker finds the program once it is mended. */
async function joinBroken(stage: Stage, fleet: Fleet, name: string): Promise<{ mend(): Promise<void> }> {
  const tools = stage.path(`tools-${name}`)
  await mkdir(tools)
  const data = stage.path(`worker-${name}`)
  const flags = ['--token', fleet.tokens.worker, '--name', name, '--data', data, '--cpus', '1']
  const worker = stage.start(['worker', '--join', fleet.url, ...flags], {
    env: { MUSTER_DATA: data, PATH: `${stage.environment()['PATH']}:${tools}` },
  })
  await worker.says(/joined/)
  return {
    async mend() {
      await writeFile(`${tools}/special-runner`, runner)
      await chmod(`${tools}/special-runner`, 0o755)
    },
  }
}

const submitter = (stage: Stage) => ({ env: { MUSTER_DATA: stage.path('third') } })

describe('failures', { concurrency: 2 }, () => {
  test('a worker on which nothing starts is left alone; another finishes the run', async () => {
    await using stage = await Stage.open()
    await suite(stage)
    // Looked at while it is open, however long that takes here.
    await mkdir(stage.path('coordinator'), { mode: 0o700 })
    const limits = { workerBreakerCoolDownMs: 3_600_000 }
    await writeFile(stage.path('coordinator', 'coordinator.json'), JSON.stringify({ limits }))
    const fleet = await Fleet.open(stage)
    const bad = await joinBroken(stage, fleet, 'bad')
    const good = await joinBroken(stage, fleet, 'good')
    await good.mend()
    const run = await stage.json<JsonReport>(['run', ...fleet.flags], 0, submitter(stage))
    assert.deepEqual([run.tasks.passed, run.planned, run.accounted], [8, 8, 8])
    assert.deepEqual(marks(stage.root, 'done'), Object.fromEntries(names.map((name) => [name, 1])))
    const [open, ...others] = (await stage.json<BreakerView[]>(['breakers', ...fleet.flags])).filter(
      (one) => one.state !== 'closed',
    )
    assert.deepEqual([open?.kind, open?.name, open?.state, others], ['worker', 'bad', 'open', []])
    assert.match(open!.why!, /failed within/)
    assert.match((await stage.muster(['workers', ...fleet.flags])).stdout, /bad +idle, breaker open/)
    assert.match((await stage.muster(['breakers', ...fleet.flags])).stdout, /worker:\S+ +bad +open/)
    await bad.mend()
    const again = await stage.muster(['breakers', 'reset', open!.scope, ...fleet.flags])
    assert.match(again.stdout, /bad +closed/)
    const second = await stage.json<JsonReport>(['run', ...fleet.flags], 0, submitter(stage))
    assert.deepEqual(second.workers.map((one) => one.name).sort(), ['bad', 'good'])
    const missing = await stage.muster(['breakers', 'reset', 'worker:none', ...fleet.flags])
    assert.deepEqual([missing.code, /no worker none/.test(missing.stderr)], [2, true])
  })

  test('a worker that somebody opens gets nothing until it is reset', async () => {
    await using stage = await Stage.open()
    await suite(stage)
    const fleet = await Fleet.open(stage)
    await (await joinBroken(stage, fleet, 'one')).mend()
    await (await joinBroken(stage, fleet, 'two')).mend()
    const workers = await stage.json<WorkerView[]>(['workers', ...fleet.flags])
    const one = workers.find((worker) => worker.name === 'one')!
    const why = ['--why', 'its disk is being changed']
    const [held] = await stage.json<BreakerView[]>(['breakers', 'open', `worker:${one.worker}`, ...why, ...fleet.flags])
    assert.deepEqual([held?.state, held?.held, held?.why], ['open', true, 'its disk is being changed'])
    const run = await stage.json<JsonReport>(['run', ...fleet.flags], 0, submitter(stage))
    assert.deepEqual(
      run.workers.map((worker) => worker.name),
      ['two'],
    )
    assert.equal((await stage.muster(['breakers', 'reset', '--all', ...fleet.flags])).code, 0)
    assert.deepEqual(await stage.json(['breakers', ...fleet.flags]), [])
  })

  test('what was lost leaves dead letters, which pass once the cause is mended', async () => {
    await using stage = await Stage.open()
    await suite(stage)
    const fleet = await Fleet.open(stage)
    const only = await joinBroken(stage, fleet, 'only')
    const run = stage.start(['run', ...fleet.flags], submitter(stage))
    const ended = await run.ended
    assert.equal(ended.code, 3, ended.stderr)
    assert.match(ended.stderr, /8 files got no verdict: see 'muster dead-letters list --run /)
    const page = await stage.json<LettersPage>(['dead-letters', ...fleet.flags])
    assert.deepEqual(page.letters.map((one) => one.file).sort(), names.map((name) => `t/${name}.sh`).sort())
    const none = await stage.muster(['run', '--dead-letters', 'none', ...fleet.flags], submitter(stage))
    assert.equal(none.code, 3, none.stderr)
    assert.doesNotMatch(none.stderr, /got no verdict/)
    assert.equal((await stage.json<LettersPage>(['dead-letters', ...fleet.flags])).total, 8)
    const unknown = await stage.muster(['run', '--dead-letters', 'all', ...fleet.flags], submitter(stage))
    assert.deepEqual([unknown.code, /expected lost, crashed, timed-out or none/.test(unknown.stderr)], [2, true])
    const [first] = page.letters
    const shown = await stage.json<DeadLetterView>(['dead-letters', 'show', first!.letter, ...fleet.flags])
    assert.deepEqual([shown.cause, shown.attempts.at(-1)?.reason], ['failed-to-start', 'failed-to-start'])
    assert.match((await stage.muster(['dead-letters', 'show', first!.letter, ...fleet.flags])).stdout, /special-runner/)
    assert.match((await stage.muster(['dead-letters', ...fleet.flags])).stdout, /waiting +failed-to-start/)
    const discarded = await stage.muster(['dead-letters', 'discard', page.letters[7]!.letter, ...fleet.flags])
    assert.equal(discarded.code, 0, discarded.stderr)
    await only.mend()
    const replay = () => stage.json<ReplayResult[]>(['dead-letters', 'replay', '--run', first!.run, ...fleet.flags])
    const [result] = await replay()
    assert.ok(result?.ok, JSON.stringify(result))
    assert.equal(result.letters.length, 7)
    await until(async () => (await fleet.client.run(result.run)).state === 'finished', 'the end of the replay')
    assert.equal((await fleet.client.run(result.run)).verdict, 'passed')
    assert.deepEqual((await stage.json<LettersPage>(['dead-letters', ...fleet.flags])).letters, [])
    const gone = await stage.muster(['dead-letters', 'replay', first!.letter, ...fleet.flags])
    assert.deepEqual([gone.code, /no dead letter/.test(gone.stderr)], [2, true])
    const usage = await stage.muster(['dead-letters', 'replay', ...fleet.flags])
    assert.deepEqual([usage.code, /expected ids, --run or --all/.test(usage.stderr)], [2, true])
  })
})
