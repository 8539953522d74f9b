/** What goes wrong over and over, and what is done about it: breakers, recovery levels, dead letters. */
import client from 'prom-client'
import { scopeKind } from '../core/breaker-state.ts'
import type { Event, LetterCause } from '../core/events.ts'
import { recoveryLevels } from '../core/recovery-table.ts'
import { counterOf, gauge, gauges } from './gauges.ts'
import type { Watched } from './watched.ts'

const kinds = ['worker', 'class', 'integration'] as const
const stands = ['closed', 'open', 'half-open'] as const

/** Returns the function that ends it. */
export function failureMetrics(registry: client.Registry, coordinator: Watched): () => void {
  const registers = [registry]
  gauges(
    registry,
    'muster_breakers',
    'Circuit breakers by what they guard and where they stand.',
    ['kind', 'state'],
    (set) => {
      const counts = new Map(kinds.map((kind) => [kind, { closed: 0, open: 0, 'half-open': 0 }]))
      for (const { scope, stand } of coordinator.state.breakers.byScope.values()) {
        const kind = scopeKind(scope)
        if (kind !== undefined) counts.get(kind)![stand] += 1
      }
      for (const [kind, count] of counts) for (const state of stands) set({ kind, state }, count[state])
    },
  )
  gauge(
    registry,
    'muster_dead_letters',
    'Dead letters that wait for somebody.',
    () => coordinator.state.letters.byId.size,
  )
  const moves = new client.Counter({
    name: 'muster_breaker_transitions_total',
    help: 'Moves of circuit breakers.',
    labelNames: ['kind', 'to'],
    registers,
  })
  const recoveries = new client.Counter({
    name: 'muster_recoveries_total',
    help: 'Tasks that were tried again, by recovery level and by what came of it.',
    labelNames: ['level', 'outcome'],
    registers,
  })
  for (const kind of kinds) for (const to of stands) moves.inc({ kind, to }, 0)
  for (const level of recoveryLevels) for (const outcome of ['worked', 'failed']) recoveries.inc({ level, outcome }, 0)
  const letters = counterOf<LetterCause>(
    registry,
    'muster_dead_letters_added_total',
    'Tasks that ended without a verdict, by cause.',
    'cause',
    {
      lost: true,
      fenced: true,
      crashed: true,
      'failed-to-start': true,
      unreported: true,
      'timed-out': true,
      'no-worker': true,
      breaker: true,
    },
  )

  function count(event: Event): void {
    if (event.type === 'breaker.moved') moves.inc({ kind: scopeKind(event.scope) ?? 'none', to: event.to })
    else if (event.type === 'dead-letter.added') letters(event.cause, event.letters.length)
    else if (event.type === 'batch.ended') {
      for (const { level, outcome, tasks } of event.recoveries ?? []) recoveries.inc({ level, outcome }, tasks.length)
    }
  }

  return coordinator.observe(({ events, appendMs }) => {
    if (appendMs !== undefined) for (const event of events) count(event)
  })
}
