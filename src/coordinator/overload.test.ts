import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Event } from '../core/events.ts'
import type { Input } from '../core/input.ts'
import { defaultLimits } from '../core/limits.ts'
import { emptyState } from '../core/state.ts'
import type { Clock } from '../stdx/clock.ts'
import { Leader, type Committed } from './leader.ts'
import { defaultOverloadLimits, Overload, type OverloadMeasures } from './overload.ts'

type Settable = { -readonly [K in keyof OverloadMeasures]: ReturnType<OverloadMeasures[K]> }

function setUp(given: Partial<Settable> = {}) {
  const now = { ms: 1000 }
  const clock: Clock = {
    wallMs: () => now.ms,
    monotonicMs: () => now.ms,
    after: () => () => undefined,
    soon: () => undefined,
    later: () => undefined,
  }
  const values: Settable = {
    queuedTasks: 0,
    queuedTasksMax: 1000,
    queuedInputs: 0,
    logFill: 0,
    disk: undefined,
    blobTrouble: undefined,
    ...given,
  }
  const measures = Object.fromEntries(
    Object.keys(values).map((name) => [name, () => values[name as keyof Settable]]),
  ) as unknown as OverloadMeasures
  const overload = new Overload(clock, defaultOverloadLimits, measures)
  const refused = () => {
    now.ms += 60
    return [-1, 0, 1].filter((priority) => overload.refusal(priority) !== undefined)
  }
  return { now, values, overload, refused }
}

function entry(more: Partial<Committed>, ended = 0): Committed {
  const tasks = Array.from({ length: ended }, (_, at) => at)
  const event = { type: 'task.ended', run: 'r', tasks, state: 'passed', why: '' } as Event
  return { position: 1, atMs: 0, events: ended === 0 ? [] : [event], bytes: new Uint8Array(), ...more }
}

test('Overload: low priority goes first, urgent last, and all come back only well below', () => {
  const { values, refused } = setUp()
  assert.deepEqual(refused(), [])
  values.queuedTasks = 699
  assert.deepEqual(refused(), [])
  values.queuedTasks = 700
  assert.deepEqual(refused(), [-1])
  values.queuedTasks = 850
  assert.deepEqual(refused(), [-1, 0])
  values.queuedTasks = 950
  assert.deepEqual(refused(), [-1, 0, 1])
  values.queuedTasks = 850
  assert.deepEqual(refused(), [-1, 0, 1], 'it does not flutter')
  values.queuedTasks = 849
  assert.deepEqual(refused(), [-1, 0])
  values.queuedTasks = 749
  assert.deepEqual(refused(), [-1])
  values.queuedTasks = 600
  assert.deepEqual(refused(), [-1])
  values.queuedTasks = 599
  assert.deepEqual(refused(), [])
})

test('Overload: a refusal says what there is too much of, and when it will be less', () => {
  const { values, overload, now, refused } = setUp({ queuedTasksMax: 2_000_000 })
  values.queuedTasks = 1_700_000
  assert.deepEqual(refused(), [-1, 0])
  assert.equal(overload.refusal(0)!.message, '1.7 M tasks are waiting')
  assert.equal(overload.refusal(0)!.retryAfterMs, 5000, 'nobody knows')
  assert.equal(overload.trouble, '1.7 M tasks are waiting; new runs of low and normal priority are refused')
  // 1000 tasks a second end: half a million too many are gone in more than the longest time that is asked for.
  for (let second = 0; second < 60; second += 1) {
    now.ms += 1000
    overload.committed(entry({}, 1000))
  }
  assert.equal(overload.refusal(0)!.retryAfterMs, 120_000)
  values.queuedTasksMax = 2_000
  values.queuedTasks = 1_700
  values.queuedTasks = 11_200
  values.queuedTasksMax = 2_000
  refused()
  // 10 000 too many at about 1000 a second.
  const { retryAfterMs } = overload.refusal(0)!
  assert.ok(retryAfterMs! >= 9000 && retryAfterMs! <= 12_000, String(retryAfterMs))
})

test('Overload: a slow log, a full shared log, a full disk and results that cannot be stored count too', () => {
  const slow = setUp()
  for (let at = 0; at < 30; at += 1) {
    slow.now.ms += 1000
    slow.overload.committed(entry({ appendMs: 1900 }))
  }
  assert.deepEqual(slow.refused(), [-1, 0])
  assert.match(slow.overload.trouble!, /^the log takes 1\.\d s for an entry/)
  slow.now.ms += 30_000
  assert.deepEqual(slow.refused(), [], 'what was slow long ago is tried again')

  assert.deepEqual(setUp({ logFill: 0.9 }).refused(), [-1, 0])
  assert.deepEqual(setUp({ queuedInputs: 99_000 }).refused(), [-1, 0, 1])
  const MiB = 1024 * 1024
  assert.deepEqual(setUp({ disk: { freeBytes: 260 * MiB, totalBytes: 1e12 } }).refused(), [-1, 0, 1])
  assert.deepEqual(setUp({ disk: { freeBytes: 2000 * MiB, totalBytes: 1e12 } }).refused(), [])
  assert.deepEqual(setUp({ disk: { freeBytes: 50 * MiB, totalBytes: 64 * MiB } }).refused(), [], 'a small disk')
  assert.deepEqual(setUp({ disk: { freeBytes: 3 * MiB, totalBytes: 64 * MiB } }).refused(), [-1, 0, 1])
  assert.deepEqual(setUp({ blobTrouble: 'the bucket is away' }).refused(), [-1, 0])
})

test('Leader: with its queue full it refuses what clients ask, and takes what workers say', async () => {
  const asked: string[] = []
  const leader = new Leader({
    append: () => undefined,
    state: emptyState(defaultLimits),
    epoch: 1,
    position: 0,
    available: () => true,
    onCommitted: () => undefined,
    onDeposed: () => undefined,
    onFatal: (error) => assert.fail(String(error)),
    onHealth: () => undefined,
    inputsMax: 3,
    admit(input) {
      asked.push(input.type)
      return undefined
    },
  })
  const taken: string[] = []
  const give = (input: object, name: string) =>
    leader.take(input as Input, (result) => taken.push(`${name} ${result.type}`))
  for (let at = 0; at < 3; at += 1) give({ type: 'cancel', run: 'r', who: 'a', why: '', drain: false }, 'early')
  give({ type: 'cancel', run: 'r', who: 'a', why: '', drain: false }, 'cancel')
  give({ type: 'report', worker: 'w', batch: 'b', token: 1, tasks: [] }, 'report')
  assert.equal(leader.queued, 4)
  await new Promise((resolve) => setImmediate(resolve))
  assert.deepEqual(
    taken.filter((one) => one.startsWith('cancel')),
    ['cancel unavailable'],
  )
  assert.deepEqual(asked, ['cancel', 'cancel', 'cancel'])
})
