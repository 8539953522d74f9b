/** What `muster why` says of runs that a plugin's scheduler serves. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { explain, type Why } from '../scheduling/why.ts'
import { ordered, placing, Table, unhurried } from './fixtures/table.ts'
import { prepareGuard } from './guard.ts'
import { largestFirst, type PluginRun } from './plugin.ts'

await prepareGuard()

/** One busy worker; a, b and c wait. */
function waitingAt(table: Table, strategy: string): (run: string) => Why {
  table.worker('w')
  table.run('first', 1)
  table.round()
  table.choose(strategy)
  for (const name of ['a', 'b', 'c']) table.run(name, 1)
  return (run) => {
    const { state, host, nowMs } = table
    const chosen = state.schedulers.get('')
    const strategyOf = { strategy: host.explained(state, chosen), config: host.inEffect(state, chosen).config }
    return explain({ state, available: () => true }, state.runs.get(run)!, undefined, strategyOf, nowMs)
  }
}

test('explained: a run has its place in the order of a plugin, and a priority that helps is found by trying', () => {
  const last = (runs: readonly PluginRun[]) =>
    largestFirst([...runs].reverse(), (run) => run.priority * 10 + (run.id === 'c' ? 5 : 0))
  const why = waitingAt(new Table([ordered('last', last)], { guard: unhurried }), 'last')
  const [a, c] = [why('a'), why('c')]
  assert.deepEqual([c.queuePosition, c.queueLength, c.strategy], [1, 3, 'last'])
  assert.equal(a.queuePosition, 2)
  assert.ok(a.starts!.toMs > c.starts!.toMs, 'what comes first is counted')
  assert.deepEqual(
    a.sooner.filter((one) => one.type === 'priority').map((one) => one.words),
    ['raising its priority to 1 (now 0) puts it next'],
  )
  assert.deepEqual(
    c.sooner.filter((one) => one.type === 'priority'),
    [],
  )
})

test('explained: one that places batch by batch has no order, and it says so', () => {
  const why = waitingAt(new Table([placing('each', () => [])]), 'each')('a')
  assert.equal(why.queuePosition, undefined)
  assert.equal(why.queueWords, "scheduler 'each' tells no order in which it serves runs")
})

test('explained: one that fails to say is not asked again for a while, is not at fault, and holds nobody up', () => {
  let asked = 0
  const endless = () => {
    asked += 1
    for (;;);
  }
  const table = new Table([ordered('endless', endless)])
  const why = waitingAt(table, 'endless')
  const sinceMs = performance.now()
  for (let times = 0; times < 20; times += 1) assert.match(why('a').queueWords!, /tells no order/)
  assert.ok(performance.now() - sinceMs < 2000)
  assert.equal(asked, 1)
  assert.deepEqual([table.host.takeFaults(), table.host.countsOf('endless').faults], [[], 0])
  table.nowMs += 20_000
  why('a')
  assert.equal(asked, 2)
})
