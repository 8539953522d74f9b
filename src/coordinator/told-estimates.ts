/**
 * What the core is told of how long files take, from what history says: the file's own durations count as known; what its
 * neighbours or its size suggest is a guess, which orders files and counts as unknown; and what is usual for a framework
 * says nothing of how files differ, so it isn't told at all.
 */
import type { AboutFiles, Estimates } from '../history/history.ts'

export type ToldEstimates = {
  readonly estimates: readonly (number | null)[]
  /** Places of those that are guesses. */
  readonly guessed?: readonly number[]
}

export function toldEstimates({ durationsMs, bases }: Estimates): ToldEstimates {
  const estimates = durationsMs.map((ms, at) => (bases[at] === 'framework' ? null : ms))
  const guessed = bases.flatMap((basis, at) => (basis !== 'history' && estimates[at] !== null ? [at] : []))
  return guessed.length === 0 ? { estimates } : { estimates, guessed }
}

type Ask = (project: string, suite: string, files: readonly string[], about: AboutFiles) => Promise<Estimates>
type Suite = { readonly project: string; readonly suite: string; readonly framework: string }
type Waiting = {
  readonly files: readonly string[]
  readonly bytes: readonly (number | null)[] | undefined
  readonly done: (told: ToldEstimates) => void
}

/**
 * For files that come a few at a time: one question of a suite is under way, and those that come meanwhile are asked for
 * together, as the log takes what comes while it writes. Never rejects, as long as `ask` doesn't.
 */
export class GatheredEstimates {
  readonly #ask: Ask
  /** By suite, while a question is under way. */
  readonly #waiting = new Map<string, Waiting[]>()

  constructor(ask: Ask) {
    this.#ask = ask
  }

  of(suite: Suite, files: readonly string[], bytes?: readonly (number | null)[]): Promise<ToldEstimates> {
    const key = JSON.stringify([suite.project, suite.suite, suite.framework])
    return new Promise((done) => {
      const waiting = this.#waiting.get(key)
      if (waiting) {
        waiting.push({ files, bytes, done })
        return
      }
      this.#waiting.set(key, [{ files, bytes, done }])
      void this.#drain(key, suite)
    })
  }

  async #drain(key: string, { project, suite, framework }: Suite): Promise<void> {
    for (;;) {
      const asked = this.#waiting.get(key)!
      if (asked.length === 0) break
      this.#waiting.set(key, [])
      const files = asked.flatMap((one) => one.files)
      const bytes = asked.some((one) => one.bytes !== undefined)
        ? asked.flatMap((one) => one.bytes ?? one.files.map(() => null))
        : undefined
      const found = await this.#ask(project, suite, files, { framework, ...(bytes === undefined ? {} : { bytes }) })
      let from = 0
      for (const one of asked) {
        const to = from + one.files.length
        one.done(
          toldEstimates({
            ...found,
            durationsMs: found.durationsMs.slice(from, to),
            bases: found.bases.slice(from, to),
          }),
        )
        from = to
      }
    }
    this.#waiting.delete(key)
  }
}
