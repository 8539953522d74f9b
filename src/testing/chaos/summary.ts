/** All rounds in one table: which faults, how often, and what came of the load. */
import type { Plan } from './plan.ts'
import type { RoundResult } from './session.ts'

export function summary(plan: Plan, results: readonly RoundResult[], tookMs: number): string {
  const faults = new Map<string, number>()
  for (const round of plan.rounds.slice(0, results.length)) {
    for (const fault of round.faults) faults.set(fault.type, (faults.get(fault.type) ?? 0) + 1)
  }
  const requeues = new Map<string, number>()
  for (const result of results) {
    for (const [cause, count] of result.requeues) requeues.set(cause, (requeues.get(cause) ?? 0) + count)
  }
  const sum = (of: (result: RoundResult) => number): number => results.reduce((total, one) => total + of(one), 0)
  const rests = results.map((one) => one.restMs).toSorted((a, b) => a - b)
  const listed = (counts: ReadonlyMap<string, number>): string =>
    [...counts]
      .toSorted(([a], [b]) => (a < b ? -1 : 1))
      .map(([name, count]) => `${name} ${count}`)
      .join(', ') || 'none'
  const violated = sum((one) => one.violations.length)
  const rows: readonly (readonly [string, string])[] = [
    ['rounds', `${results.length} of ${plan.rounds.length}`],
    ['faults', `${[...faults.values()].reduce((a, b) => a + b, 0)}: ${listed(faults)}`],
    ['failovers', String(sum((one) => one.failovers))],
    ['runs', `${sum((one) => one.runs)} of the suite, ${sum((one) => one.submissions)} through the API`],
    ['log entries', String(sum((one) => one.entries))],
    [
      'executed again',
      `${sum((one) => one.again.count)} of ${sum((one) => one.again.all)} executions; put back: ${listed(requeues)}`,
    ],
    ['not ended', `${sum((one) => one.again.interrupted)} executions were killed in the middle`],
    ['overlaps', `${sum((one) => one.again.overlaps)}, all while a worker was frozen`],
    ['to rest', `median ${seconds(rests[Math.floor(rests.length / 2)])}, longest ${seconds(rests.at(-1))}`],
    ['violations', violated === 0 ? 'none' : String(violated)],
    ['took', `${Math.round(tookMs / 1000)} s, seed ${plan.seed}`],
  ]
  return `\n${rows.map(([name, words]) => `${name.padEnd(16)}${words}`).join('\n')}`
}

const seconds = (ms: number | undefined): string => `${((ms ?? 0) / 1000).toFixed(1)} s`
