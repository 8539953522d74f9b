/** A coordinator's seat by itself, with a log and links that do what a test says. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { SeatRig } from './fixtures/seat-rig.ts'

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
