/**
 * Makes a failing plan small: fewer orders, fewer faults, fewer tasks, as long as the same check
 * fails. Parts are left out one by one and in halves, which is what a property test's shrinker does
 * with a list; the seed stays, so the rest goes on as before as far as it can.
 */
import type { Plan } from './plan.ts'
import { none, type Sabotage } from './sabotage.ts'
import { simulate } from './simulation.ts'

type Part = 'faults' | 'orders' | 'remains'

export function shrink(plan: Plan, sabotage: Sabotage = none, triesMax = 400): Plan {
  const failure = simulate(plan, sabotage).violation
  if (!failure) return plan
  let tries = 0
  const fails = (candidate: Plan): boolean => {
    tries += 1
    return tries <= triesMax && simulate(candidate, sabotage).violation?.check === failure.check
  }
  let best = plan
  for (let before: Plan | undefined; before !== best && tries < triesMax;) {
    before = best
    for (const part of ['faults', 'orders', 'remains'] as const) best = without(best, part, fails)
    best = fewerTasks(best, fails)
  }
  return best
}

function without(plan: Plan, part: Part, fails: (plan: Plan) => boolean): Plan {
  let best = plan
  for (let size = Math.ceil(best[part].length / 2); size >= 1; size = size === 1 ? 0 : Math.ceil(size / 2)) {
    for (let from = 0; from < best[part].length;) {
      const list: readonly unknown[] = best[part]
      const candidate = { ...best, [part]: [...list.slice(0, from), ...list.slice(from + size)] } as Plan
      if (fails(candidate)) best = candidate
      else from += size
    }
  }
  return best
}

function fewerTasks(plan: Plan, fails: (plan: Plan) => boolean): Plan {
  let best = plan
  for (let at = 0; at < best.orders.length; at += 1) {
    for (;;) {
      const order = best.orders[at]!
      if (order.type !== 'submit' || order.tasks.length < 2) break
      const half = { ...order, tasks: order.tasks.slice(0, Math.ceil(order.tasks.length / 2)) }
      const candidate = { ...best, orders: best.orders.map((one, index) => (index === at ? half : one)) }
      if (!fails(candidate)) break
      best = candidate
    }
  }
  return best
}
