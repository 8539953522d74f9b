/** The section `shares` of `coordinator.json`: one rule per scope. docs/reference/shares.md describes it. */
import type { ShareRule, Shares } from '../core/shares.ts'

type Fault = { readonly place: string; readonly expected: string; readonly received: unknown }

const ruleKeys = ['weight', 'cpus', 'gpus', 'cpuHours'] as const
const scopePattern = /^(?:project|user):.+$/

/** The rules, or the first thing that is wrong with them. */
export function parseShares(given: unknown): { readonly shares: Shares } | Fault {
  if (!isObject(given)) return { place: 'shares', expected: 'an object', received: given }
  const shares = new Map<string, ShareRule>()
  for (const [scope, rule] of Object.entries(given)) {
    const place = `shares["${scope}"]`
    if (!scopePattern.test(scope)) {
      const expected = 'project:NAME, user:NAME, project:* or user:* as the name of a rule'
      return { place, expected, received: scope }
    }
    if (!isObject(rule)) return { place, expected: `an object: { ${ruleKeys.join(', ')} }`, received: rule }
    for (const [key, value] of Object.entries(rule)) {
      const fault = valueFault(key, value)
      if (fault !== undefined) return { place: `${place}.${key}`, ...fault }
    }
    shares.set(scope, rule as ShareRule)
  }
  return { shares }
}

function valueFault(key: string, value: unknown): Omit<Fault, 'place'> | undefined {
  if (!ruleKeys.some((known) => known === key)) return { expected: `one of ${ruleKeys.join(', ')}`, received: key }
  const number = typeof value === 'number' && Number.isFinite(value) ? value : Number.NaN
  if (key === 'weight' || key === 'cpuHours')
    return number > 0 ? undefined : { expected: 'a number above 0', received: value }
  // No GPUs at all is a quota; no CPUs at all would be a run that never begins.
  const min = key === 'gpus' ? 0 : 1
  if (Number.isInteger(number) && number >= min) return undefined
  return { expected: `a whole number of at least ${min}`, received: value }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
