/** What is played again comes out the same, byte for byte, and what is compared is what is meant. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { plainSpec } from '../core/transcript.ts'
import { joinOf } from './made-up.ts'
import { play } from './player.ts'
import { playOf, type RecordedRun, type Recording } from './recording.ts'
import { jain, nearestRank, replay } from './replay.ts'
import { builtinStrategies, fifo, history, priority } from './strategies/builtin.ts'
import { whatIf } from './what-if.ts'

const machine = (host: string, cpus = 1, speed = 1) => ({
  os: 'linux',
  arch: 'x64',
  cpus,
  memoryBytes: 1,
  host,
  labels: {},
  tools: {},
  speed,
})

test('play: batches start up, run their tasks on as many lanes as they have CPUs, scaled by speed', () => {
  const submit = { type: 'submit' as const, run: 'R', who: 'client:x', spec: plainSpec, files: ['a', 'b', 'c'] }
  const played = play({
    strategy: history,
    inputs: [
      { atMs: 0, input: joinOf('w', 'w', machine('h', 2, 2)) },
      { atMs: 100, input: { ...submit, estimates: [400, 300, 200] } },
    ],
    taskMs: (_run, task, worker) => [400, 300, 200][task]! / worker.capabilities.speed!,
    startupMs: () => 10,
  })
  assert.deepEqual(played.runs, [{ run: 'R', submittedAtMs: 100, startedAtMs: 100, endedAtMs: 100 + 10 + 250 }])
  assert.deepEqual(
    played.batches.map((batch) => [batch.tasks, batch.fromMs, batch.toMs]),
    [[[0, 1, 2], 100, 360]],
  )
})

test('play: a worker that leaves loses its batch, and it is played elsewhere', () => {
  const submit = { type: 'submit' as const, run: 'R', who: 'client:x', spec: plainSpec, files: ['a'] }
  const played = play({
    strategy: history,
    inputs: [
      { atMs: 0, input: joinOf('w', 'w', machine('h')) },
      { atMs: 0, input: { ...submit, estimates: [1000] } },
      { atMs: 500, input: { type: 'leave', worker: 'w', why: 'x' } },
      { atMs: 600, input: joinOf('v', 'v', machine('i')) },
    ],
    taskMs: () => 1000,
    startupMs: () => 0,
  })
  assert.equal(played.batches.length, 2)
  assert.ok(played.runs[0]!.endedAtMs! >= 1600)
})

test('play: a host that was left idle by choice is looked at again every 2 s, and gets what others do not come to', () => {
  const spec = { ...plainSpec, needs: [{ batchMax: 1 }] }
  const submit = { type: 'submit' as const, run: 'R', who: 'client:x', spec, files: ['a', 'b'] }
  const story = (longMs: number) =>
    play({
      strategy: history,
      inputs: [
        { atMs: 0, input: joinOf('fast', 'fast', machine('h', 1, 1)) },
        { atMs: 0, input: joinOf('slow', 'slow', machine('i', 1, 0.125)) },
        { atMs: 0, input: { ...submit, estimates: [1000, 900] } },
      ],
      taskMs: (_run, task, worker) => [longMs, 900][task]! / worker.capabilities.speed!,
      startupMs: () => 0,
    }).batches.map(({ tasks, worker, fromMs, toMs }) => [tasks[0], worker, fromMs, toMs])
  // As expected, the fast one does both sooner than the slow one does the second.
  assert.deepEqual(story(1000), [
    [0, 'fast', 0, 1000],
    [1, 'fast', 1000, 1900],
  ])
  // The first takes far longer than was expected, and nothing happens meanwhile but the passing of time.
  assert.deepEqual(story(100_000), [
    [0, 'fast', 0, 100_000],
    [1, 'slow', 8000, 15_200],
  ])
})

test('play: looks end where nothing is to come, and a strategy that waits for a time of its own is given a minute', () => {
  const submit = { type: 'submit' as const, run: 'R', who: 'client:x', spec: plainSpec, files: ['a'] }
  const story = (waitMs: number) => {
    const asked: number[] = []
    const { endMs } = play({
      strategy: {
        ...history,
        place: (view, config) => {
          asked.push(view.nowMs)
          return view.nowMs < waitMs ? [] : history.place(view, config)
        },
      },
      inputs: [
        { atMs: 0, input: joinOf('w', 'w', machine('h')) },
        { atMs: 0, input: { ...submit, estimates: [100] } },
      ],
      taskMs: () => 100,
      startupMs: () => 0,
    })
    return { asked, endMs }
  }
  assert.deepEqual(story(5000), { asked: [0, 2000, 4000, 6000, 6100], endMs: 6100 })
  const never = story(Infinity)
  assert.equal(never.endMs, 0)
  assert.deepEqual(never.asked.slice(0, 4), [0, 2000, 4000, 6000])
  assert.ok(never.asked.at(-1)! >= 60_000 && never.asked.at(-1)! < 70_000, `${never.asked.at(-1)}`)
})

test('play: a day in which nothing happens does not cost a look every 2 s', () => {
  const dayMs = 86_400_000
  const submit = { type: 'submit' as const, run: 'R', who: 'client:x', files: ['a'] }
  let asked = 0
  const { runs } = play({
    strategy: {
      ...history,
      place: (view, config) => {
        asked += 1
        return history.place(view, config)
      },
    },
    inputs: [
      { atMs: 0, input: joinOf('small', 'small', machine('h')) },
      { atMs: 0, input: { ...submit, spec: { ...plainSpec, needs: [{ cpus: 4 }] }, estimates: [100] } },
      { atMs: dayMs, input: joinOf('large', 'large', machine('i', 4)) },
    ],
    taskMs: () => 100,
    startupMs: () => 0,
  })
  assert.equal(runs[0]!.endedAtMs, dayMs + 100)
  assert.ok(asked < 250, `${asked}`)
})

/** Two projects: a large run first, then small ones while it is under way. */
function recording(): Recording {
  const fromMs = 5_000_000
  const run = (id: string, project: string, atMs: number, count: number, ms: number, more = {}): RecordedRun => ({
    run: id,
    who: 'client:x',
    spec: { ...plainSpec, project, ...more },
    submittedAtMs: fromMs + atMs,
    startedAtMs: fromMs + atMs + 100,
    endedAtMs: fromMs + atMs + 100 + count * ms,
    files: Array.from({ length: count }, (_, index) => `f${index}`),
    estimatesMs: Array.from({ length: count }, (_, index) => (index % 5 === 0 ? null : ms * 1.2)),
    kinds: Array.from({ length: count }, () => 0),
    durationsMs: Array.from({ length: count }, (_, index) => ms * (1 + (index % 3) / 10)),
    startupMs: 50,
  })
  return {
    fromMs,
    toMs: fromMs + 100_000,
    strategy: 'history',
    runs: [
      run('A', 'large', 0, 200, 300),
      run('B', 'small', 1000, 3, 100),
      run('C', 'small', 2000, 3, 100, { priority: 900 }),
    ],
    workers: [0, 1, 2].map((at) => ({
      worker: `w${at}`,
      name: `w${at}`,
      capabilities: machine(`h${at}`, 2, 1 + at),
      joinedAtMs: fromMs - 1000,
      ...(at === 2 ? { leftAtMs: fromMs + 4000 } : {}),
    })),
    leftOut: [],
  }
}

test('replay: the same input gives the same answer, byte for byte, for every built-in strategy', () => {
  for (const strategy of builtinStrategies) {
    const texts = [1, 2].map(() => JSON.stringify(replay(recording(), history, strategy, { type: 'same' })))
    assert.equal(texts[0], texts[1])
    const { replayed } = JSON.parse(texts[0]!) as ReturnType<typeof replay>
    assert.equal(replayed.unfinished, 0, strategy.name)
  }
})

test('replay: beside what happened and the same policy; another policy and another fleet change what they should', () => {
  const byOrder = replay(recording(), history, fifo, { type: 'same' })
  const byPriority = replay(recording(), history, priority, { type: 'same' })
  const urgent = (one: typeof byOrder) => one.runs.find((run) => run.run === 'C')!.startedMs[2]!
  assert.ok(urgent(byPriority) <= urgent(byOrder))
  assert.equal(byOrder.really.waitMeanMs, 100)
  assert.deepEqual(
    replay(recording(), history, history, { type: 'same' }).same,
    replay(recording(), history, history, { type: 'same' }).replayed,
  )
  const large = replay(recording(), history, history, { type: 'made-up', workers: 20 })
  assert.ok(large.replayed.makespanMs < large.same.makespanMs)
  assert.ok(large.replayed.waitMeanMs <= large.same.waitMeanMs)
  const none = replay({ ...recording(), workers: [] }, history, history, { type: 'made-up', workers: 2 })
  assert.equal(none.replayed.unfinished, 3)
})

test('playOf: workers join and leave when they did', () => {
  const inputs = playOf(recording(), history, { type: 'same' }).inputs.filter(({ input }) => input.type === 'leave')
  assert.deepEqual(
    inputs.map(({ atMs }) => atMs),
    [4000],
  )
})

test('jain, nearestRank', () => {
  assert.equal(jain([1, 1, 1]), 1)
  assert.equal(jain([1, 0, 0]), 1 / 3)
  assert.equal(jain([]), 1)
  assert.equal(nearestRank([3, 1, 2], 0.95), 3)
  assert.equal(
    nearestRank(
      Array.from({ length: 100 }, (_, at) => at + 1),
      0.95,
    ),
    95,
  )
  assert.equal(nearestRank([], 0.95), 0)
})

test('whatIf: more workers take less time down to the longest file, and it says from where on they do not help', () => {
  const files = Array.from({ length: 100 }, (_, index) => `f${index}`)
  const estimatesMs = files.map((_, index) => (index === 7 ? 10_000 : 1000))
  const work = { spec: plainSpec, files, estimatesMs, startupMs: 0 }
  const plan = whatIf(work, [1, 2, 4, 16, 64], { cpus: 1, speeds: [1] }, history)
  const expected = plan.fleets.map((fleet) => fleet.expectedMs)
  assert.deepEqual([expected[0], expected.at(-1)], [109_000, 10_000])
  for (let at = 1; at < expected.length; at += 1) assert.ok(expected[at]! <= expected[at - 1]!)
  for (const fleet of plan.fleets) {
    assert.ok(fleet.expectedMs >= fleet.lowerBoundMs && fleet.expectedMs <= fleet.lowerBoundMs * 1.1)
    assert.ok(fleet.fromMs < fleet.expectedMs && fleet.expectedMs < fleet.toMs)
  }
  assert.equal(plan.fleets[0]!.efficiency, 1)
  assert.deepEqual([plan.workersMax, plan.longest], [11, { file: 'f7', ms: 10_000 }])
  assert.equal(
    JSON.stringify(whatIf(work, [2], { cpus: 2, speeds: [1, 2] }, history)),
    JSON.stringify(whatIf(work, [2], { cpus: 2, speeds: [1, 2] }, history)),
  )
})

test('whatIf: a lock lets one batch run at a time, whatever workers there are; other needs are met', () => {
  const files = ['a', 'b', 'c', 'd']
  const needs = [
    { cpus: 1, batchMax: 1, locks: [{ name: 'db', mode: 'exclusive' as const }] },
    { cpus: 8, gpus: { count: 2 }, where: 'os == beos' },
  ]
  const work = {
    spec: { ...plainSpec, needs },
    files,
    estimatesMs: files.map(() => 1000),
    kinds: [0, 0, 0, 1],
    startupMs: 0,
  }
  const [fleet] = whatIf(work, [4], { cpus: 2, speeds: [1] }, history).fleets
  assert.equal(fleet!.expectedMs, 3000)
})

test('whatIf: of very many files it says the same as of a tenth of them, ten times as long, and soon', () => {
  const workOf = (count: number) => {
    const files = Array.from({ length: count }, (_, at) => `f${at}`)
    return { spec: plainSpec, files, estimatesMs: files.map((_, at) => 100 + ((at * 37) % 400)), startupMs: 0 }
  }
  const [few, many] = [19_000, 190_000].map((count) =>
    whatIf(workOf(count), [10], { cpus: 2, speeds: [1] }, history).fleets.at(0)!,
  )
  for (const pick of ['expectedMs', 'fromMs', 'toMs'] as const) {
    const ratio = many![pick] / few![pick]
    assert.ok(ratio > 9.8 && ratio < 10.2, `${pick}: ${few![pick]} and ${many![pick]}`)
  }
})

test('whatIf: of a run that uses one CPU of each worker, bound and efficiency are of those', () => {
  const files = ['a', 'b', 'c', 'd']
  const work = { spec: { ...plainSpec, cpus: 1 }, files, estimatesMs: [900, 900, 900, 900], startupMs: 100 }
  const [one, four] = whatIf(work, [1, 4], { cpus: 8, speeds: [1] }, history).fleets
  assert.deepEqual([one!.cpus, one!.expectedMs, one!.lowerBoundMs], [1, 3700, 3700])
  assert.deepEqual([four!.cpus, four!.expectedMs, four!.lowerBoundMs, four!.efficiency], [4, 1000, 1000, 0.9])
})
