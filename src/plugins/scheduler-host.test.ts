import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ordered, placing, Table } from './fixtures/table.ts'
import { prepareGuard } from './guard.ts'
import type { PluginRun, PluginView } from './plugin.ts'

await prepareGuard()

const reversed = ordered('reversed', (runs: readonly PluginRun[]) => [...runs].reverse())

test('SchedulerHost: the chosen strategy decides the order, and the default where nothing is chosen', () => {
  const table = new Table([reversed], { roundMs: 5000 })
  table.worker('w')
  table.run('a', 1)
  table.run('b', 1)
  table.run('c', 1)
  assert.deepEqual(
    table.round().placed.map((one) => one.run),
    ['a'],
  )
  table.end()
  table.choose('reversed')
  assert.deepEqual(
    table.round().placed.map((one) => one.run),
    ['c'],
  )
  assert.deepEqual([table.host.countsOf('reversed').rounds, table.host.countsOf('reversed').placements], [1, 1])
  assert.deepEqual(table.said, [])
})

/** Five rounds in each of which the strategy is at fault; the default places the run meanwhile. */
function atFault(scheduler: ReturnType<typeof ordered>, kind: string, words: RegExp, rounds = 5): void {
  const kinds: string[] = []
  const table = new Table([scheduler], {
    roundMs: kind === 'hung' ? 20 : 5000,
    onFault: (_name, found) => kinds.push(found),
  })
  table.worker('w')
  table.choose(scheduler.name)
  for (let at = 0; at < rounds; at += 1) {
    table.run(`first-${at}`, 1)
    table.run(`second-${at}`, 1)
    assert.equal(table.round().placed.length, 1, 'the default places in that very round')
    table.end()
  }
  assert.deepEqual(
    kinds,
    Array.from({ length: 5 }, () => kind),
  )
  assert.match(String(table.said[0]!.why), words)
  assert.match(table.said.at(-1)!.message, /is suspended; 'history' places until it is chosen again/)
  assert.match(table.host.problems(table.state, table.nowMs)[0]!, /5 faults.*muster scheduler use/)
  assert.deepEqual(table.host.inEffect(table.state, table.state.schedulers.get('')).name, 'history')
  table.run('more-1', 1)
  table.run('more-2', 1)
  const before = table.host.countsOf(scheduler.name).rounds
  table.round()
  assert.equal(table.host.countsOf(scheduler.name).rounds, before, 'it is not asked any more')
  table.choose(scheduler.name)
  assert.deepEqual(table.host.problems(table.state, table.nowMs), [])
  assert.equal(table.host.inEffect(table.state, table.state.schedulers.get('')).name, scheduler.name)
}

test('SchedulerHost: one that throws is replaced after five faults until it is chosen again', () => {
  atFault(
    ordered('thrower', () => {
      throw new TypeError('oh')
    }),
    'threw',
    /order threw TypeError: oh/,
  )
})

test('SchedulerHost: one that throws something strange', () => {
  atFault(
    placing('strange', () => {
      throw Object.assign(new Error('words'), { name: 'Odd' })
    }),
    'threw',
    /place threw Odd: words/,
  )
})

test('SchedulerHost: what a plugin says does nothing to a terminal', () => {
  const coloured = ordered('coloured', () => {
    throw new Error('böse \u001b[31mred\n\u0007')
  })
  const table = new Table([coloured], { roundMs: 5000 })
  table.worker('w')
  table.choose('coloured')
  table.run('a', 1)
  table.run('b', 1)
  table.round()
  assert.equal(table.said[0]!.why, 'order threw Error: böse red ')
  assert.equal(table.host.faultsOf(table.state, 'coloured', table.nowMs).recent[0]!.why, table.said[0]!.why)
})

test('SchedulerHost: one that hangs in its order is ended', () => {
  atFault(
    ordered('endless', () => {
      for (;;);
    }),
    'hung',
    /order was ended: a round may take 20 ms/,
  )
})

test('SchedulerHost: the time of a round in which it was ended counts', () => {
  const endless = ordered('endless', () => {
    for (;;);
  })
  const table = new Table([endless], { roundMs: 30 })
  table.worker('w')
  table.choose('endless')
  table.run('a', 1)
  table.run('b', 1)
  table.round()
  const { rounds, totalMs, longestMs } = table.host.countsOf('endless')
  assert.equal(rounds, 1)
  assert.ok(longestMs >= 30 && totalMs === longestMs, String(longestMs))
})

test('SchedulerHost: one that hangs between two placements, and catches everything, is ended', () => {
  atFault(
    placing('stuck', function* () {
      try {
        for (;;) if (Date.now() < 0) yield undefined
      } finally {
        // Not even this is run.
        for (;;);
      }
    }),
    'hung',
    /place was ended/,
  )
})

test('SchedulerHost: one that returns nonsense', () => {
  atFault(
    ordered('seven', () => 7),
    'nonsense',
    /expected the runs in another order, received 7/,
  )
  atFault(
    ordered('strangers', () => [{}, {}]),
    'nonsense',
    /expected runs that it was given/,
  )
  atFault(
    ordered('twice', (runs: readonly PluginRun[]) => [runs[0], runs[0]]),
    'nonsense',
    /once, received first-0 again/,
  )
  atFault(
    placing('no-list', () => null),
    'nonsense',
    /expected an iterable/,
  )
  atFault(
    placing('half', () => [{ run: 'first-0' }]),
    'nonsense',
    /placement.worker: expected the id of a worker/,
  )
  const bad = { run: 'first-0', worker: 'w', tasks: [0], cpus: Number.NaN, why: '' }
  atFault(
    placing('no-number', () => [bad]),
    'nonsense',
    /placement.cpus: expected a whole number/,
  )
})

test('SchedulerHost: one that floods is stopped at what is refused first', () => {
  function* flood() {
    for (;;) yield { run: 'none', worker: 'w', tasks: [0], cpus: 1, why: '' }
  }
  atFault(placing('flood', flood), 'refused', /would have broken a rule: no run none/)
})

test('SchedulerHost: one that over-commits, or names what there is not', () => {
  const runOf = (view: PluginView) => view.runs[0]!.id
  const place = (wrong: object) => (view: PluginView) => [
    { run: runOf(view), worker: 'w', tasks: [0], cpus: 1, why: '', ...wrong },
  ]
  atFault(placing('greedy', place({ cpus: 2 })), 'refused', /has 1 CPUs free, not 2/)
  atFault(placing('nowhere', place({ worker: 'v' })), 'refused', /worker v takes no work/)
  atFault(placing('no-task', place({ tasks: [7] })), 'refused', /is not queued/)
})

test('SchedulerHost: state can not be written to through the view', () => {
  const writer = ordered('writer', (runs: readonly PluginRun[]) => {
    ;(runs[0] as { priority: number }).priority = 1000
    return runs
  })
  atFault(writer, 'threw', /TypeError: Cannot set property priority/)
  const table = new Table([
    ordered('prying', (runs: readonly PluginRun[], view: PluginView) => {
      assert.throws(() => ((runs[0]!.groups[0]!.need as { cpus: number }).cpus = 9), TypeError)
      assert.throws(() => ((runs[0]!.labels as { a: string }).a = 'b'), TypeError)
      assert.throws(() => Object.defineProperty(Object.getPrototypeOf(runs[0]), 'id', { get: () => 'x' }), TypeError)
      ;(view.runs as unknown as unknown[]).length = 0
      ;(view.workers as unknown as unknown[]).length = 0
      return runs
    }),
  ])
  table.choose('prying')
  table.worker('w')
  table.run('a', 1)
  table.run('b', 1)
  assert.equal(table.round().placed.length, 1)
  assert.deepEqual(table.said, [])
})

test('SchedulerHost: a worker is the same object in every round, of which nothing is found but what it shows', () => {
  const seen: object[] = []
  const keeper = placing('keeper', (view: PluginView) => {
    const [run] = view.runs
    const [worker] = view.workers
    seen.push(worker!, run!, run!.groups[0]!)
    assert.throws(() => ((worker as { mine?: number }).mine = 1), TypeError)
    assert.equal(run!.groups[0]!.free[0], worker)
    assert.equal(run!.groups[0]!.run, view.runs[0])
    return []
  })
  const table = new Table([keeper], { roundMs: 5000 })
  table.choose('keeper')
  table.worker('w')
  table.run('a', 1)
  table.round()
  table.round()
  assert.deepEqual(table.said, [])
  const [worker, run, group, ...later] = seen
  assert.deepEqual([later[0] === worker, later[1] === run, later[2] === group], [true, false, false])
})

test('SchedulerHost: what it puts on all objects is taken off again, and a fault', () => {
  atFault(
    ordered('stainer', (runs: readonly PluginRun[]) => {
      ;(Object.prototype as { evil?: number }).evil = 1
      ;(Array.prototype as { bad?: number }).bad = 1
      return runs
    }),
    'nonsense',
    /order: expected the prototypes of all objects and lists as they were, received '(evil|bad)'/,
  )
  assert.equal('evil' in {} || 'bad' in [], false)
})

test('SchedulerHost: faults that are old are forgotten', () => {
  const thrower = ordered('thrower', () => {
    throw new Error('oh')
  })
  const table = new Table([thrower], { roundMs: 5000 })
  table.worker('w')
  table.choose('thrower')
  for (let at = 0; at < 8; at += 1) {
    table.run(`a${at}`, 1)
    table.run(`b${at}`, 1)
    table.round()
    table.end()
    table.nowMs += 3 * 60_000
  }
  assert.equal(table.host.inEffect(table.state, table.state.schedulers.get('')).name, 'thrower')
})

test('SchedulerHost: runs that an order leaves out come last', () => {
  const table = new Table([ordered('second-only', (runs: readonly PluginRun[]) => [runs[1]])], { roundMs: 5000 })
  table.choose('second-only')
  for (const name of ['v', 'w', 'x']) table.worker(name)
  for (const name of ['a', 'b', 'c']) table.run(name, 1)
  assert.deepEqual(
    table.round().placed.map((one) => one.run),
    ['b', 'a', 'c'],
  )
})

test('SchedulerHost: workers by rank', () => {
  const rank = (_run: PluginRun, _group: unknown, worker: { readonly name: string }) => (worker.name === 'w2' ? 1 : 0)
  const table = new Table([ordered('ranked', (runs) => runs, { rank })], { roundMs: 5000 })
  table.choose('ranked')
  for (const name of ['w1', 'w2', 'w3']) table.worker(name)
  table.run('a', 1)
  assert.deepEqual(
    table.round().placed.map((one) => one.worker),
    ['w2'],
  )
})

test('SchedulerHost: a placing strategy takes batches from the view, which follows', () => {
  const everything = placing('everything', function* (view: PluginView) {
    for (const run of view.runs)
      for (const group of run.groups)
        for (const worker of group.free) {
          const batch = group.batchOn(worker)
          if (batch) yield batch
        }
  })
  const table = new Table([everything], { roundMs: 5000 })
  table.choose('everything')
  for (const name of ['v', 'w', 'x']) table.worker(name)
  table.run('a', 2)
  table.run('b', 2)
  const { placed, refused } = table.round()
  assert.deepEqual([placed.map((one) => `${one.run} on ${one.worker}`), refused], [['a on v', 'a on w', 'b on x'], []])
  assert.deepEqual(table.said, [])
})

/** Ends nothing, and counts how often it was asked to. */
function countingGuard() {
  const counted = { sections: 0, calls: 0 }
  const guard = {
    nowMs: () => 0,
    call: <Value>(call: () => Value) => {
      counted.calls += 1
      return { type: 'ok' as const, value: call() }
    },
    section: (body: () => void) => {
      counted.sections += 1
      body()
      return true
    },
  }
  return { guard, counted }
}

test('SchedulerHost: a list of placements is read with one call, up to the first that is nonsense', () => {
  const { guard, counted } = countingGuard()
  const list = placing('list', (view: PluginView) => [
    ...view.runs.slice(0, 3).map((run, at) => run.groups[0]!.batchOn(run.groups[0]!.free[at]!)),
    { run: 'half' },
  ])
  const table = new Table([list], { guard })
  table.choose('list')
  for (const name of ['v', 'w', 'x', 'y']) table.worker(name)
  for (const name of ['a', 'b', 'c', 'd']) table.run(name, 1)
  const { placed } = table.round()
  assert.deepEqual(
    placed.map((one) => `${one.run} on ${one.worker}`),
    ['a on v', 'b on w', 'c on x', 'd on y'],
    'the last one by the default',
  )
  assert.equal(counted.calls, 1)
  assert.match(String(table.said[0]!.why), /place: placement.worker: expected the id of a worker/)
})

test('SchedulerHost: a section is opened only where there may be something to compare', () => {
  const { guard, counted } = countingGuard()
  const table = new Table([ordered('ranked', (runs) => runs, { rank: () => 1 })], { guard })
  table.choose('ranked')
  table.worker('v')
  table.run('a', 1)
  assert.equal(table.round().placed.length, 1)
  assert.deepEqual(counted, { sections: 0, calls: 0 }, 'one worker, one run')
  table.end()
  table.worker('w')
  table.run('b', 4)
  assert.equal(table.round().placed.length, 2)
  assert.deepEqual(counted, { sections: 1, calls: 1 }, 'two workers')
})

test('SchedulerHost: several strategies share a round, and none waits for ever', () => {
  const table = new Table([reversed], { roundMs: 5000 })
  table.choose('reversed', { project: 'p' })
  table.choose('fifo', { project: 'q' })
  table.worker('w')
  for (let at = 0; at < 20; at += 1) {
    table.run(`p${at}`, 1, { project: 'p' })
    table.run(`q${at}`, 1, { project: 'q' })
    table.run(`r${at}`, 1, { project: 'r' })
  }
  for (const name of ['v', 'x', 'y', 'z', 'u']) table.worker(name)
  const held: Record<string, number> = { p: 0, q: 0, r: 0 }
  const { placed } = table.round()
  for (const { run } of placed) held[run[0]!]! += 1
  assert.deepEqual(held, { p: 2, q: 2, r: 2 })
  assert.ok(placed.some((one) => one.run === 'p19') && placed.some((one) => one.run === 'q0'))
})

test('SchedulerHost: what one strategy waits for is kept from those after it', () => {
  const table = new Table([reversed], { roundMs: 5000 })
  table.choose('fifo', { project: 'p' })
  table.worker('w', 2)
  const small = { project: 'q', needs: [{ cpus: 1 }] }
  table.run('q0', 1, small)
  table.round()
  table.run('p0', 1, { project: 'p', needs: [{ cpus: 2 }] })
  for (let at = 1; at < 5; at += 1) table.run(`q${at}`, 1, small)
  assert.deepEqual(table.round().placed, [], 'the other half is kept for the large one, whose project has nothing')
  table.end()
  assert.deepEqual(
    table.round().placed.map((one) => one.run),
    ['p0'],
  )
})

test('SchedulerHost: a strategy that nobody knows, or that is configured wrongly, is the default with a problem', () => {
  const configSchema = {
    type: 'object',
    properties: { factor: { type: 'number', default: 2 } },
    additionalProperties: false,
  }
  const seen: unknown[] = []
  const keep = (runs: readonly PluginRun[], _view: unknown, config: unknown) => {
    seen.push(config)
    return runs
  }
  const table = new Table([ordered('keep', keep, { configSchema })], { roundMs: 5000 })
  table.worker('w')
  table.run('a', 1)
  table.run('b', 1)
  table.choose('elsewhere')
  const [missing] = table.host.problems(table.state, 0)
  assert.match(missing!, /no plugin with a scheduler 'elsewhere'; 'history' places instead/)
  assert.equal(table.round().placed.length, 1)
  table.end()
  table.choose('keep', { config: { factor: 'x' } })
  assert.match(table.host.problems(table.state, 0)[0]!, /config.factor: must be number, received "x"/)
  table.run('c', 1)
  table.choose('keep')
  table.round()
  assert.deepEqual(seen, [{ factor: 2 }])
  assert.throws(() => ((seen[0] as { factor: number }).factor = 3), TypeError)
  assert.match(table.host.faultOf({ strategy: 'none' })!.why, /expected one of history, fifo,.*keep/)
  assert.match(table.host.faultOf({ strategy: 'fifo', config: { a: 1 } })!.why, /expected no configuration/)
})

/** So many placements, then it hangs. */
const stuckAfter = (max: number) =>
  placing('stuck', function* (view: PluginView) {
    let given = 0
    for (const run of view.runs)
      for (const worker of run.groups[0]!.free) {
        while (given === max);
        const batch = run.groups[0]!.batchOn(worker)
        if (!batch) break
        yield batch
        given += 1
      }
  })

/** A busy machine may stop this process between two placements: what doesn't hang has done its part long before. */
const roundMs = 500

for (const way of ['all', 'one by one'] as const) {
  test(`SchedulerHost: what was placed before it hung stands, and the default places the rest; ${way}`, () => {
    const table = new Table([stuckAfter(2), reversed], { roundMs })
    table.choose('stuck')
    for (const name of ['u', 'v', 'w', 'x']) table.worker(name)
    for (const name of ['a', 'b', 'c', 'd']) table.run(name, 1)
    const { placed, refused } = table.round(500, way)
    assert.deepEqual(
      placed.map((one) => one.run),
      ['a', 'b', 'c', 'd'],
    )
    assert.deepEqual(refused, [])
    assert.match(String(table.said[0]!.why), /place was ended: a round may take 500 ms/)
    const { rounds, placements, faults, totalMs } = table.host.countsOf('stuck')
    assert.deepEqual([rounds, placements, faults], [1, 2, 1])
    assert.ok(totalMs >= roundMs)
    assert.equal(table.host.countsOf('history').placements, 2)
    assert.equal(table.state.batches.size, 4)
    for (const worker of table.state.workers.values()) assert.equal(worker.cpusUsed, 1)
  })

  test(`SchedulerHost: one that hangs costs those that share its round nothing; ${way}`, () => {
    const table = new Table([stuckAfter(1), reversed], { roundMs })
    table.choose('reversed')
    table.choose('stuck', { project: 'q' })
    for (let at = 0; at < 12; at += 1) table.worker(`w${at}`)
    for (let at = 0; at < 6; at += 1) {
      table.run(`p${at}`, 1, { project: 'p' })
      table.run(`q${at}`, 1, { project: 'q' })
    }
    const { placed } = table.round(500, way)
    assert.equal(placed.length, 12, 'all of both')
    assert.deepEqual([table.said.length, table.host.countsOf('stuck').faults], [1, 1])
  })
}

test('SchedulerHost: getters of a scheduler are asked once, when it is loaded, and never in a round', () => {
  let loaded = false
  const sly = {
    ...ordered('sly', (runs: readonly PluginRun[]) => [...runs].reverse()),
    get rank() {
      if (loaded) throw new Error('outside of the guard')
      return undefined
    },
  }
  const table = new Table([sly], { roundMs: 5000 })
  loaded = true
  table.worker('w')
  table.choose('sly')
  table.run('a', 1)
  table.run('b', 1)
  assert.deepEqual(
    table.round().placed.map((one) => one.run),
    ['b'],
  )
  assert.deepEqual(table.said, [])
})
