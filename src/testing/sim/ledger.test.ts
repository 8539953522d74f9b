/**
 * The ledger judges logs: one that a real cluster has written passes, and each way of tampering with
 * it is found, by the rule that is about it. Chaos tests rest on this with logs of real clusters.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { decodeEntry, encodeEntry, type Event } from '../../core/events.ts'
import type { Entry } from '../../log/log.ts'
import { Cluster } from './cluster.ts'
import { Ledger } from './ledger.ts'
import { planOf } from './plan-generator.ts'
import { none } from './sabotage.ts'
import { Violations, type Violation } from './violations.ts'

/** The log of a quiet cluster with one run of three tasks. */
function writtenLog(): Entry[] {
  const submit = {
    type: 'submit',
    atMs: 300,
    client: 1,
    run: 'r1',
    tasks: ['pass', 'flaky', 'fail'],
    retries: 1,
    maxFailures: 0,
    open: false,
    cpus: 1,
    backoffMs: 0,
    broken: false,
    elsewhere: false,
  } as const
  const plan = {
    ...planOf(1, 'safety'),
    coordinators: 3,
    workers: [2],
    clients: 1,
    old: [],
    orders: [submit],
    faults: [],
  }
  const cluster = new Cluster(plan, none, false)
  cluster.timeline.after(submit.atMs, () => cluster.client(1).do(submit))
  cluster.timeline.run(5000, () => false)
  const read = cluster.store.read(1, 10_000_000)
  assert.ok(read.type === 'entries')
  return [...read.entries]
}

const log = writtenLog()

function judge(entries: readonly Entry[]): Violation | undefined {
  const violations = new Violations()
  const ledger = new Ledger(violations)
  for (const entry of entries) ledger.entry(entry)
  return violations.first
}

type Body = { atMs: number; events: Event[] }

/** The log with the first entry changed that has an event of this type. */
function changed(type: Event['type'], change: (body: Body, event: Event, at: number) => void): Entry[] {
  const index = log.findIndex((entry) => decodeEntry(entry.bytes).events.some((event) => event.type === type))
  const entry = log[index]!
  const body = structuredClone(decodeEntry(entry.bytes)) as Body
  const at = body.events.findIndex((event) => event.type === type)
  change(body, body.events[at]!, at)
  return log.with(index, { ...entry, bytes: encodeEntry(body) })
}

const assign = (event: Event, fields: Record<string, unknown>): void => void Object.assign(event, fields)

test('a log that a cluster has written is right', () => {
  const types = new Set(log.flatMap((entry) => decodeEntry(entry.bytes).events.map((event) => event.type)))
  for (const type of ['leader.started', 'run.finished', 'task.requeued'] as const) assert.ok(types.has(type), type)
  assert.equal(judge(log), undefined)
})

const tampered: readonly (readonly [what: string, check: string, entries: Entry[]])[] = [
  ['an entry is missing', 'positions are contiguous', log.toSpliced(3, 1)],
  ['an entry is there twice', 'positions are contiguous', log.toSpliced(3, 0, log[3]!)],
  ['an epoch goes back', 'epochs are monotone', log.with(-1, { ...log.at(-1)!, epoch: 0 })],
  ['an epoch begins without a word', 'a term begins with leader.started', log.with(-1, { ...log.at(-1)!, epoch: 99 })],
  [
    'somebody says that it leads, in the middle of a term',
    'one leader.started per epoch',
    changed('run.submitted', ({ events }) => {
      events.push({ type: 'leader.started', epoch: log[0]!.epoch, owner: 'x', version: '1' })
    }),
  ],
  [
    'time runs back',
    'time in the log never runs back',
    changed('run.finished', (body) => {
      body.atMs = 1
    }),
  ],
  [
    'a newer event before its format',
    'events wait for their format',
    changed('format.raised', ({ events }, _event, at) => events.splice(at, 1)),
  ],
  ['a run twice', 'a run is submitted once', changed('run.submitted', ({ events }, event) => events.push(event))],
  [
    'a task ends twice',
    'a task ends once',
    changed('task.ended', ({ events }, event, at) => events.splice(at, 0, event)),
  ],
  [
    "another worker's report",
    'only its own worker speaks for a batch',
    changed('task.reported', (_body, event) => assign(event, { worker: 'w9.1' })),
  ],
  [
    'a report of nothing that runs',
    'a report ends the current attempt',
    changed('task.reported', ({ events }, event) => events.push(event)),
  ],
  [
    'an attempt that ends and says no more',
    'an attempt that ends decides its task',
    changed('task.ended', ({ events }, _event, at) => events.splice(at, 1)),
  ],
  [
    'more than a host has',
    'capacity is kept',
    changed('batch.assigned', (_body, event) => assign(event, { cpus: 64 })),
  ],
  [
    'a token that was there',
    'tokens only grow',
    changed('batch.assigned', (_body, event) => assign(event, { token: 0 })),
  ],
  [
    'a verdict that the tasks do not give',
    'the verdict follows from the tasks',
    changed('run.finished', (_body, event) => assign(event, { verdict: 'passed' })),
  ],
  [
    'a run that finishes too early',
    'a run finishes when all its tasks have',
    changed('run.submitted', ({ events }, event) => {
      const run = 'run' in event ? event.run : ''
      events.push({ type: 'run.finished', run, verdict: 'passed', why: '', wallMs: 0, lowerBoundMs: 0 })
    }),
  ],
  [
    'a breaker that closes from open',
    'breaker transitions are legal',
    changed('run.finished', ({ events }) => {
      const base = { type: 'breaker.moved', scope: 'worker:w', who: 'coordinator', why: '' } as const
      const counts = { ok: 0, failed: 0, workers: 0 }
      events.push({ ...base, from: 'closed', to: 'open', counts }, { ...base, from: 'open', to: 'closed', counts })
    }),
  ],
  [
    'one try too many',
    'retries are bounded',
    changed('run.submitted', (_body, event) => {
      if (event.type === 'run.submitted') assign(event, { spec: { ...event.spec, retries: 0 } })
    }),
  ],
]

for (const [what, check, entries] of tampered) {
  test(`found: ${what}`, () => {
    const violation = judge(entries)
    assert.equal(violation?.check, check, violation?.words ?? 'nothing was found')
  })
}
