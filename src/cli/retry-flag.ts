/** `--retry lost=5,backoff=2s..1m,where=other-worker`: one cause and what is done about it; may be repeated. */
import { MusterError } from '../protocol/errors.ts'
import { retryCauses } from '../protocol/retry-causes.ts'
import type { RetryPolicy, RetryRule } from '../protocol/retry-policy.ts'
import { parseRetryRule, retryRuleKeys } from '../runners/retry-rule.ts'

const shape = 'CAUSE=MAX[,backoff=FIRST..LONGEST][,factor=N][,jitter=0..1][,where=PLACE]'

/** What the flags say, over what the configuration says, cause by cause and key by key. */
export function retryOf(given: readonly string[], configured: RetryPolicy | undefined): RetryPolicy | undefined {
  const policy: { [C in (typeof retryCauses)[number]]?: RetryRule } = { ...configured }
  for (const text of given) {
    const { causes, rule } = parseFlag(text)
    for (const cause of causes) policy[cause] = { ...policy[cause], ...rule }
  }
  return Object.keys(policy).length === 0 ? undefined : policy
}

function parseFlag(text: string): { causes: readonly (typeof retryCauses)[number][]; rule: RetryRule } {
  const parts = text.split(',').map((part) => part.split('=') as [string, string | undefined, ...string[]])
  const [cause, max] = parts[0]!
  const causes = cause === 'all' ? retryCauses : retryCauses.filter((known) => known === cause)
  if (causes.length === 0)
    throw refused(text, `a cause of ${[...retryCauses, 'all'].join(', ')} first, as in ${shape}`, cause)
  const values: Record<string, unknown> = max === undefined ? {} : { max: number(max) }
  for (const [key, value, ...rest] of parts.slice(1)) {
    if (!retryRuleKeys.includes(key as never) || value === undefined || value === '' || rest.length > 0)
      throw refused(text, `${retryRuleKeys.join(', ')}, each as KEY=VALUE`, [key, value, ...rest].join('='))
    values[key] = key === 'backoff' || key === 'where' ? value : number(value)
  }
  const parsed = parseRetryRule(values)
  if ('rule' in parsed) return { causes, rule: parsed.rule }
  throw refused(text, `${parsed.key} to be ${parsed.expected}`, parsed.received)
}

/** What isn't a number stays as it was written, for the message. */
function number(text: string): unknown {
  return text.trim() === '' || Number.isNaN(Number(text)) ? text : Number(text)
}

function refused(text: string, expected: string, received: unknown): MusterError {
  return new MusterError('usage', `--retry ${text}: expected ${expected}, received '${String(received)}'`)
}
