/**
 * A retry rule as people write it, in `muster.config.*` and after `--retry`: `backoff` is a duration, or
 * the first and the longest wait, `2s..1m`.
 */
import { retryPlaces } from '../protocol/retry-causes.ts'
import type { RetryRule } from '../protocol/retry-policy.ts'
import { parseDuration } from '../stdx/duration.ts'

export type RetryRuleText = {
  readonly max?: number
  readonly backoff?: string
  readonly factor?: number
  readonly jitter?: number
  readonly where?: (typeof retryPlaces)[number]
}

export const retryRuleKeys = ['max', 'backoff', 'factor', 'jitter', 'where'] as const

/** What is wrong, where, or the rule. */
export type ParsedRule =
  | { readonly rule: RetryRule }
  | { readonly key: (typeof retryRuleKeys)[number]; readonly expected: string; readonly received: unknown }

export function parseRetryRule(text: { readonly [K in keyof RetryRuleText]?: unknown }): ParsedRule {
  const { max, backoff, factor, jitter, where } = text
  if (max !== undefined && !(Number.isInteger(max) && within(max, 0, 100)))
    return { key: 'max', expected: 'a whole number from 0 to 100', received: max }
  if (factor !== undefined && !within(factor, 1, 100))
    return { key: 'factor', expected: 'a number from 1 to 100', received: factor }
  if (jitter !== undefined && !within(jitter, 0, 1))
    return { key: 'jitter', expected: 'a number from 0 to 1', received: jitter }
  if (where !== undefined && !retryPlaces.includes(where as never))
    return { key: 'where', expected: `one of ${retryPlaces.join(', ')}`, received: where }
  const waits = backoff === undefined ? {} : parseBackoff(backoff)
  if (waits === undefined)
    return {
      key: 'backoff',
      expected: 'a duration such as 2s, or the first and the longest: 2s..1m',
      received: backoff,
    }
  return {
    rule: {
      ...(max === undefined ? {} : { max: max as number }),
      ...waits,
      ...(factor === undefined ? {} : { backoffFactor: factor as number }),
      ...(jitter === undefined ? {} : { jitter: jitter as number }),
      ...(where === undefined ? {} : { where: where as (typeof retryPlaces)[number] }),
    },
  }
}

function within(value: unknown, min: number, max: number): boolean {
  return typeof value === 'number' && value >= min && value <= max
}

const dayMs = 86_400_000

function parseBackoff(text: unknown): { backoffMs: number; backoffMaxMs?: number } | undefined {
  if (typeof text !== 'string') return undefined
  const [first = '', longest, ...rest] = text.split('..')
  const backoffMs = parseDuration(first)
  const backoffMaxMs = longest === undefined ? undefined : parseDuration(longest)
  if (rest.length > 0 || backoffMs === undefined || backoffMs > dayMs) return undefined
  if (longest === undefined) return { backoffMs }
  return backoffMaxMs === undefined || backoffMaxMs < backoffMs || backoffMaxMs > dayMs
    ? undefined
    : { backoffMs, backoffMaxMs }
}
