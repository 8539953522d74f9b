import assert from 'node:assert/strict'
import { test } from 'node:test'
import { advance } from '../core/advance.ts'
import { tickDueMs } from '../core/breaker.ts'
import type { Observe } from '../core/input.ts'
import { emptyState } from '../core/state.ts'
import { IntegrationBreakers } from './integration-breakers.ts'

function world() {
  const state = emptyState()
  let atMs = 1000
  advance(state, { type: 'raise-format', format: 2 }, atMs)
  const told: Observe[] = []
  const breakers = new IntegrationBreakers(state, (input) => {
    told.push(input)
    advance(state, input, atMs)
  })
  return {
    state,
    told,
    breakers,
    coolDown: () => {
      atMs = tickDueMs(state)!
      advance(state, { type: 'tick' }, atMs)
    },
  }
}

test('IntegrationBreakers: all is well, so nothing is told', () => {
  const { breakers, told } = world()
  const guard = breakers.guard('x')
  for (let call = 0; call < 10; call += 1) {
    assert.ok(guard.mayCall())
    guard.ended(undefined)
  }
  breakers.tick()
  assert.deepEqual(told, [])
})

test('IntegrationBreakers: opens after failures, lets one call try, and closes when that goes well', () => {
  const { breakers, told, state, coolDown } = world()
  const guard = breakers.guard('x')
  for (let call = 0; call < 5; call += 1) {
    assert.ok(guard.mayCall())
    guard.ended(`no answer ${call}`)
  }
  breakers.tick()
  assert.deepEqual(told, [{ type: 'observe', scope: 'integration:x', ok: 0, failed: 5, why: 'no answer 4' }])
  assert.equal(guard.mayCall(), false)
  coolDown()
  assert.ok(guard.mayCall())
  assert.equal(guard.mayCall(), false, 'one at a time')
  guard.ended(undefined)
  breakers.tick()
  assert.equal(state.breakers.byScope.get('integration:x')!.stand, 'closed')
  assert.ok(guard.mayCall())
  assert.ok(guard.mayCall())
})
