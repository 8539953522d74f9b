import assert from 'node:assert/strict'
import { test } from 'node:test'
import { needsNetwork, type Round } from './plan.ts'
import { planOf, shortPlan } from './plan-generator.ts'

test('the same seed gives the same plan, another one another', () => {
  assert.deepEqual(planOf(7, 5, true), planOf(7, 5, true))
  assert.notDeepEqual(planOf(7, 5, true).rounds, planOf(8, 5, true).rounds)
  assert.deepEqual(planOf(7, 5, true).rounds, planOf(7, 9, true).rounds.slice(0, 5))
})

test('without a network of their own hosts get no fault that needs one', () => {
  for (const plan of [planOf(1, 40, false), shortPlan(1, false)]) {
    assert.ok(plan.rounds.every((round) => round.faults.length > 0 && !round.faults.some(needsNetwork)))
  }
  assert.ok(planOf(1, 40, true).rounds.some((round) => round.faults.some(needsNetwork)))
})

test('every fault begins before everything is mended, and over many rounds all kinds are drawn', () => {
  const { rounds } = planOf(3, 100, true)
  const inTime = (round: Round) => round.faults.every((fault) => fault.atMs < round.mendedAtMs)
  assert.ok(rounds.every(inTime))
  const types = new Set(rounds.flatMap((round) => round.faults.map((fault) => fault.type)))
  assert.deepEqual([...types].sort(), ['cut', 'drain', 'freeze', 'full-disk', 'kill', 'loss', 'slow', 'transfer'])
})
