import assert from 'node:assert/strict'
import { it } from 'node:test'
import { hostClock } from './host-clock.ts'
import { systemClock } from '../stdx/clock.ts'

it('hostClock goes on while the host is suspended, and is not moved by rounding', () => {
  let nowMs = 5
  let bootMs = 1_000_000
  const clock = hostClock(() => bootMs, { ...systemClock, monotonicMs: () => nowMs })
  nowMs += 1000
  bootMs += 990
  assert.equal(clock.monotonicMs(), 1005)
  nowMs += 10
  bootMs += 60_030
  assert.ok(Math.abs(clock.monotonicMs() - 61_025) < 20)
  const before = clock.monotonicMs()
  nowMs += 100
  bootMs += 90
  assert.equal(clock.monotonicMs(), before + 100)
})
