/** What plugins' schedulers say of themselves: asked with the view of what they place, under guard, and checked. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ordered, Table, unhurried } from './fixtures/table.ts'
import { prepareGuard } from './guard.ts'
import type { OwnMetrics } from './own-metrics.ts'
import type { PluginRun, PluginView } from './plugin.ts'

await prepareGuard()

const asIs = (runs: readonly PluginRun[]) => runs

function metricsOf(table: Table, name: string): OwnMetrics | undefined {
  return table.host.metricsOf({ state: table.state, available: () => true, nowMs: table.nowMs }, name)
}

test('SchedulerHost: what a scheduler counts is of what it places, with its configuration', () => {
  const counts = (view: PluginView, config: { readonly times: number }) => ({
    waiting_runs: view.runs.length * config.times,
    workers: view.workers.length,
  })
  const configSchema = { type: 'object', properties: { times: { type: 'number', default: 1 } } }
  const table = new Table([ordered('counting', asIs, { metrics: counts, configSchema })], { guard: unhurried })
  table.worker('w')
  table.run('a', 1, { project: 'p' })
  table.run('b', 1, { project: 'q' })
  assert.equal(metricsOf(table, 'counting'), undefined, 'it places nothing')
  table.choose('counting', { project: 'p', config: { times: 10 } })
  assert.deepEqual(metricsOf(table, 'counting'), { values: { waiting_runs: 10, workers: 1 } })
  table.choose('counting')
  table.choose('history', { project: 'p' })
  assert.deepEqual(metricsOf(table, 'counting'), { values: { waiting_runs: 1, workers: 1 } })
  assert.equal(metricsOf(table, 'history'), undefined, 'those that come with Muster have none')
})

test('SchedulerHost: numbers that are none, too many, badly named or never there are said to be so, and harm no round', () => {
  const many = Object.fromEntries(Array.from({ length: 51 }, (_, at) => [`a${at}`, at]))
  const getter = Object.defineProperty({}, 'a', { enumerable: true, get: () => assert.fail('oh') })
  for (const [metrics, words] of [
    [() => ({ a: NaN }), /expected a finite number as a, received NaN/],
    [() => ({ a: '1' }), /expected a finite number as a, received 1/],
    [() => ({ 'A b': 1 }), /received "A b"/],
    [() => many, /expected at most 50 numbers, received 51/],
    [() => [1], /expected an object of names and numbers/],
    [() => null, /received null/],
    [() => getter, /metrics threw AssertionError: oh/],
    [
      () => {
        for (;;);
      },
      /metrics was ended: it may take 50 ms/,
    ],
  ] as const) {
    const table = new Table(
      [ordered('counting', asIs, { metrics })],
      words.source.includes('was ended') ? {} : { guard: unhurried },
    )
    table.worker('w')
    table.choose('counting')
    table.run('a', 1)
    const said = metricsOf(table, 'counting')
    assert.ok(said && 'why' in said, String(words))
    assert.match(said.why, words)
    assert.deepEqual(metricsOf(table, 'counting'), said, 'for a while it is not asked again')
    assert.equal(table.said.length, 1)
    table.nowMs += 10_000
    metricsOf(table, 'counting')
    assert.equal(table.said.length, 2)
    assert.equal(table.round().placed.length, 1)
    assert.equal(table.host.countsOf('counting').faults, 0)
  }
})
