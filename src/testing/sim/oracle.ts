/**
 * What attempts do, and what must come of it. `outcomeOf` is a pure function: an attempt of a task
 * does the same whoever runs it and whenever. `expectedEnd` is the sequential oracle: given how a
 * task's attempts ended, one after the other, it says which final state is right, by rules written
 * here once more and simpler than in the core.
 */
import type { BookRun, BookTask } from './book-types.ts'
import type { TaskKind } from './plan.ts'

export type AttemptOutcome = 'passed' | 'failed' | 'skipped' | 'crash' | 'hang'

/** The kind is part of the file's name, so that nothing has to be kept beside the log. */
export const fileOf = (index: number, kind: TaskKind): string => `${index}.${kind}.test`
const kindOf = (file: string): TaskKind => file.split('.')[1] as TaskKind

/** `attempt` counts from 1. */
export function outcomeOf(file: string, attempt: number): AttemptOutcome {
  switch (kindOf(file)) {
    case 'fail':
      return 'failed'
    case 'flaky':
      return attempt === 1 ? 'failed' : 'passed'
    case 'skip':
      return 'skipped'
    case 'crash':
      return 'crash'
    case 'crash-once':
      return attempt === 1 ? 'crash' : 'passed'
    case 'hang':
      return 'hang'
    case 'hang-once':
      return attempt === 1 ? 'hang' : 'passed'
    default:
      return 'passed'
  }
}

export const isSlow = (file: string): boolean => kindOf(file) === 'slow'

/** Why the end that the log gives a task can't be right; undefined when it can. */
export function wrongEnd(run: BookRun, task: BookTask): string | undefined {
  const ends: string[] = task.attempts.map((attempt) => attempt.ended ?? 'open')
  const last = task.attempts.at(-1)
  const said = (why: string): string => `ended ${task.state}, but ${why} (attempts: ${ends.join(', ') || 'none'})`
  for (const attempt of task.attempts) {
    if (!attempt.reported) continue
    const expected = outcomeOf(task.file, attempt.number)
    if (attempt.ended !== expected) return said(`attempt ${attempt.number} was to be ${expected}`)
  }
  const failures =
    ends.filter((end) => end === 'failed').length + task.requeued.filter((cause) => cause === 'timed-out').length
  switch (task.state) {
    case 'passed':
      return last?.ended === 'passed' && failures === 0 ? undefined : said('its last attempt did not pass as its first')
    case 'flaky':
      return last?.ended === 'passed' && failures > 0 ? undefined : said('it is flaky only by passing after a failure')
    case 'skipped':
      // What came before it did not do well.
      if (task.attempts.length === 0) return task.after ? undefined : said('nothing came before it')
      return last?.ended === 'skipped' && failures === 0 ? undefined : said('it was not skipped')
    case 'failed':
      return wrongFailure(run, task, failures, said)
    case 'timed-out':
      if (!['hang', 'hang-once'].includes(kindOf(task.file))) return said('it never hangs')
      return failures >= run.spec.retries || run.cancelled ? undefined : said('a retry was left')
    case 'cancelled':
      return run.cancelled ? undefined : said('its run was not cancelled')
    case 'lost':
      return undefined
    default:
      return said('that is no end')
  }
}

function wrongFailure(
  run: BookRun,
  task: BookTask,
  failures: number,
  said: (why: string) => string,
): string | undefined {
  const last = task.attempts.at(-1)
  const kind = kindOf(task.file)
  if (last?.reported === true) {
    if (last.ended === 'skipped') return failures > 0 ? undefined : said('it was skipped')
    if (last.ended !== 'failed') return said('its last attempt did not fail')
    return failures > run.spec.retries || run.cancelled ? undefined : said('a retry was left')
  }
  // Without a report a task fails only when its process died on it, or nothing of it ever began.
  if (last === undefined || !last.begun) return undefined
  const crashes = task.requeued.filter((cause) => cause === 'crashed').length
  if (kind.startsWith('crash'))
    return crashes >= run.spec.retries || run.cancelled ? undefined : said('a retry was left')
  return undefined
}
