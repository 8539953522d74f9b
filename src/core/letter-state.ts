/** Dead letters as state: what is kept of them, and how it goes into a snapshot and back. See dead-letter.ts. */
import type { RunId, RunSpec, TaskIndex } from './entities.ts'
import type { LetterCause, LetterId, LostAttempt } from './events.ts'

export type DeadLetter = {
  readonly id: LetterId
  readonly run: RunId
  readonly task: TaskIndex
  readonly file: string
  readonly kind: number
  readonly suite: string
  readonly project: string
  readonly framework: string
  readonly cause: LetterCause
  readonly why: string
  /** The newest ones, oldest first; `attemptsMade` says how many there were. */
  readonly attempts: readonly LostAttempt[]
  readonly attemptsMade: number
  readonly atMs: number
  /** How many replays of this file came to nothing before. */
  readonly replays: number
  /** The newest replay. `outcome`: how it ended; none while it is under way. */
  replay: { readonly run: RunId; readonly task: TaskIndex; readonly who: string; readonly outcome?: string } | undefined
}

/** What the letters of one run share and a replay of them needs. */
export type LetterSource = { readonly spec: RunSpec; readonly who: string; readonly letters: Set<LetterId> }

export type Letters = {
  /** Of the newest letter. */
  lastNumber: number
  /** Letters that were dropped for want of room or for their age. */
  dropped: number
  /** Oldest first. */
  readonly byId: Map<LetterId, DeadLetter>
  readonly sources: Map<RunId, LetterSource>
  /** Replays under way: which task stands for which letter. */
  readonly replays: Map<RunId, Map<TaskIndex, LetterId>>
}

export function emptyLetters(): Letters {
  return { lastNumber: 0, dropped: 0, byId: new Map(), sources: new Map(), replays: new Map() }
}

/** A batch that ended and left these tasks without a report. */
export type Mishap = { readonly attempt: LostAttempt; readonly tasks: readonly TaskIndex[] }

export type LettersData = {
  readonly lastNumber: number
  readonly dropped: number
  readonly letters: readonly DeadLetter[]
  readonly sources: readonly (readonly [RunId, { readonly spec: RunSpec; readonly who: string }])[]
}

export function captureLetters(letters: Letters): LettersData {
  return {
    lastNumber: letters.lastNumber,
    dropped: letters.dropped,
    letters: [...letters.byId.values()],
    sources: [...letters.sources].map(([run, { spec, who }]) => [run, { spec, who }]),
  }
}

export function restoreLetters(data: LettersData | undefined): Letters {
  const letters = emptyLetters()
  if (!data) return letters
  letters.lastNumber = data.lastNumber
  letters.dropped = data.dropped
  for (const [run, { spec, who }] of data.sources) letters.sources.set(run, { spec, who, letters: new Set() })
  for (const given of data.letters) {
    // Letters of before format 3 have no kind.
    const letter: DeadLetter = { ...given, kind: given.kind ?? 0, replay: given.replay }
    letters.byId.set(letter.id, letter)
    letters.sources.get(letter.run)!.letters.add(letter.id)
    const { replay } = letter
    if (!replay || replay.outcome !== undefined) continue
    const tasks = letters.replays.get(replay.run) ?? new Map<TaskIndex, LetterId>()
    letters.replays.set(replay.run, tasks.set(replay.task, letter.id))
  }
  return letters
}
