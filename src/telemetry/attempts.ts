/**
 * The lives of attempts, told from committed events: when each was assigned, began and ended, and how.
 * The log says these things of batches and of tasks, in several events; metrics, traces and the
 * program's own log all want them of attempts, so they are put together once, here.
 *
 * Memory is bounded by what workers hold. After a start in the middle (a restart, a takeover) what is
 * held is taken from state; only when it began is then unknown, and reckoned back from its duration.
 */
import type { BatchId, RunId, TaskIndex, WorkerId } from '../core/entities.ts'
import type { Event } from '../core/events.ts'
import type { State } from '../core/state.ts'

export type HeldAttempt = {
  readonly run: RunId
  readonly task: TaskIndex
  /** From 1; counts assignments, also those that never began. */
  readonly attempt: number
  readonly batch: BatchId
  readonly worker: WorkerId
  readonly assignedAtMs: number
  /** Undefined: not yet, or nobody here saw it. */
  readonly startedAtMs: number | undefined
}

/**
 * `crashed`: with its process, without a report. `infrastructure`: its host or set-up was at fault.
 * `unstarted`: its process ended before its turn.
 */
export type AttemptOutcome =
  | 'passed'
  | 'failed'
  | 'skipped'
  | 'crashed'
  | 'timed-out'
  | 'cancelled'
  | 'lost'
  | 'infrastructure'
  | 'unstarted'

/** All of them. */
export const attemptOutcomes: Readonly<Record<AttemptOutcome, true>> = {
  passed: true,
  failed: true,
  skipped: true,
  crashed: true,
  'timed-out': true,
  cancelled: true,
  lost: true,
  infrastructure: true,
  unstarted: true,
}

export type EndedAttempt = HeldAttempt & {
  readonly outcome: AttemptOutcome
  readonly startedAtMs: number
  readonly endedAtMs: number
  readonly why: string | undefined
  /** Where the tests of a reported attempt are: a blob of JSON lines, and which line. */
  readonly results: { readonly blob: string; readonly line: number } | undefined
}

export type CommittedEntry = { readonly position: number; readonly atMs: number; readonly events: readonly Event[] }

export type AttemptStep =
  | { readonly type: 'assigned'; readonly attempt: HeldAttempt }
  | { readonly type: 'ended'; readonly attempt: EndedAttempt }

export class AttemptBook {
  readonly #runs = new Map<RunId, Map<TaskIndex, HeldAttempt>>()
  #position: number

  /** `position`: of the last entry in state. */
  constructor(state: State, position: number) {
    this.#position = position
    this.#align(state)
  }

  /** Held attempts of a run; for tests and for looking. */
  held(run: RunId): ReadonlyMap<TaskIndex, HeldAttempt> {
    return this.#runs.get(run) ?? new Map()
  }

  /** What an entry says of attempts, in its order. `state`: with the entry applied. */
  entry({ position, atMs, events }: CommittedEntry, state: State): AttemptStep[] {
    // Entries were skipped, by a snapshot: what they said of attempts is only in state.
    if (position !== this.#position + 1) this.#align(state)
    this.#position = position
    const steps: AttemptStep[] = []
    for (const event of events) this.#event(steps, event, atMs, state)
    return steps
  }

  #event(steps: AttemptStep[], event: Event, atMs: number, state: State): void {
    switch (event.type) {
      case 'batch.assigned': {
        const { run, batch, worker } = event
        for (const task of event.tasks) {
          // Placement comes last in an entry, so the count is that of this attempt.
          const attempt = state.runs.get(run)?.tasks[task]?.attempts ?? 1
          const held = { run, task, attempt, batch, worker, assignedAtMs: atMs, startedAtMs: undefined }
          this.#of(run).set(task, held)
          steps.push({ type: 'assigned', attempt: held })
        }
        return
      }
      case 'task.started': {
        const known = this.#of(event.run)
        for (const task of event.tasks) {
          const held = known.get(task)
          if (held) known.set(task, { ...held, startedAtMs: atMs })
        }
        return
      }
      case 'task.reported': {
        for (const [line, report] of event.reports.entries()) {
          const held = this.#take(event.run, report.task)
          if (!held) continue
          const startedAtMs = held.startedAtMs ?? Math.max(held.assignedAtMs, atMs - Math.round(report.durationMs))
          const results = event.results === undefined ? undefined : { blob: event.results, line }
          const { outcome } = report
          const attempt = { ...held, outcome, startedAtMs, endedAtMs: atMs, why: undefined, results }
          steps.push({ type: 'ended', attempt })
        }
        return
      }
      case 'task.requeued':
        // A failed one has reported before.
        return this.#over(steps, event, event.cause, atMs)
      case 'task.ended':
        // Still held: its batch ended without a word of it.
        return this.#over(steps, event, event.state === 'flaky' ? 'passed' : event.state, atMs)
      case 'run.forgotten':
        this.#runs.delete(event.run)
        return
      default:
    }
  }

  #over(
    steps: AttemptStep[],
    event: { readonly run: RunId; readonly tasks: readonly TaskIndex[]; readonly why: string },
    how: AttemptOutcome,
    atMs: number,
  ): void {
    const outcome = how === 'failed' ? 'crashed' : how
    for (const task of event.tasks) {
      const held = this.#take(event.run, task)
      if (!held) continue
      const startedAtMs = held.startedAtMs ?? held.assignedAtMs
      const attempt = { ...held, outcome, startedAtMs, endedAtMs: atMs, why: event.why, results: undefined }
      steps.push({ type: 'ended', attempt })
    }
  }

  #of(run: RunId): Map<TaskIndex, HeldAttempt> {
    let known = this.#runs.get(run)
    if (!known) {
      known = new Map()
      this.#runs.set(run, known)
    }
    return known
  }

  #take(run: RunId, task: TaskIndex): HeldAttempt | undefined {
    const known = this.#runs.get(run)
    const held = known?.get(task)
    if (!known || !held) return undefined
    known.delete(task)
    if (known.size === 0) this.#runs.delete(run)
    return held
  }

  /** Holds exactly what state holds. */
  #align(state: State): void {
    const before = new Map(this.#runs)
    this.#runs.clear()
    for (const batch of state.batches.values()) {
      const run = state.runs.get(batch.run)!
      for (const task of batch.tasks) {
        const { state: now, batch: holder, attempts } = run.tasks[task]!
        if (holder !== batch.id || (now !== 'assigned' && now !== 'running')) continue
        const seen = before.get(run.id)?.get(task)
        const { worker, assignedAtMs } = batch
        const held = { run: run.id, task, attempt: attempts, batch: batch.id, worker, assignedAtMs }
        const startedAtMs = seen?.batch === batch.id ? seen.startedAtMs : undefined
        this.#of(run.id).set(task, { ...held, startedAtMs })
      }
    }
  }
}
