/** Dead letters as the API shows them. */
import type { DeadLetter } from '../core/letter-state.ts'
import type { DeadLetterView } from '../protocol/failures.ts'

export function letterView(letter: DeadLetter): DeadLetterView {
  const { id, run, task, file, suite, project, framework, cause, why, atMs, attempts, attemptsMade, replays } = letter
  const { replay } = letter
  return {
    letter: id,
    state: replay ? 'replayed' : 'waiting',
    run,
    task: `${run}/${task}`,
    file,
    suite,
    project,
    framework,
    cause,
    why,
    atMs,
    attemptsMade,
    attempts,
    replays,
    ...(replay
      ? {
          replay: {
            run: replay.run,
            who: replay.who,
            ...(replay.outcome === undefined ? {} : { outcome: replay.outcome }),
          },
        }
      : {}),
  }
}
