/**
 * Writes made at this coordinator, whoever leads: they wait for a leader, go to it, and are answered
 * once state here includes them, so that who wrote reads what it wrote. When the leader goes away
 * without an answer, what may be repeated is repeated with the next one; for the rest the caller is
 * told that nobody knows.
 */
import type { RunId } from '../core/entities.ts'
import type { Input } from '../core/input.ts'
import { Refused } from '../core/input.ts'
import { MusterError, type ErrorCode } from '../protocol/errors.ts'
import type { InputResult } from '../protocol/peer-messages.ts'
import type { Clock } from '../stdx/clock.ts'
import type { Taken } from './leader.ts'

export type Outcome =
  | { readonly type: 'ok'; readonly position: number; readonly changed: boolean }
  | { readonly type: 'refused'; readonly error: Refused }
  | { readonly type: 'unavailable'; readonly error: MusterError }

/** Gives an input to the leader. */
export type Take = (input: Input, done: (result: Taken | InputResult) => void) => void

export type WritesOptions = {
  readonly clock: Clock
  /** How long a write waits for somebody to lead. */
  readonly waitMs: number
  readonly reached: (position: number, call: () => void) => void
  /** Whether state here has the run. */
  readonly has: (run: RunId) => boolean
}

type Write = {
  readonly input: Input
  readonly done: (outcome: Outcome) => void
  /** Leaders it was given to who went away: nobody knows what became of it. */
  undecided: number
  /** Some leader has it, or had it. */
  given: boolean
  forget: () => void
}

/** So many leaders may go away over one write; it may be what they die of, and then the rest should live. */
const undecidedMax = 3

/** So many times as long as for somebody to lead, a write waits in all. */
const patience = 3

export class Writes {
  readonly #options: WritesOptions
  #take: Take | undefined
  readonly #waiting = new Set<Write>()
  #stopped = false

  constructor(options: WritesOptions) {
    this.#options = options
  }

  submit(input: Input, done: (outcome: Outcome) => void): void {
    let answered = false
    const answer = (outcome: Outcome): void => {
      if (answered) return
      answered = true
      forgetPatience()
      done(outcome)
    }
    const write: Write = { input, done: answer, undecided: 0, given: false, forget: () => undefined }
    // A leader that can't reach the log, and that nobody replaces, never answers: whoever waits is told.
    const patienceMs = this.#options.waitMs * patience
    const forgetPatience = this.#options.clock.after(patienceMs, () => {
      this.#waiting.delete(write)
      write.forget()
      answer({ type: 'unavailable', error: nobody(`the log has not taken it for ${patienceMs / 1000} s`, write.given) })
    })
    this.#give(write)
  }

  #give(write: Write): void {
    if (this.#stopped) return write.done({ type: 'unavailable', error: nobody('it is going down') })
    const take = this.#take
    if (!take) return this.#wait(write)
    write.given = true
    take(write.input, (result) => this.#answered(write, result))
  }

  #wait(write: Write): void {
    this.#waiting.add(write)
    write.forget = this.#options.clock.after(this.#options.waitMs, () => {
      this.#waiting.delete(write)
      const why = `no coordinator of the cluster has led for ${Math.round(this.#options.waitMs / 1000)} s`
      write.done({ type: 'unavailable', error: nobody(why, write.undecided > 0) })
    })
  }

  #answered(write: Write, result: Taken | InputResult): void {
    if (result.type === 'ok') {
      const changed = 'changed' in result ? result.changed : result.events.length > 0
      return this.#options.reached(result.position, () =>
        write.done({ type: 'ok', position: result.position, changed }),
      )
    }
    if (result.type === 'refused') return this.#refused(write, result)
    const error = 'error' in result ? result.error : new MusterError(result.code as ErrorCode, result.message, result)
    if (error.code !== 'unavailable' || this.#stopped) return write.done({ type: 'unavailable', error })
    if (result.undecided) write.undecided += 1
    if (result.undecided && (!isRepeatable(write.input) || write.undecided >= undecidedMax)) {
      return write.done({ type: 'unavailable', error: nobody('the leader went away before it answered', true) })
    }
    // Not at once: whoever turned it down may still be the one it would be given to.
    if (this.#take) this.#options.clock.after(1, () => this.#give(write))
    else this.#wait(write)
  }

  #refused(write: Write, result: Extract<Taken | InputResult, { type: 'refused' }>): void {
    const error = 'error' in result ? result.error : new Refused(result.code as Refused['code'], result.message)
    // In view of what the caller may not see here yet.
    const position = 'position' in result ? result.position : 0
    this.#options.reached(position, () => {
      // A submission that was given before and is refused because it is there: it had been taken.
      const { input, undecided } = write
      if (undecided > 0 && input.type === 'submit' && error.code === 'conflict' && this.#options.has(input.run)) {
        return write.done({ type: 'ok', position, changed: true })
      }
      write.done({ type: 'refused', error })
    })
  }

  attach(take: Take): void {
    this.#take = take
    const waiting = [...this.#waiting]
    this.#waiting.clear()
    for (const write of waiting) {
      write.forget()
      this.#give(write)
    }
  }

  detach(): void {
    this.#take = undefined
  }

  stop(): void {
    this.#stopped = true
    this.#take = undefined
    for (const write of this.#waiting) {
      write.forget()
      write.done({ type: 'unavailable', error: nobody('it is going down') })
    }
    this.#waiting.clear()
  }
}

/**
 * Whether a second time changes nothing, and says nothing else. More tasks would be added twice; a replay, a discard and
 * whatever names a version would be refused because it was taken the first time, and the caller undo what is needed.
 */
function isRepeatable(input: Input): boolean {
  if ('version' in input && input.type !== 'join' && input.type !== 'lead') return input.version === undefined
  return !['extend', 'replay', 'discard', 'observe'].includes(input.type)
}

function nobody(why: string, undecided = false): MusterError {
  return new MusterError('unavailable', `the coordinator cannot take this now: ${why}`, {
    hint: undecided ? 'It may or may not have been taken: look before you repeat it.' : 'Try again in a moment.',
  })
}
