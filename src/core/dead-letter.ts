/**
 * Dead letters: what nobody will try again and nobody has a verdict of. A task that ends lost, or whose
 * process only ever died, leaves a letter that says which file it was and how each attempt ended. It
 * outlives its run, until a replay of it passes or somebody discards it.
 *
 * The ledger doesn't know of letters: a lost task stays lost and its run incomplete. A replay is a run
 * of its own, from the spec that the letters of one run share; should that be lost as well, the letter
 * it leaves takes the place of the old one. Private contexts and blobs are the shell's to keep:
 * `state.letters.sources` says of which runs. Which events make letters: dead-letter-events.ts.
 */
import { assert } from '../stdx/assert.ts'
import type { RunId, TaskIndex } from './entities.ts'
import type {
  DeadLetterAdded,
  DeadLetterDiscarded,
  DeadLetterDropped,
  DeadLetterReplayed,
  DeadLetterSettled,
  Event,
  LetterId,
} from './events.ts'
import { droppedEvents, byRun } from './dead-letter-events.ts'
import { Refused, type Discard, type Replay } from './input.ts'
import type { DeadLetter } from './letter-state.ts'
import { stepSubmit } from './run.ts'
import type { State } from './state.ts'

function lettersOf(state: State, ids: readonly LetterId[]): DeadLetter[] {
  if (ids.length === 0 || new Set(ids).size !== ids.length) {
    throw new Refused('request_invalid', 'expected different dead letters, at least one')
  }
  return ids.map((id) => {
    const letter = state.letters.byId.get(id)
    if (!letter) throw new Refused('not_found', `no dead letter ${id}; it may have been replayed, discarded or dropped`)
    return letter
  })
}

export function stepReplay(state: State, input: Replay): readonly Event[] {
  const letters = lettersOf(state, input.letters)
  const [first] = letters
  const source = state.letters.sources.get(first!.run)!
  for (const { id, run, replay } of letters) {
    if (run !== first!.run) {
      throw new Refused('request_invalid', `dead letters of one run at a time: ${id} is of ${run}, not ${first!.run}`)
    }
    if (!replay) continue
    if (replay.outcome === undefined) {
      throw new Refused('conflict', `dead letter ${id} is being replayed by run ${replay.run}`)
    }
    if (!input.again) {
      throw new Refused(
        'conflict',
        `dead letter ${id} was replayed by run ${replay.run} (${replay.outcome}); --again replays it once more`,
      )
    }
  }
  const { context, startupMs, user } = input
  // Whatever submitted the first run is over; so are its trace, its deadline and what it waited for.
  const { traceparent: _, deadlineAtMs: __, after: ___, ...spec } = source.spec
  const submitted = stepSubmit(state, {
    type: 'submit',
    run: input.run,
    who: input.who,
    spec: { ...spec, ...(user === undefined ? {} : { user }), context, startupMs, complete: false, open: false },
    files: letters.map((letter) => letter.file),
    estimates: input.estimates,
    ...(input.guessed === undefined ? {} : { guessed: input.guessed }),
    ...(letters.some((letter) => letter.kind > 0) ? { kinds: letters.map((letter) => letter.kind) } : {}),
  })
  const replayed: DeadLetterReplayed = {
    type: 'dead-letter.replayed',
    run: first!.run,
    letters: letters.map((letter, task) => ({ letter: letter.id, task })),
    replay: input.run,
    who: input.who,
  }
  return [...submitted, replayed]
}

export function stepDiscard(state: State, input: Discard): readonly Event[] {
  const { who, why } = input
  return [...byRun(lettersOf(state, input.letters))].map(([run, letters]) => ({
    type: 'dead-letter.discarded',
    run,
    letters,
    who,
    why,
  }))
}

/** Retention: letters that nobody has looked after for too long. */
export function expiredLetters(state: State): readonly Event[] {
  const { deadLetterAgeMaxMs } = state.limits
  const old: DeadLetter[] = []
  for (const letter of state.letters.byId.values()) {
    if (state.atMs - letter.atMs <= deadLetterAgeMaxMs) break
    old.push(letter)
  }
  return droppedEvents(old, 'too old')
}

// ---- apply ----

type LetterEvent = DeadLetterAdded | DeadLetterReplayed | DeadLetterSettled | DeadLetterDiscarded | DeadLetterDropped

export function applyLetter(state: State, event: LetterEvent): void {
  switch (event.type) {
    case 'dead-letter.added':
      return applyAdded(state, event)
    case 'dead-letter.replayed': {
      const tasks = new Map<TaskIndex, LetterId>()
      for (const { letter, task } of event.letters) {
        const known = letterOf(state, letter, event.run)
        assert(known.replay?.outcome !== undefined || !known.replay, `letter ${letter} is replayed once at a time`)
        known.replay = { run: event.replay, task, who: event.who }
        tasks.set(task, letter)
      }
      assert(!state.letters.replays.has(event.replay), `run ${event.replay} replays letters once`)
      state.letters.replays.set(event.replay, tasks)
      return
    }
    case 'dead-letter.settled':
      for (const id of event.letters) {
        const letter = letterOf(state, id, event.run)
        const { replay } = letter
        assert(replay?.run === event.replay && replay.outcome === undefined, `letter ${id} was under replay`)
        endReplay(state, letter)
        if (event.removed) removeLetter(state, letter)
        else letter.replay = { ...replay, outcome: event.outcome }
      }
      return
    case 'dead-letter.dropped':
      state.letters.dropped += event.count
      break
    default:
  }
  for (const id of event.letters) {
    const letter = letterOf(state, id, event.run)
    endReplay(state, letter)
    removeLetter(state, letter)
  }
}

function applyAdded(state: State, event: DeadLetterAdded): void {
  const { letters } = state
  const run = state.runs.get(event.run)!
  let source = letters.sources.get(run.id)
  if (!source) {
    source = { spec: run.spec, who: run.who, letters: new Set() }
    letters.sources.set(run.id, source)
  }
  const { suite, project, framework, cause, why, attempts, attemptsMade } = event
  for (const { letter, task, file, kind = 0, replays = 0 } of event.letters) {
    const number = Number(letter.slice(1))
    assert(number > letters.lastNumber, 'letter numbers only grow')
    letters.lastNumber = number
    const rest = { suite, project, framework, cause, why, attempts, attemptsMade, atMs: state.atMs, replays }
    letters.byId.set(letter, { id: letter, run: run.id, task, file, kind, ...rest, replay: undefined })
    source.letters.add(letter)
  }
}

function letterOf(state: State, id: LetterId, run: RunId): DeadLetter {
  const letter = state.letters.byId.get(id)
  assert(letter?.run === run, `letter ${id} of run ${run} is known`)
  return letter
}

function endReplay(state: State, { replay }: DeadLetter): void {
  if (!replay) return
  const tasks = state.letters.replays.get(replay.run)
  tasks?.delete(replay.task)
  if (tasks?.size === 0) state.letters.replays.delete(replay.run)
}

function removeLetter(state: State, letter: DeadLetter): void {
  state.letters.byId.delete(letter.id)
  const source = state.letters.sources.get(letter.run)!
  source.letters.delete(letter.id)
  if (source.letters.size === 0) state.letters.sources.delete(letter.run)
}
