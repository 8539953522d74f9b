/**
 * What is said of runs beyond what state holds: when they are expected to start and end, what they wait for, and what was
 * recorded of them. On every coordinator alike, from its own state.
 */
import { schedulerOf } from '../core/scheduler.ts'
import type { Run, State } from '../core/state.ts'
import type { History } from '../history/history.ts'
import type { SchedulerHost } from '../plugins/scheduler-host.ts'
import { isMusterError } from '../protocol/errors.ts'
import type { RunView } from '../protocol/run-view.ts'
import type { WatchedView } from '../scheduling/expected.ts'
import { Fleets } from '../scheduling/fleet.ts'
import { forecasts } from '../scheduling/forecast.ts'
import type { Recording } from '../scheduling/recording.ts'
import { explain, type ChosenStrategy, type Why } from '../scheduling/why.ts'
import { recordingOf, type RecordingQuery } from './recording.ts'
import { seenIn, type Seen } from './seen-by-history.ts'
import { runView, type Outlook } from './views.ts'

const outlookAgeMaxMs = 250
const outlookPause = 10

export type ExplanationsOptions = {
  readonly view: WatchedView
  readonly scheduling: SchedulerHost
  /** Rejects with MusterError unavailable without it. */
  readonly history: () => Promise<History>
  readonly say: (level: 'warn', message: string, detail: Record<string, unknown>) => void
}

export class Explanations {
  readonly #options: ExplanationsOptions
  readonly #view: WatchedView
  readonly #state: State
  #outlook: Outlook & { readonly atMs: number; readonly tookMs: number }

  constructor(options: ExplanationsOptions) {
    this.#options = options
    this.#view = options.view
    this.#state = options.view.state
    this.#outlook = { atMs: 0, tookMs: 0, of: new Map(), fleets: new Fleets(options.view) }
  }

  /** State was read anew as a whole. */
  reset(): void {
    this.#outlook = { ...this.#outlook, atMs: 0 }
  }

  runView(run: Run): RunView {
    const nowMs = Date.now()
    // They cost a look at every active run, and nobody needs them fresher than this. A new run's are made at
    // once, unless so many are submitted that nothing else would be done.
    const isNew = run.state === 'queued' && !this.#outlook.of.has(run.id)
    const ageMs = nowMs - this.#outlook.atMs
    const pauseMs = Math.floor(this.#outlook.tookMs * outlookPause)
    if (ageMs >= pauseMs && (isNew || ageMs > outlookAgeMaxMs)) {
      const sinceMs = performance.now()
      const fleets = new Fleets(this.#view)
      const of = forecasts(this.#view, fleets, nowMs)
      this.#outlook = { atMs: nowMs, tookMs: performance.now() - sinceMs, of, fleets }
    }
    return runView(this.#view, run, this.#outlook, nowMs)
  }

  /** What a run or one of its tasks waits for, and until when. */
  why(run: Run, task?: number): Why {
    return explain(this.#view, run, task, this.#strategyOf(run), Date.now())
  }

  #strategyOf({ spec: { project } }: Run): ChosenStrategy {
    const { scheduling } = this.#options
    const { schedulers } = this.#state
    const chosen = schedulerOf(this.#state, project)
    const { config } = scheduling.inEffect(this.#state, chosen)
    const strategy = scheduling.explained(this.#state, chosen)
    const mine = (run: Run) => schedulerOf(this.#state, run.spec.project) === chosen
    // Under the empty name is the choice for all others.
    const several = schedulers.size > 1 || (schedulers.size === 1 && !schedulers.has(''))
    return { strategy, config, mine, several }
  }

  /** What was submitted, how long it took and who was there. `settled`: waits until what state shows is durable. */
  async recording(query: RecordingQuery, settled: () => Promise<void>): Promise<Recording> {
    const nowMs = Date.now()
    const state = this.#state
    const seen = query.only && state.runs.has(query.run ?? '') ? { workers: [] } : await this.#seenOf(query, nowMs)
    const { name } = this.#options.scheduling.inEffect(state, schedulerOf(state, ''))
    await settled()
    return recordingOf(state, query, name, seen, nowMs)
  }

  /** Without history it is known only of workers that are here, or that took part, and of runs that are kept. */
  async #seenOf(query: RecordingQuery, nowMs: number): Promise<Seen> {
    try {
      return await seenIn(await this.#options.history(), this.#state, query, nowMs)
    } catch (error) {
      if (!isMusterError(error)) throw error
      this.#options.say('warn', 'a recording is made without history', { error: error.message })
      return { workers: [] }
    }
  }
}
