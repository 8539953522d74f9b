import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Clock } from '../stdx/clock.ts'
import { quieten } from './repeated.ts'

function stage() {
  const lines: string[] = []
  const timers: (() => void)[] = []
  const clock: Clock = {
    wallMs: () => 0,
    monotonicMs: () => 0,
    after: (_delayMs, call) => {
      timers.push(call)
      return () => undefined
    },
    soon: (call) => call(),
    later: (call) => call(),
  }
  const say = quieten((level, message, detail) => lines.push(`${level} ${message} ${JSON.stringify(detail)}`), clock)
  return { say, lines, minute: () => timers.splice(0).forEach((call) => call()) }
}

test('quieten: a warning that differs only in numbers is said once, then counted', () => {
  const { say, lines, minute } = stage()
  say('warn', 'batch b1 was refused', { batch: 'b1' })
  say('warn', 'batch b2 was refused', { batch: 'b2' })
  say('warn', 'batch b3 was refused', { batch: 'b3' })
  assert.deepEqual(lines.splice(0), ['warn batch b1 was refused {"batch":"b1"}'])
  minute()
  assert.deepEqual(lines.splice(0), ['warn batch b3 was refused {"batch":"b3","repeated":2}'])
  say('warn', 'batch b4 was refused', {})
  assert.equal(lines.length, 1, 'after the minute it is news again')
})

test('quieten: other words, another level and what is no warning pass', () => {
  const { say, lines, minute } = stage()
  say('warn', 'one', {})
  say('error', 'one', {})
  say('warn', 'two', {})
  say('info', 'three', {})
  say('info', 'three', {})
  assert.equal(lines.length, 5)
  minute()
  assert.equal(lines.length, 5, 'what was not repeated is not said again')
})
