/** A follower's link to a leader that answers, falls silent, or is out of reach, as a test says. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { InputResult, PeerMessage } from '../protocol/peer-messages.ts'
import { defaultClusterTimes } from './cluster-times.ts'
import { ManualClock } from './fixtures/manual-clock.ts'
import { LeaderLink } from './leader-link.ts'
import type { PeerLinkHandlers } from './ports.ts'

function setUp() {
  const clock = new ManualClock()
  const dials: { handlers: PeerLinkHandlers; sent: PeerMessage[]; closed: boolean }[] = []
  let suspicions = 0
  const link = new LeaderLink({
    clock,
    peers: {
      dial(_address, handlers) {
        const dial = { handlers, sent: [] as PeerMessage[], closed: false }
        dials.push(dial)
        return {
          send: (message) => void dial.sent.push(message),
          close: () => {
            dial.closed = true
          },
        }
      },
    },
    times: defaultClusterTimes,
    member: 'c-2',
    epoch: 3,
    address: 'http://one',
    position: () => 0,
    history: () => 0,
    onLinked: () => undefined,
    onUnlinked: () => undefined,
    onSuspect: () => {
      suspicions += 1
      link.trust()
    },
    onOther: () => undefined,
    onMessage: () => undefined,
  })
  dials[0]!.handlers.opened()
  dials[0]!.handlers.message({ type: 'leading', epoch: 3, position: 0 })
  return { clock, dials, link, suspicions: () => suspicions }
}

test('a suspicion that came to nothing is no sign of life: whoever asks is told the truth', () => {
  const { clock, link, suspicions } = setUp()
  clock.advance(500)
  assert.equal(suspicions(), 1)
  assert.equal(link.silentMs, 500)
  clock.advance(500)
  assert.equal(suspicions(), 2)
  assert.equal(link.silentMs, 1000)
})

test('a link that stays silent is given up, with what was asked over it, and dialled anew', () => {
  const { clock, dials, link } = setUp()
  const results: (InputResult | undefined)[] = []
  link.take({ type: 'prune' }, (result) => results.push(result))
  clock.advance(1900)
  assert.equal(dials.length, 1)
  clock.advance(200)
  assert.equal(dials.length, 2)
  assert.deepEqual([dials[0]!.closed, results, link.linked], [true, [undefined], false])
  // Opened, and no answer: the same again.
  dials[1]!.handlers.opened()
  clock.advance(2200)
  assert.equal(dials.length, 3)
  dials[2]!.handlers.opened()
  dials[2]!.handlers.message({ type: 'leading', epoch: 3, position: 0 })
  assert.deepEqual([link.linked, link.silentMs], [true, 0])
})

test('a link is not given up for a pause of its own process: what came meanwhile has not been read yet', () => {
  const { clock, dials, link, suspicions } = setUp()
  clock.nowMs += 20_000
  clock.advance(100)
  assert.deepEqual([dials.length, link.linked, suspicions()], [1, true, 0])
  clock.advance(500)
  assert.equal(suspicions(), 1)
})

test('a link is kept, with what was asked over it, while the leader says that it does not know whether it leads', () => {
  const { clock, dials, link, suspicions } = setUp()
  for (let n = 0; n < 100; n += 1) {
    clock.advance(50)
    dials[0]!.handlers.message({ type: 'unsure' })
  }
  assert.deepEqual([dials.length, link.linked, link.silentMs], [1, true, 5000])
  assert.ok(suspicions() > 5)
})

test('a leader that has its hands full with workers is not suspected for the lateness of its heartbeat', () => {
  const { clock, dials, link, suspicions } = setUp()
  const { handlers } = dials[0]!
  for (let n = 0; n < 20; n += 1) {
    clock.advance(100)
    handlers.message({ type: 'frame', connection: 7, text: '{}' })
  }
  assert.deepEqual([suspicions(), link.silentMs], [0, 0])
  // But one that doesn't know whether it leads is, whatever it tells workers.
  handlers.message({ type: 'unsure' })
  for (let n = 0; n < 20; n += 1) {
    clock.advance(100)
    handlers.message({ type: 'frame', connection: 7, text: '{}' })
  }
  assert.ok(suspicions() > 1)
  assert.equal(link.silentMs, 2000)
})
