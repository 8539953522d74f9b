/** Every reason why something waits, found where it is the reason, and said. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { advance } from '../core/advance.ts'
import type { Capabilities, Need, RunSpec } from '../core/entities.ts'
import type { Input, Submit } from '../core/input.ts'
import { defaultLimits } from '../core/limits.ts'
import type { Shares } from '../core/shares.ts'
import { emptyState, type State, type Worker } from '../core/state.ts'
import { plainSpec } from '../core/transcript.ts'
import type { Silence } from './expected.ts'
import { placements } from './fixtures/placing.ts'
import { fairShare, fifo, history } from './strategies/builtin.ts'
import type { Strategy } from './strategy.ts'
import { explain, type Why } from './why.ts'

const GiB = 2 ** 30
const who = 'client:ann'
const startMs = 1_000_000

class World {
  readonly state: State
  nowMs = startMs
  strategy: Strategy = history
  constructor(shares: Shares = new Map()) {
    this.state = emptyState(defaultLimits, shares)
    advance(this.state, { type: 'raise-format', format: 3 }, 0)
  }

  /** Then everything is placed, as the leader does. */
  feed(...inputs: readonly Input[]): this {
    for (const input of inputs) {
      advance(this.state, input, this.nowMs)
      const view = { state: this.state, available: () => true }
      for (const next of placements(view, this.nowMs, this.strategy)) advance(this.state, next, this.nowMs)
    }
    return this
  }

  join(worker: string, more: Partial<Capabilities> = {}): this {
    const capabilities = {
      os: 'linux',
      arch: 'x64',
      cpus: 1,
      memoryBytes: GiB,
      host: worker,
      labels: {},
      tools: {},
      ...more,
    }
    return this.feed({ type: 'join', worker, name: worker, version: '1', capabilities, draining: false })
  }

  submit(run: string, spec: Partial<RunSpec> = {}, more: Partial<Submit> = {}): this {
    const files = more.files ?? ['a']
    const estimates = files.map(() => 60_000)
    return this.feed({ type: 'submit', run, who, spec: { ...plainSpec, ...spec }, files, estimates, ...more })
  }

  /** Of workers that nobody hears from, by their id. */
  readonly silent = new Map<string, Silence>()

  why(run: string, index?: number): Why {
    const available = (worker: { readonly id: string }) => !this.silent.has(worker.id)
    const view = { state: this.state, available, silence: (worker: Worker) => this.silent.get(worker.id) }
    return explain(view, this.state.runs.get(run)!, index, { strategy: this.strategy, config: undefined }, this.nowMs)
  }

  reasons(run: string, index = 0) {
    return this.why(run, index).waits.flatMap((wait) => wait.reasons)
  }

  words(run: string, index = 0): string {
    return this.why(run, index)
      .waits.flatMap((wait) => wait.words)
      .join('; ')
  }

  sooner(run: string, index = 0): string {
    return this.why(run, index)
      .sooner.map((one) => one.words)
      .join('; ')
  }
}

const needs = (...list: readonly Need[]): Partial<RunSpec> => ({ needs: list })

test('explain: paused', () => {
  const world = new World().submit('R').feed({ type: 'pause', run: 'R', who, why: 'x' })
  assert.deepEqual(world.reasons('R'), [{ type: 'paused' }])
  assert.equal(world.why('R', 0).starts, undefined)
  assert.match(world.sooner('R'), /muster resume R/)
})

test('explain: a run that it comes after', () => {
  const world = new World()
    .join('w')
    .submit('A')
    .submit('B', { after: [{ run: 'A', when: 'passed' }] })
  assert.equal(world.words('B'), 'waits for run A to end and pass (it is running)')
  const { starts } = world.why('B', 0)
  assert.ok(starts && starts.fromMs > world.nowMs && starts.toMs > starts.fromMs)
})

test('explain: tasks that it comes after, and their states', () => {
  const world = new World().join('w')
  world.submit('R', {}, { files: ['a', 'b', 'c'], dependencies: [{ task: 2, after: [0, 1] }] })
  const [reason] = world.reasons('R', 2)
  assert.deepEqual(reason, {
    type: 'after-tasks',
    tasks: [
      { task: 0, file: 'a', state: 'assigned' },
      { task: 1, file: 'b', state: 'assigned' },
    ],
    count: 2,
  })
  assert.equal(world.words('R', 2), 'comes after a and 1 more (it is assigned)')
  assert.ok(world.why('R', 2).starts!.fromMs > world.nowMs)
  assert.match(
    world
      .why('R')
      .waits.map((wait) => wait.words.join())
      .join('; '),
    /come after other tasks/,
  )
})

test('explain: back-off, with the moment it is over', () => {
  const retry = { failed: { max: 1, backoffMs: 5000, jitter: 0 } }
  const world = new World().join('w').submit('R', { retry })
  const report = { task: 0, outcome: 'failed' as const, durationMs: 1, counts: [0, 1, 0, 0] as const }
  world.feed({ type: 'report', worker: 'w', batch: 'b1', token: 1, reports: [report] })
  assert.deepEqual(world.reasons('R')[0], { type: 'back-off', untilMs: world.nowMs + 5000 })
  assert.match(world.words('R'), /back-off for another 5\.0 s/)
  assert.equal(world.why('R', 0).attempts![0]!.outcome, 'failed')
})

test('explain: a lock and who holds it, since when and until about when', () => {
  const lock = needs({ locks: [{ name: 'db', mode: 'exclusive' }], cpus: 1 })
  const world = new World().join('w', { cpus: 4 }).submit('A', lock)
  world.nowMs += 10_000
  world.submit('B', lock)
  const [reason, ...rest] = world.reasons('B')
  assert.deepEqual(rest, [])
  assert.equal(reason?.type, 'lock')
  const [holder] = (reason as Extract<typeof reason, { type: 'lock' }>).holders
  assert.deepEqual([holder!.run, holder!.worker, holder!.sinceMs], ['A', 'w', startMs])
  assert.match(
    world.words('B'),
    /^waits for lock 'db', held by run A on w for 10\.0 s and another 4\d\.\d s to 5\d\.\d s$/,
  )
  assert.match(world.sooner('B'), /run A holds the lock for another/)
})

test('explain: of a holder that has outrun a guess without history no end is told', () => {
  const lock = needs({ locks: [{ name: 'db', mode: 'exclusive' }], cpus: 1 })
  const world = new World().join('w', { cpus: 1 }).submit('A', lock, { estimates: [null] })
  world.nowMs += 20_000
  world.submit('B', lock)
  const words = world.words('B')
  assert.match(
    words,
    /^waits for lock 'db', held by run A on w for 20\.0 s, longer than expected already; no history of it; /,
  )
  assert.match(words, /w with run A, for longer than expected already; no history of it$/)
  assert.match(world.sooner('B'), /run A holds the lock for longer than expected already; no history of it/)
  assert.doesNotMatch(world.sooner('B'), /less than/)
  assert.equal(world.why('B', 0).starts!.outrun, true)
  assert.equal(world.why('A', 0).finishes!.outrun, true)
})

test('explain: no worker is said to start at once what also waits for something else', () => {
  const lock = needs({ locks: [{ name: 'db', mode: 'exclusive' }] })
  const world = new World().join('w').submit('A', lock).submit('B', lock)
  assert.deepEqual(
    world.reasons('B').map((reason) => reason.type),
    ['lock', 'busy'],
  )
  assert.match(world.sooner('B'), /^run A holds the lock for another [^;]*; w may be free in [^;]*$/)
  const paused = new World().submit('R').feed({ type: 'pause', run: 'R', who, why: 'x' })
  assert.doesNotMatch(paused.sooner('R'), /would start it now/)
  world.submit('C', { ...needs({ where: 'cpus >= 99' }), after: [{ run: 'A', when: 'finished' }] })
  assert.match(world.sooner('C'), /with cpus >= 99 is needed, too/)
  assert.doesNotMatch(world.sooner('C'), /would start it now/)
})

test('explain: of a lock whose holder is away no end is told before the holder is given up', () => {
  const lock = needs({ locks: [{ name: 'db', mode: 'exclusive' }], cpus: 1 })
  const world = new World().join('w').submit('A', lock).join('v').submit('B', lock)
  // By its estimate it would be over now.
  world.nowMs += 60_000
  const givenUpAtMs = world.nowMs + 9000
  world.silent.set('w', { sinceMs: world.nowMs - 1000, givenUpAtMs })
  assert.equal(
    world.words('B'),
    "waits for lock 'db', held by run A; nobody has heard from w for 1.0 s: unless it is back by then, this is let go in 9.0 s",
  )
  assert.match(world.sooner('B'), /^worker w coming back, which holds the lock for run A$/)
  assert.ok(world.why('B', 0).starts!.fromMs >= givenUpAtMs)
  assert.ok(world.why('B').finishes!.fromMs >= givenUpAtMs)
  const { words, finishes } = world.why('A', 0)
  assert.match(
    words,
    /^given to w, not begun; nobody has heard from w for 1\.0 s: .* is let go in 9\.0 s, and run again$/,
  )
  assert.ok(finishes!.fromMs >= givenUpAtMs && finishes!.toMs >= givenUpAtMs + 60_000)
  assert.ok(world.why('A').finishes!.fromMs >= givenUpAtMs)
  // A coordinator that workers don't talk to knows only how long it takes at most.
  world.silent.set('w', { givenUpAtMs })
  assert.match(
    world.words('B'),
    /run A; nobody has heard from w: unless it is back by then, this is let go within 9\.0 s$/,
  )
})

test('explain: a quota, whose and how much of it is used', () => {
  const world = new World(new Map([['project:p', { cpus: 2 }]])).join('w', { cpus: 8 })
  world.submit('A', needs({ cpus: 2 })).submit('B', needs({ cpus: 1 }))
  assert.equal(world.words('B'), 'project:p has 2 of its quota of 2 CPUs at once')
  assert.ok(world.why('B', 0).starts!.fromMs > world.nowMs)
  assert.match(world.sooner('B'), /a larger quota for project:p/)
})

test('explain: while a quota is full no priority is offered but before those that wait for the same, nor a worker', () => {
  const world = new World(new Map([['project:p', { cpus: 1 }]])).join('v').join('w')
  // Both workers are busy, one with another project; whichever gets free, the quota is in the way.
  world.submit('A').submit('O', { project: 'other' }).submit('N', { project: 'other', priority: 1 }).submit('B')
  assert.equal(world.words('B'), 'project:p has 1 of its quota of 1 CPU at once')
  assert.equal(world.sooner('B'), 'a larger quota for project:p (cpus: 1)')
  world.submit('C')
  assert.match(world.sooner('C'), /a larger quota for project:p \(cpus: 1\); raising its priority to 1 \(now 0\)/)
})

test('explain: breakers of a class and of the workers', () => {
  const world = new World().join('w').submit('A').submit('R')
  world.feed({ type: 'open-breaker', scope: 'class:p/unit', who, why: 'asked' })
  assert.match(world.words('R'), /^class:p\/unit waits behind its breaker until it is reset \(asked\)/)
  const other = new World().join('w').feed({ type: 'open-breaker', scope: 'worker:w', who, why: 'asked' }).submit('R')
  assert.match(other.words('R'), /^the breaker of the only worker that fits is open/)
})

test('explain: nobody is connected', () => {
  const world = new World().submit('R', needs({ cpus: 2 }))
  assert.equal(world.words('R'), 'no worker is connected')
  assert.match(world.sooner('R'), /a worker with 2 CPUs would start it now/)
})

test('explain: no machine fits, and the one that misses least', () => {
  const gpu = (gib: number) => ({ id: '0', vendor: 'nvidia' as const, name: 'x', memoryBytes: gib * GiB })
  const world = new World()
    .join('plain')
    .join('gpu-1', { gpus: [gpu(8)] })
    .join('gpu-2', { gpus: [gpu(16)] })
  world.submit('R', needs({ gpus: { count: 1, memoryBytes: 24 * GiB } }))
  assert.equal(
    world.words('R'),
    'none of the 3 connected workers fits: needs gpu.memory >= 24GiB; nearest: worker gpu-2 has 16 GiB',
  )
  assert.match(world.sooner('R'), /a worker like gpu-2 with gpu\.memory >= 24GiB would start it now/)
  world.submit('S', needs({ where: 'gpu.memory >= 24GiB and os == linux' }))
  assert.match(world.words('S'), /needs gpu\.memory >= 24GiB; nearest: worker gpu-2 has 16 GiB$/)
  world.submit('T', { ...needs({ cpus: 2, memoryBytes: 2 * GiB, resources: { phone: 1 } }), labels: { zone: 'eu' } })
  assert.match(
    world.words('T'),
    /needs label\.zone == eu and cpus >= 2 and memory >= 2GiB and resource\.phone >= 1; nearest: worker gpu-1 has label\.zone none, cpus 1, memory 1 GiB, resource\.phone 0$/,
  )
  world.submit('U', { workspace: { type: 'in-place', host: 'elsewhere' } })
  assert.match(world.words('U'), /needs host == elsewhere; nearest: worker gpu-1 has gpu-1$/)
})

test('explain: an attribute that no worker has, and the one that was meant', () => {
  const world = new World()
    .join('v', { labels: { zone: 'eu' } })
    .join('w', { unavailable: { 'npu.count': 'no rights' } })
  world.submit('R', needs({ where: 'memry > 3' }))
  assert.equal(
    world.words('R'),
    "none of the 2 connected workers fits: needs memry > 3; nearest: worker v has none; no connected worker has an attribute 'memry' (did you mean 'memory'?)",
  )
  assert.equal(world.sooner('R'), "'memory' instead of 'memry' in what it requires, if that is what was meant")
  world.submit('S', needs({ where: 'zone == eu and nvlink' }))
  assert.match(
    world.words('S'),
    /; no connected worker has an attribute 'zone' \(did you mean 'label\.zone'\?\); no connected worker has an attribute 'nvlink'$/,
  )
  // Right, only not to be had here: no cards, and what could not be found out.
  world.submit('T', needs({ where: 'gpu.memory > 1GiB and npu.count > 0' }))
  assert.doesNotMatch(world.words('T'), /attribute/)
})

test('explain: every worker that fits is busy, with what, until when; priority and one more worker help', () => {
  const world = new World().join('w').submit('A', { priority: 5 }).submit('B', { priority: 5 }).submit('C')
  const why = world.why('C', 0)
  const [reason] = why.waits[0]!.reasons
  assert.equal(reason?.type, 'busy')
  assert.match(world.words('C'), /^the only worker that fits is busy; w with run A, for another 51\.0 s to 69\.0 s$/)
  assert.deepEqual([why.queuePosition, why.queueLength], [2, 2])
  assert.match(world.sooner('C'), /one more worker would start it now/)
  assert.match(world.sooner('C'), /raising its priority to 6 \(now 0\) puts it next/)
  assert.ok(why.starts!.toMs - world.nowMs >= 120_000, 'B goes first')
  world.strategy = fifo
  assert.doesNotMatch(world.sooner('C'), /priority/)
  world.strategy = fairShare
  assert.ok(world.why('C', 0).waits[0]!.reasons.length > 0)
})

test('explain: a free worker is left idle, as others will be done sooner, and when they will be', () => {
  const world = new World().join('fast', { speed: 10 })
  world.submit('R', { startupMs: 0, open: true }, { files: ['a'], estimates: [60_000] })
  world.join('slow')
  world.feed({ type: 'extend', run: 'R', who, files: ['b'], estimates: [50_000] })
  assert.ok(world.reasons('R', 1).some((reason) => reason.type === 'sooner-elsewhere'))
  assert.match(world.words('R', 1), /left to those at work on it, who should be done with all of it in 11\.0 s/)
  assert.ok(world.why('R', 1).starts !== undefined)
})

test('explain: a worker that is kept for a larger run which comes first', () => {
  const world = new World().join('w', { cpus: 4 }).submit('A', needs({ cpus: 2 }))
  world.submit('B', { ...needs({ cpus: 4 }), priority: 1 }).submit('C', needs({ cpus: 1 }))
  assert.equal(world.reasons('C')[0]?.type, 'reserved')
  assert.match(world.words('C'), /kept for run B, which comes first/)
})

test('explain: --workers, avoided workers, workers that are recycled', () => {
  const limited = new World().join('w').submit('R', { workersMax: 1, retries: 0 }, { files: ['a', 'b'] })
  limited.join('v')
  // All of it went to the first worker, so what is added waits for the limit.
  const world = new World().join('w').submit('R', { workersMax: 1, open: true })
  world.feed({ type: 'extend', run: 'R', who, files: ['b'], estimates: [60_000] }).join('v')
  assert.deepEqual(world.reasons('R', 1)[0], { type: 'workers-max', max: 1 })
  const recycling = new World().join('w')
  recycling.state.workers.get('w')!.recycling = { id: 1, sinceMs: 0, untilMs: recycling.nowMs + 5000 }
  recycling.submit('R')
  assert.match(recycling.words('R'), /^worker w is being recycled, for another 5\.0 s at most$/)
  assert.equal(recycling.why('R', 0).starts!.fromMs, recycling.nowMs + 5000)
})

test('explain: the only free worker is one on which it failed', () => {
  const world = new World().join('w').join('v', { host: 'v' })
  world.submit('R', { retry: { failed: { max: 1, where: 'other-worker', jitter: 0, backoffMs: 0 } } })
  const { worker } = world.state.batches.get('b1')!
  world.submit('S')
  const failed = { task: 0, outcome: 'failed' as const, durationMs: 1, counts: [0, 1, 0, 0] as const }
  world.feed({ type: 'report', worker, batch: 'b1', token: 1, reports: [failed] })
  const end = { exitCode: 1, signal: null, startupMs: 1, wallMs: 1, interrupted: [], timedOut: [], errors: [] }
  world.feed({ type: 'end', worker, batch: 'b1', token: 1, reason: 'completed', ...end })
  assert.deepEqual(
    world.reasons('R').map((reason) => reason.type),
    ['busy', 'avoided'],
  )
  assert.match(world.words('R'), /should not run on 1 free worker after what happened there/)
})

test('explain: a lock that is free is kept for a run which comes first', () => {
  const lock = (mode: 'exclusive' | 'shared') => needs({ locks: [{ name: 'db', mode }], cpus: 1 })
  const world = new World().join('w', { cpus: 4 }).submit('A', lock('shared'))
  world.submit('B', { ...lock('exclusive'), priority: 5 }).submit('C', lock('shared'))
  assert.deepEqual(world.reasons('C'), [{ type: 'lock-kept', run: 'B' }])
  assert.match(world.words('C'), /its lock is kept for run B, which comes first and waits, too/)
  assert.match(world.sooner('C'), /raising its priority to 6/)
})

test('explain: a strategy without an order is named where nothing else is known', () => {
  const world = new World()
  world.strategy = { name: 'idle', description: 'places nothing', place: () => [] }
  world.join('w').submit('R')
  assert.deepEqual(world.reasons('R'), [{ type: 'scheduler', strategy: 'idle' }])
  assert.match(world.words('R'), /scheduler 'idle' has not placed it/)
})

test('explain: what runs, and what has ended: where, when, why and after which attempts', () => {
  const world = new World().join('w').submit('R', { retries: 1 })
  const running = world.why('R', 0)
  assert.deepEqual([running.state, running.on?.worker], ['assigned', 'w'])
  assert.ok(running.finishes!.toMs > world.nowMs)
  const failed = { task: 0, outcome: 'failed' as const, durationMs: 7, counts: [0, 1, 0, 0] as const }
  world.feed({ type: 'report', worker: 'w', batch: 'b1', token: 1, reports: [failed] })
  const end = { exitCode: 1, signal: null, startupMs: 1, wallMs: 1, interrupted: [], timedOut: [], errors: [] }
  world.feed({ type: 'end', worker: 'w', batch: 'b1', token: 1, reason: 'completed', ...end })
  world.nowMs += 1000
  world.feed({ type: 'report', worker: 'w', batch: 'b2', token: 2, reports: [failed] })
  world.feed({ type: 'end', worker: 'w', batch: 'b2', token: 2, reason: 'completed', ...end })
  const why = world.why('R', 0)
  assert.deepEqual([why.state, why.endedAtMs, why.attemptsMade], ['failed', world.nowMs, 2])
  assert.deepEqual(
    why.attempts!.map((one) => [one.outcome, one.name, one.durationMs]),
    [
      ['failed', 'w', 7],
      ['failed', 'w', 7],
    ],
  )
  assert.match(why.words, /^failed on w/)
  assert.match(world.why('R').words, /^failed: 1 of 1 tasks failed/)
})

test('explain: a run of 100 000 tasks costs no look at each of them', () => {
  const files = Array.from({ length: 100_000 }, (_, index) => `f${index}`)
  const world = new World().join('w').submit('R', { needs: [{ batchMax: 10 }] }, { files })
  const beganMs = performance.now()
  const why = world.why('R')
  assert.equal(why.waits[0]!.tasks, 99_990)
  world.why('R', 99_999)
  assert.ok(performance.now() - beganMs < 1000)
})

test('explain: a busy worker has room when what it lacks is given back, not when anything ends', () => {
  const gpus = [{ id: '0', vendor: 'nvidia' as const, name: 'x', memoryBytes: GiB }]
  const one = { cpus: 1 }
  for (const [need, more] of [
    [{ ...one, gpus: { count: 1 } }, { gpus }],
    [{ ...one, resources: { phone: 1 } }, { resources: { phone: 1 } }],
    [{ ...one, memoryBytes: GiB }, {}],
    [{ ...one, antiAffinity: 'x' }, {}],
  ] as const) {
    const world = new World().join('w', { cpus: 4, ...more })
    world.submit('short', needs(one), { estimates: [1000] })
    world.submit('long', needs(need), { estimates: [60_000] })
    world.submit('R', needs(need))
    assert.match(world.words('R'), /^the only worker that fits is busy; w with run long, for another/)
    assert.ok(world.why('R', 0).starts!.fromMs > world.nowMs + 40_000, JSON.stringify(need))
  }
})

test('explain: a card may be in use by another worker of the host, also by one that is away', () => {
  const gpus = [{ id: '0', uuid: 'GPU-1', vendor: 'nvidia' as const, name: 'x', memoryBytes: GiB }]
  const card = needs({ cpus: 1, gpus: { count: 1 } })
  const world = new World().join('v', { cpus: 2, gpus, host: 'h' }).submit('A', card)
  world.join('w', { cpus: 2, gpus, host: 'h' }).feed({ type: 'drain', worker: 'v', who, why: '' }).submit('B', card)
  assert.match(
    world.words('B'),
    /^the only worker that fits is busy; w with run A on v, of the same host, for another 51\.\d s to /,
  )
  assert.ok(world.why('B', 0).starts!.fromMs > world.nowMs + 40_000)
  world.nowMs += 60_000
  const givenUpAtMs = world.nowMs + 9000
  world.silent.set('v', { sinceMs: world.nowMs - 1000, givenUpAtMs })
  assert.match(
    world.words('B'),
    /; w with run A; nobody has heard from v for 1\.0 s: unless it is back by then, this is let go in 9\.0 s$/,
  )
  assert.match(world.sooner('B'), /worker v coming back, which has run A/)
  assert.ok(world.why('B').finishes!.fromMs >= givenUpAtMs)
})
