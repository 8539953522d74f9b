/** `muster breakers`: what is left alone for a while because it kept failing; list, reset, open. */
import { MusterError } from '../../protocol/errors.ts'
import type { BreakerView } from '../../protocol/failures.ts'
import { formatDuration } from '../../stdx/duration.ts'
import { connect } from '../connect.ts'
import { ago, table } from '../table.ts'
import type { LookOptions } from './look.ts'

export async function breakersCommand(options: LookOptions & { readonly all?: boolean }): Promise<number> {
  await using connection = await connect(options)
  const query = options.all ? '?all=true' : ''
  const { breakers } = await connection.client.get<{ breakers: BreakerView[] }>(`/breakers${query}`)
  return print(options, breakers)
}

export async function resetBreakersCommand(
  scopes: readonly string[],
  options: LookOptions & { readonly all?: boolean; readonly why?: string },
): Promise<number> {
  if (scopes.length > 0 === (options.all === true)) {
    throw new MusterError('usage', 'muster breakers reset: expected scopes or --all', {
      hint: "'muster breakers' shows the scopes.",
    })
  }
  const why = options.why === undefined ? {} : { why: options.why }
  const body = { ...(options.all ? { all: true } : { scopes }), ...why }
  await using connection = await connect(options)
  const { breakers } = await connection.client.post<{ breakers: BreakerView[] }>('/breakers/reset', body)
  if (breakers.length === 0 && !options.json) {
    process.stdout.write('every breaker was closed already\n')
    return 0
  }
  return print(options, breakers)
}

export async function openBreakerCommand(
  scope: string,
  options: LookOptions & { readonly why: string },
): Promise<number> {
  await using connection = await connect(options)
  const body = { scope, why: options.why }
  const { breakers } = await connection.client.post<{ breakers: BreakerView[] }>('/breakers/open', body)
  return print(options, breakers)
}

function print(options: LookOptions, breakers: readonly BreakerView[]): number {
  if (options.json) process.stdout.write(`${JSON.stringify(breakers, null, 2)}\n`)
  else if (breakers.length === 0) process.stdout.write('every breaker is closed, and nothing has failed lately\n')
  else process.stdout.write(breakerTable(breakers))
  return 0
}

function breakerTable(breakers: readonly BreakerView[]): string {
  return table(
    ['SCOPE', 'NAME', 'STATE', 'FAILED', 'OK', 'SINCE', 'UNTIL', 'WHY'],
    breakers.map((breaker) => [
      breaker.scope,
      breaker.name ?? '',
      breaker.state,
      breaker.counts.failed,
      breaker.counts.ok,
      breaker.movedAtMs === undefined ? '' : ago(breaker.movedAtMs),
      untilWords(breaker),
      breaker.why === undefined ? '' : `${breaker.why}${breaker.who === 'coordinator' ? '' : ` (${breaker.who})`}`,
    ]),
  )
}

function untilWords({ state, held, untilMs }: BreakerView): string {
  if (held) return 'reset'
  if (state !== 'open' || untilMs === undefined) return ''
  return `in ${formatDuration(Math.max(0, untilMs - Date.now()))}`
}
