import assert from 'node:assert/strict'
import { test } from 'node:test'
import { StrategyFault } from './guarded-scheduler.ts'

test('StrategyFault: of a text without end only the beginning is looked at', () => {
  const { message } = new StrategyFault('nonsense', `order: received ${'a\n'.repeat(1_000_000)}`)
  assert.match(message, /^order: received a a a/)
  assert.ok(message.length <= 1000, String(message.length))
})
