/** Planted bugs: each is found within a bounded number of seeds, by a rule that is about it. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { planOf } from './plan-generator.ts'
import { planted } from './planted.ts'
import { shrink } from './shrink.ts'
import { simulate } from './simulation.ts'

for (const bug of planted) {
  test(`found: ${bug.name}`, (context) => {
    for (let seed = 1; seed <= bug.seedsMax; seed += 1) {
      const plan = bug.plan?.(seed) ?? planOf(seed, bug.profile)
      const { violation } = simulate(plan, bug)
      if (violation === undefined) continue
      context.diagnostic(`seed ${seed}: ${violation.check}`)
      if (bug.checks.includes(violation.check)) return
    }
    assert.fail(`not found within ${bug.seedsMax} seeds`)
  })
}

test('a failing plan shrinks to what it takes', () => {
  const bug = planted.find((one) => one.name === 'dispatches before commit')!
  const plan = planOf(1, bug.profile)
  const small = shrink(plan, bug)
  assert.equal(simulate(small, bug).violation?.check, simulate(plan, bug).violation?.check)
  assert.deepEqual(small.faults, [])
  assert.equal(small.orders.length, 1)
  assert.ok(small.orders[0]?.type === 'submit' && small.orders[0].tasks.length <= 2)
})
