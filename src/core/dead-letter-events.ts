/**
 * What dead letters follow from: how the attempts of unfinished tasks ended is noted as it happens, and
 * a task that ends without a verdict turns its notes into a letter. Also says how replays ended.
 */
import type { LetterKind, RunId, TaskIndex } from './entities.ts'
import type { BatchEnded, DeadLetterSettled, Event, LetterCause, LetterId, LostAttempt } from './events.ts'
import type { Input } from './input.ts'
import type { DeadLetter } from './letter-state.ts'
import type { Batch, Run, State } from './state.ts'

/** Attempts that a letter tells of, and characters of each one's message. */
const attemptsKept = 5
const messageLengthMax = 300

/** Before the batch is forgotten: what its unreported tasks may have to tell of later. */
export function noteMishap(state: State, run: Run, batch: Batch, event: BatchEnded): void {
  if (batch.open === 0 || run.cancelled) return
  const tasks = batch.tasks.filter((index) => {
    const task = run.tasks[index]!
    return task.batch === batch.id && (task.state === 'assigned' || task.state === 'running')
  })
  if (tasks.length === 0) return
  const host = run.workers.get(batch.worker)?.host
  run.mishaps.push({
    tasks,
    attempt: {
      batch: batch.id,
      worker: batch.worker,
      ...(host === undefined ? {} : { host }),
      reason: event.reason,
      exitCode: event.exitCode,
      signal: event.signal,
      ...(event.message === undefined ? {} : { message: event.message.slice(0, messageLengthMax) }),
      ...(event.output === undefined ? {} : { output: event.output }),
      atMs: state.atMs,
    },
  })
}

type Fresh = {
  readonly run: Run
  readonly task: TaskIndex
  readonly why: string
  readonly cause: LetterCause
  readonly attempts: readonly LostAttempt[]
  readonly replays: number
}

/** Follows from events that were just applied. None while older members read the log. */
export function letterEvents(state: State, events: readonly Event[], input: Input['type']): readonly Event[] {
  if (state.format < 2 || !events.some((event) => event.type === 'task.ended')) return []
  const more: Event[] = []
  const fresh: Fresh[] = []
  const leaving = new Set<LetterId>()
  for (const event of events) {
    if (event.type !== 'task.ended') continue
    const run = state.runs.get(event.run)!
    const kind = letterKind(run, event.state, events)
    const leaves = kind !== undefined && (run.spec.deadLetters ?? defaultKinds).includes(kind)
    const replayed = state.letters.replays.get(run.id)
    const letterBefore = (task: TaskIndex) => state.letters.byId.get(replayed?.get(task) ?? '')
    const before = event.tasks.flatMap((task) => letterBefore(task) ?? [])
    for (const settled of settledEvents(before, run.id, kind === 'crashed' ? kind : event.state, leaves)) {
      more.push(settled)
      if (settled.removed) for (const id of settled.letters) leaving.add(id)
    }
    if (!leaves) continue
    const attempts = attemptsOf(run, new Set(event.tasks))
    for (const task of event.tasks) {
      const made = attempts.get(task) ?? []
      const cause = causeOf(made, input, events, run.id, kind)
      const known = letterBefore(task)
      fresh.push({ run, task, why: event.why, cause, attempts: made, replays: known ? known.replays + 1 : 0 })
    }
  }
  if (fresh.length > 0) more.push(...roomEvents(state, fresh.length, leaving), ...addedEvents(state, fresh))
  return more
}

const defaultKinds: readonly LetterKind[] = ['lost', 'crashed']

function letterKind(run: Run, ended: string, events: readonly Event[]): LetterKind | undefined {
  if (ended === 'lost' || ended === 'timed-out') return ended
  // Failed without a report of its own: its process died, every time.
  const reported = events.some((event) => event.type === 'task.reported' && event.run === run.id)
  return ended === 'failed' && !reported ? 'crashed' : undefined
}

function attemptsOf(run: Run, wanted: ReadonlySet<TaskIndex>): Map<TaskIndex, LostAttempt[]> {
  const attempts = new Map<TaskIndex, LostAttempt[]>()
  for (const mishap of run.mishaps) {
    for (const task of mishap.tasks) {
      if (!wanted.has(task)) continue
      const known = attempts.get(task)
      if (known) known.push(mishap.attempt)
      else attempts.set(task, [mishap.attempt])
    }
  }
  return attempts
}

function causeOf(
  attempts: readonly LostAttempt[],
  input: Input['type'],
  events: readonly Event[],
  run: RunId,
  kind: LetterKind,
): LetterCause {
  if (kind === 'timed-out') return 'timed-out'
  if (input === 'tick') return 'breaker'
  if (input === 'abandon') return 'no-worker'
  // Given up before its turn: for what became of the others.
  const neighbour = events.find((event) => event.type === 'batch.ended' && event.run === run)
  const reason = attempts.at(-1)?.reason ?? (neighbour?.type === 'batch.ended' ? neighbour.reason : undefined)
  switch (reason) {
    case undefined:
      return 'no-worker'
    case 'completed':
      return 'unreported'
    case 'cancelled':
      return 'lost'
    default:
      return reason
  }
}

/** Grouped by what they share, so that an entry's size follows from what happened and not from how often. */
function addedEvents(state: State, fresh: readonly Fresh[]): Event[] {
  const { deadLettersMax } = state.limits
  const groups = new Map<string, Fresh[]>()
  for (const one of fresh.slice(0, deadLettersMax)) {
    const made = one.run.tasks[one.task]!.attempts
    const key = [one.run.id, one.cause, made, ...one.attempts.map((attempt) => attempt.batch), one.why].join(' ')
    const group = groups.get(key)
    if (group) group.push(one)
    else groups.set(key, [one])
  }
  let number = state.letters.lastNumber
  const events: Event[] = []
  for (const group of groups.values()) {
    const { run, task, cause, why, attempts } = group[0]!
    const { suite, project, framework } = run.spec
    const letters = group.map((one) => ({
      letter: `d${(number += 1)}`,
      task: one.task,
      file: run.tasks[one.task]!.file,
      ...(run.tasks[one.task]!.kind === 0 ? {} : { kind: run.tasks[one.task]!.kind }),
      ...(one.replays > 0 ? { replays: one.replays } : {}),
    }))
    const shared = { suite, project, framework, cause, why }
    const tried = { attempts: attempts.slice(-attemptsKept), attemptsMade: run.tasks[task]!.attempts }
    events.push({ type: 'dead-letter.added', run: run.id, letters, ...shared, ...tried })
  }
  if (fresh.length > deadLettersMax) {
    const count = fresh.length - deadLettersMax
    const run = fresh.at(-1)!.run.id
    events.push({ type: 'dead-letter.dropped', run, letters: [], count, why: fullWords(state) })
  }
  return events
}

function fullWords(state: State): string {
  return `more than ${state.limits.deadLettersMax} dead letters`
}

/** The oldest go when there would be too many. */
function roomEvents(state: State, wanted: number, leaving: ReadonlySet<LetterId>): Event[] {
  const { deadLettersMax } = state.limits
  const { byId } = state.letters
  const excess = byId.size - leaving.size + Math.min(wanted, deadLettersMax) - deadLettersMax
  const oldest: DeadLetter[] = []
  for (const letter of byId.values()) {
    if (oldest.length >= excess) break
    if (!leaving.has(letter.id)) oldest.push(letter)
  }
  return droppedEvents(oldest, fullWords(state))
}

export function droppedEvents(letters: readonly DeadLetter[], why: string): Event[] {
  return [...byRun(letters)].map(([run, ids]) => ({
    type: 'dead-letter.dropped',
    run,
    letters: ids,
    count: ids.length,
    why,
  }))
}

/** Letters of one run share its spec and context, so events about them name the run. */
export function byRun(letters: readonly DeadLetter[]): Map<RunId, LetterId[]> {
  const groups = new Map<RunId, LetterId[]>()
  for (const letter of letters) {
    const group = groups.get(letter.run)
    if (group) group.push(letter.id)
    else groups.set(letter.run, [letter.id])
  }
  return groups
}

/** `replaced`: a letter of the replay itself takes their place. */
function settledEvents(
  letters: readonly DeadLetter[],
  replay: RunId,
  outcome: string,
  replaced: boolean,
): DeadLetterSettled[] {
  const removed = replaced || outcome === 'passed' || outcome === 'flaky' || outcome === 'skipped'
  return [...byRun(letters)].map(([run, ids]) => ({
    type: 'dead-letter.settled',
    run,
    letters: ids,
    replay,
    outcome,
    removed,
  }))
}
