import assert from 'node:assert/strict'
import { test } from 'node:test'
import { rehearse } from 'muster/plugin'
import plugin from './shortest-first.ts'

const [shortestFirst] = plugin.schedulers
const workers = [{ name: 'w', cpus: 1 }]
const minutes = (count: number) => count * 60_000

test('the shortest run is served first', () => {
  const runs = [
    { name: 'long', tasks: [minutes(9)] },
    { name: 'short', tasks: [minutes(1)] },
    { name: 'middle', tasks: [minutes(2), minutes(2)] },
  ]
  const { ended, faults } = rehearse(shortestFirst!, { workers, runs })
  assert.deepEqual(ended, ['short', 'middle', 'long'])
  assert.deepEqual(faults, [])
})

test('a long run waits for a bounded time, however many short ones come', () => {
  const short = Array.from({ length: 60 }, (_, at) => ({ name: `short-${at}`, tasks: [minutes(1)], atMs: minutes(at) }))
  const runs = [{ name: 'long', tasks: [minutes(10)] }, ...short]
  const { endedAtMs, unfinished } = rehearse(shortestFirst!, { workers, runs })
  assert.equal(endedAtMs['long'], minutes(19), 'after nine minutes it is as good as a short one that just came')
  assert.deepEqual(unfinished, [])
})

test('suites that are to be first are', () => {
  const runs = [
    { name: 'unit', tasks: [minutes(1)] },
    { name: 'smoke', suite: 'smoke', tasks: [minutes(5)] },
  ]
  const { ended } = rehearse(shortestFirst!, { workers, runs, config: { first: ['smoke'] } })
  assert.deepEqual(ended, ['smoke', 'unit'])
})

test('what it can not be configured with is refused', () => {
  const config = { minutesForgiven: 0 }
  assert.throws(() => rehearse(shortestFirst!, { workers, runs: [], config }), /must be >= 0.1, received 0/)
})
