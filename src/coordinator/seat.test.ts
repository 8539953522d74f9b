/** A coordinator's seat by itself, with a log and links that do what a test says. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { PeerMessage } from '../protocol/peer-messages.ts'
import { workerProtocolVersion } from '../protocol/worker-protocol-version.ts'
import { SeatRig } from './fixtures/seat-rig.ts'
import type { WorkerConnection } from './worker-sessions.ts'

const capabilities = { os: 'linux', arch: 'x64', cpus: 2, memoryBytes: 1, host: 'h', labels: {}, tools: {} }

test('what a client says it has seen is looked for, and believed of no log', () => {
  const { clock, seat, reads } = new SeatRig().follow()
  let called = false
  const forget = seat.whenReached(1_000_000, () => {
    called = true
  })
  clock.advance(200)
  assert.deepEqual([called, seat.headPosition, seat.position], [false, 0, 0])
  forget()
  assert.ok(reads < 10)
})

test('who waits for a position hears of it when a snapshot brings it', () => {
  const rig = new SeatRig()
  let called = false
  rig.snapshot = { position: 90, bytes: new Uint8Array() }
  rig.seat.whenReached(80, () => {
    called = true
  })
  rig.follow()
  assert.deepEqual([called, rig.seat.position], [true, 90])
})

test('an append that was written long ago, and is found so only now, is no proof of leading now', () => {
  const rig = new SeatRig().lead()
  const { clock, seat } = rig
  assert.deepEqual([seat.role, seat.canWrite], ['leading', true])
  rig.outcomes.push({ type: 'unknown', why: 'no answer', code: 'log_failed' })
  let outcome: string | undefined
  const join = { type: 'join', worker: 'w', name: 'w', version: '1', capabilities, draining: false } as const
  seat.submit(join, ({ type }) => (outcome = type))
  clock.advance(0)
  // The process stands still; meanwhile another one claims.
  clock.nowMs += 20_000
  rig.leadership = { epoch: 9, owner: 'c-1/1@http://c-1' }
  rig.tells = false
  clock.advance(30)
  assert.deepEqual([outcome, seat.role, seat.canWrite], ['ok', 'leading', false])
  rig.tells = true
  clock.advance(100)
  assert.equal(seat.role, 'following')
})

test('followers are told who came and went, in few messages however many workers there are', () => {
  const { clock, seat } = new SeatRig().lead()
  const told: PeerMessage[] = []
  const follower = seat.accept({ send: (message) => void told.push(message), close: () => undefined })
  follower.message({ type: 'follow', protocol: 1, member: 'c-3', epoch: 1, position: 0 })
  const workers: WorkerConnection[] = []
  for (let n = 0; n < 300; n += 1) {
    const worker = seat.connectWorker({ send: () => undefined, close: () => undefined })
    const hello = { type: 'hello', protocol: workerProtocolVersion, worker: `w${n}`, name: `w${n}`, version: '1' }
    worker.message(JSON.stringify({ ...hello, capabilities, held: [], draining: false }))
    workers.push(worker)
  }
  clock.advance(100)
  const changes = () => told.filter((message) => message.type === 'connections')
  assert.equal(changes().flatMap((message) => message.came).length, 300)
  assert.ok(changes().length < 5, `told ${changes().length} times`)
  told.splice(0)
  workers[7]!.closed()
  clock.advance(100)
  assert.deepEqual(changes(), [{ type: 'connections', came: [], went: ['w7'] }])
  // Who follows later is told the whole.
  seat
    .accept({ send: (message) => void told.push(message), close: () => undefined })
    .message({ type: 'follow', protocol: 1, member: 'c-4', epoch: 1, position: 0 })
  const all = told.find((message) => message.type === 'connected')
  assert.deepEqual([all?.workers.length, all?.workers.includes('w7')], [299, false])
})

test('who leaves is not handed the leadership, unless it is named', () => {
  for (const [named, heirs] of [
    [undefined, ['c-4']],
    ['c-3', ['c-3']],
  ] as const) {
    const { clock, seat, card } = new SeatRig().lead()
    const asked: string[] = []
    for (const [member, position] of [
      ['c-3', 9],
      ['c-4', 1],
    ] as const) {
      const send = (message: PeerMessage) => void (message.type === 'yield' && asked.push(member))
      seat.accept({ send, close: () => undefined }).message({ type: 'follow', protocol: 1, member, epoch: 1, position })
    }
    seat.setMembers([card, { ...card, member: 'c-3', draining: true }, { ...card, member: 'c-4' }])
    seat.transfer(named, () => undefined)
    clock.advance(100)
    assert.deepEqual(asked, heirs)
  }
})

test('who asked for a handover is answered once it is known who leads now', () => {
  const rig = new SeatRig().lead()
  const { clock, seat } = rig
  const follower = seat.accept({ send: () => undefined, close: () => undefined })
  follower.message({ type: 'follow', protocol: 1, member: 'c-3', epoch: 1, position: 0 })
  const seen: string[] = []
  seat.transfer(undefined, (error) => seen.push(error?.message ?? seat.leadership.owner))
  clock.advance(10)
  rig.leadership = { epoch: 9, owner: 'c-3/1@http://c-3' }
  clock.advance(200)
  assert.deepEqual(seen, ['c-3/1@http://c-3'])
})

test('a leader whose address refuses us, though it may be well, is replaced more and more rarely', () => {
  const rig = new SeatRig('c-2')
  const { clock, seat } = rig
  rig.leadership = { epoch: 1, owner: 'c-1/1@http://c-1' }
  seat.start()
  const claimedAtMs: number[] = []
  let dialled = 0
  // It refuses every call; and whenever we have taken over, it takes over in turn.
  for (let step = 0; step < 60_000 / 25 && claimedAtMs.length < 5; step += 1) {
    clock.advance(25)
    for (; dialled < rig.dials.length; dialled += 1) rig.dials[dialled]!.handlers.closed(true)
    if (rig.leadership.owner.startsWith('c-2/')) {
      claimedAtMs.push(clock.nowMs)
      rig.leadership = { epoch: rig.leadership.epoch + 1, owner: 'c-1/1@http://c-1' }
    }
  }
  const pauses = claimedAtMs.slice(1).map((atMs, at) => atMs - claimedAtMs[at]!)
  assert.ok(claimedAtMs[0]! < 2000, `the first time at once: ${claimedAtMs[0]} ms`)
  for (let at = 1; at < pauses.length; at += 1) assert.ok(pauses[at]! > pauses[at - 1]! * 1.3, pauses.join(' '))
})

test('leadership is not handed to a follower that has fallen silent', () => {
  const { clock, seat } = new SeatRig().lead()
  const said: PeerMessage[] = []
  const follower = seat.accept({ send: (message) => void said.push(message), close: () => undefined })
  follower.message({ type: 'follow', protocol: 1, member: 'c-3', epoch: 1, position: 0 })
  clock.advance(1500)
  let why: string | undefined
  seat.transfer(undefined, (error) => (why = error?.message))
  assert.match(why ?? '', /no other coordinator follows this one/)
  follower.message({ type: 'at', position: 1, history: 0 })
  seat.transfer(undefined, () => undefined)
  clock.advance(10)
  assert.ok(said.some((message) => message.type === 'yield'))
})

test('a coordinator whose log is away ends all the same', () => {
  const rig = new SeatRig().lead()
  const { clock, seat } = rig
  for (let n = 0; n < 50; n += 1) rig.outcomes.push({ type: 'unknown', why: 'away', code: 'log_failed' })
  const join = { type: 'join', worker: 'w', name: 'w', version: '1', capabilities, draining: false } as const
  const outcomes: string[] = []
  seat.submit(join, ({ type }) => outcomes.push(type))
  clock.advance(10)
  let stopped = false
  seat.stop(() => (stopped = true))
  clock.advance(1000)
  assert.equal(stopped, false)
  clock.advance(1500)
  assert.deepEqual([stopped, outcomes], [true, ['unavailable']])
})

test('an answer to an older question does not make a coordinator claim twice at a time', () => {
  const rig = new SeatRig().follow()
  const { clock, seat, dials } = rig
  const leaderIsGone = () => {
    dials.at(-1)!.handlers.closed(true)
    clock.advance(100)
  }
  // Another one has claimed, and the log is slow to say who.
  rig.leadership = { epoch: 2, owner: 'c-3/1@http://c-3' }
  rig.leadershipMs = 500
  leaderIsGone()
  assert.equal(seat.role, 'following')
  // The tail says it first; then that one is gone too, and the claim takes its time.
  rig.tail!.claimed(rig.leadership)
  dials.at(-1)!.handlers.opened()
  dials.at(-1)!.handlers.message({ type: 'leading', epoch: 2, position: 0 })
  rig.claimMs = 1000
  leaderIsGone()
  assert.equal(seat.role, 'claiming')
  // Now comes the answer.
  clock.advance(400)
  leaderIsGone()
  clock.advance(2000)
  assert.deepEqual([seat.role, seat.epoch, rig.claimsUnderWayMost, rig.entries.length], ['leading', 3, 1, 1])
})
