/** Rows of dead letters and breakers: one for every change, so that neither has to be found again. */
import type { Event } from '../core/events.ts'
import type { Row } from './schema.ts'

type LetterEvent = Extract<Event, { type: `dead-letter.${string}` }>

/** `change`: added, replayed, settled, discarded or dropped. What a letter is about stands in its first row. */
export function letterRows(atMs: number, event: LetterEvent): Row<'dead_letters'>[] {
  const change = event.type.slice('dead-letter.'.length)
  const blank = {
    run: event.run,
    change,
    task: null,
    project: null,
    suite: null,
    framework: null,
    file: null,
    cause: null,
    attempts: null,
    who: 'who' in event ? event.who : 'coordinator',
    why: 'why' in event ? event.why : null,
    replay_run: 'replay' in event ? event.replay : null,
    outcome: null,
    at_ms: atMs,
  }
  switch (event.type) {
    case 'dead-letter.added': {
      const { project, suite, framework, cause, attemptsMade } = event
      return event.letters.map(({ letter, task, file }) => ({
        ...blank,
        letter,
        task,
        project,
        suite,
        framework,
        file,
        cause,
        attempts: attemptsMade,
      }))
    }
    case 'dead-letter.replayed':
      return event.letters.map(({ letter }) => ({ ...blank, letter }))
    case 'dead-letter.settled':
      return event.letters.map((letter) => ({ ...blank, letter, outcome: event.outcome }))
    default:
      return event.letters.map((letter) => ({ ...blank, letter }))
  }
}

export function breakerRow(
  atMs: number,
  { scope, from, to, who, why, counts, opens, untilMs }: Extract<Event, { type: 'breaker.moved' }>,
): Row<'breaker_transitions'> {
  return {
    scope,
    kind: scope.slice(0, scope.indexOf(':')),
    from_state: from,
    to_state: to,
    who,
    why,
    ok: counts.ok,
    failed: counts.failed,
    workers: counts.workers,
    opens: opens ?? null,
    until_ms: untilMs ?? null,
    at_ms: atMs,
  }
}
