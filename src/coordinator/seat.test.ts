/** A coordinator's seat by itself, with a log and links that do what a test says. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { PeerMessage } from '../protocol/peer-messages.ts'
import { workerProtocolVersion } from '../protocol/worker-protocol-version.ts'
import { SeatRig } from './fixtures/seat-rig.ts'

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
  clock.nowMs += 30_000
  rig.leadership = { epoch: 9, owner: 'c-1/1@http://c-1' }
  rig.tells = false
  clock.advance(30)
  assert.deepEqual([outcome, seat.role, seat.canWrite], ['ok', 'leading', false])
  rig.tells = true
  clock.advance(100)
  assert.equal(seat.role, 'following')
})

test('followers are told once who is connected, however many workers come at a time', () => {
  const { clock, seat } = new SeatRig().lead()
  const told: PeerMessage[] = []
  const follower = seat.accept({ send: (message) => void told.push(message), close: () => undefined })
  follower.message({ type: 'follow', protocol: 1, member: 'c-3', epoch: 1, position: 0 })
  for (let n = 0; n < 300; n += 1) {
    const worker = seat.connectWorker({ send: () => undefined, close: () => undefined })
    const hello = { type: 'hello', protocol: workerProtocolVersion, worker: `w${n}`, name: `w${n}`, version: '1' }
    worker.message(JSON.stringify({ ...hello, capabilities, held: [], draining: false }))
  }
  clock.advance(100)
  const lists = told.filter((message) => message.type === 'connected')
  assert.equal(lists.at(-1)?.workers.length, 300)
  assert.ok(lists.length < 5, `told ${lists.length} times`)
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
