/** What a retry policy does to real processes: crashes found alone, other workers, recycled workers; and what is counted. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { describe, test } from 'node:test'
import type { RecoveryView } from '../../protocol/recovery.ts'
import type { JsonReport } from '../../reports/json.ts'
import { Fleet } from './fixtures/fleet.ts'
import { nodeSuite, nodeTest, shellSuite } from './fixtures/projects.ts'
import { Stage } from './fixtures/stage.ts'

/** Kills the framework's process, which it runs under, until it has begun so often. */
function deadly(ledger: string, times: number): string {
  return nodeTest(
    `import { appendFileSync, readFileSync } from 'node:fs'
test('deadly', () => {
  appendFileSync('${ledger}', 'x')
  if (readFileSync('${ledger}').length <= ${times}) process.kill(process.ppid, 'SIGKILL')
})`,
  )
}

const harmless = nodeTest(`test('works', () => {})`)

function counts(view: RecoveryView, cause: string): Record<string, readonly [tried: number, worked: number]> {
  const kind = view.kinds.find((one) => one.cause === cause)
  return Object.fromEntries((kind?.levels ?? []).map(({ level, tried, worked }) => [level, [tried, worked]]))
}

describe('retries', { concurrency: 2 }, () => {
  test('a file that crashes at first passes alone, after a wait; what it took is counted', async () => {
    await using stage = await Stage.open()
    const ledger = stage.path('ledger')
    await stage.write(nodeSuite({ 'a.test.js': harmless, 'b.test.js': harmless, 'deadly.test.js': deadly(ledger, 2) }))
    const run = await stage.json<JsonReport>(['run', '--retry', 'crashed=4,backoff=50ms,jitter=0'])
    assert.deepEqual([run.verdict, run.planned, run.accounted], ['passed', 3, 3])
    assert.equal(readFileSync(ledger, 'utf8'), 'xxx')
    const view = await stage.json<RecoveryView>(['recovery'])
    const [tried, worked] = counts(view, 'crashed')['fresh-process']!
    assert.ok(worked >= 1 && tried === worked + 1, `${worked} of ${tried}`)
    const { levels } = view.kinds.find((kind) => kind.cause === 'crashed')!
    assert.ok(levels[0]!.wallMs! > 0 && levels[0]!.memoryBytes! > 0, 'its costs are known')
    const table = await stage.muster(['recovery'])
    assert.match(table.stdout, /^CAUSE +FRAMEWORK +LEVEL +TRIED +WORKED +WALL +CPU +MEMORY\n/)
  })

  test('a file that always crashes has its worker recycled, and is given up when the policy is used up', async () => {
    await using stage = await Stage.open()
    const ledger = stage.path('ledger')
    await stage.write(nodeSuite({ 'a.test.js': harmless, 'deadly.test.js': deadly(ledger, Infinity) }))
    const run = await stage.json<JsonReport>(['run', '--retry', 'crashed=5'], 1)
    assert.deepEqual([run.planned, run.accounted], [2, 2])
    const { 'recycle-worker': recycled, isolate } = counts(await stage.json<RecoveryView>(['recovery']), 'crashed')
    assert.deepEqual(
      [recycled, isolate],
      [
        [1, 0],
        [1, 0],
      ],
    )
    assert.deepEqual((await stage.json<RecoveryView>(['recovery'])).recycling, [])
  })

  test('with where=other-worker a failed file is tried on another worker', async () => {
    await using stage = await Stage.open()
    const seen = stage.path('seen')
    // Each worker runs it in a workspace of its own.
    const script = `if [ -e '${seen}' ] && [ "$(cat '${seen}')" != "$PWD" ]; then exit 0; fi\necho "$PWD" > '${seen}'\nexit 1\n`
    await stage.write(shellSuite({ 'picky.sh': script }))
    const fleet = await Fleet.open(stage, ['one', 'two'])
    const options = { env: { MUSTER_DATA: stage.path('third') } }
    const run = await stage.json<JsonReport>(
      ['run', ...fleet.flags, '--retry', 'failed=1,where=other-worker'],
      0,
      options,
    )
    assert.equal(run.tasks.flaky, 1)
    const view = await stage.json<RecoveryView>(['recovery', ...fleet.flags], 0, options)
    assert.deepEqual(counts(view, 'failed'), { 'other-worker': [1, 1] })
  })

  test('a policy that is not understood ends with what was expected', async () => {
    await using stage = await Stage.open(nodeSuite({ 'a.test.js': harmless }))
    const ended = await stage.muster(['run', '--retry', 'lost=1,where=mars'])
    assert.equal(ended.code, 2)
    assert.match(ended.stderr, /--retry lost=1,where=mars: expected where to be one of any, other-worker/)
  })
})
