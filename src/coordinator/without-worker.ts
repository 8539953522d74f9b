/**
 * Runs with tasks that no worker fits. They wait as long as their spec says, and then those tasks are given up, with the
 * reason in words. Looked at by the leader alone; a new leader counts from when it sees it first.
 */
import type { Input } from '../core/input.ts'
import type { Group, Run } from '../core/state.ts'
import type { WatchedView } from '../scheduling/expected.ts'
import { Fleets } from '../scheduling/fleet.ts'
import { nobodyReason } from '../scheduling/reasons.ts'
import { reasonWords } from '../scheduling/waiting-words.ts'

export class WithoutWorker {
  readonly #view: WatchedView
  readonly #submit: (input: Input) => void
  /** Since when, by the id of the run. */
  readonly #sinceMs = new Map<string, number>()

  /** `submit`: may fail; the next look finds the run again. */
  constructor(view: WatchedView, submit: (input: Input) => void) {
    this.#view = view
    this.#submit = submit
  }

  /** This coordinator doesn't lead. */
  forget(): void {
    this.#sinceMs.clear()
  }

  look(nowMs: number): void {
    const { runs, active } = this.#view.state
    // Thousands may wait for the same.
    const fleets = new Fleets(this.#view)
    for (const id of active) {
      const run = runs.get(id)!
      const starved = starvedGroups(run, fleets)
      if (starved.length === 0) {
        this.#sinceMs.delete(id)
        continue
      }
      const sinceMs = this.#sinceMs.get(id) ?? nowMs
      this.#sinceMs.set(id, sinceMs)
      if (nowMs - sinceMs < run.spec.noWorkerTimeoutMs) continue
      this.#sinceMs.delete(id)
      const why = reasonWords(nobodyReason(this.#view, run, starved[0]!, fleets), nowMs)
      const kinds = starved.length === run.groups.length ? {} : { kinds: starved.map((group) => group.kind) }
      this.#submit({ type: 'abandon', run: id, ...kinds, why })
    }
    for (const id of this.#sinceMs.keys()) if (!active.has(id)) this.#sinceMs.delete(id)
  }
}

/** Those with tasks that no worker fits. */
function starvedGroups(run: Run, fleets: Fleets): Group[] {
  if (run.queuedCount === 0 || run.state === 'paused' || run.after.length > 0) return []
  return run.groups.filter((group) => group.queuedCount > 0 && fleets.of(run, group).workers.length === 0)
}
