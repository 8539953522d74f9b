/** What a recording asks history for, beside the state: when workers came and went, what was chosen, how attempts went. */
import type { RunId } from '../core/entities.ts'
import type { SchedulerChosen } from '../core/events.ts'
import type { State } from '../core/state.ts'
import type { AuditRow, History, RecordedRows } from '../history/history.ts'
import type { RecordedChoice } from '../scheduling/recording.ts'

/** What history says; both absent when it is away. */
export type Seen = {
  /** worker.joined, worker.drained and worker.left, oldest first. */
  readonly workers: readonly AuditRow[]
  /** scheduler.chosen, oldest first. */
  readonly choices?: readonly AuditRow[]
  readonly rows?: RecordedRows | undefined
  /** Why it lacks runs that state has, as words after `of 3 runs`. */
  readonly behind?: string
}

/** Joins and leaves of workers, and choices of schedulers, that a recording looks at, the newest. */
const eventsMax = 50_000
/** Of runs that are played again at once. */
const recordedMax = { runsMax: 2000, tasksMax: 200_000 }

/** What a recording needs of history, beside the state. */
export async function seenIn(
  history: Pick<History, 'workerEvents' | 'schedulerChoices' | 'recordedRuns'>,
  { runs }: State,
  { run, sinceMs }: { readonly run?: RunId; readonly sinceMs?: number },
  nowMs: number,
): Promise<Seen> {
  const newest = { untilMs: nowMs, limit: eventsMax }
  // History may lag behind, or know only what came later.
  const from =
    run === undefined ? { sinceMs: sinceMs ?? 0 } : { sinceMs: runs.get(run)?.createdAtMs ?? nowMs, from: run }
  const [workers, choices, rows] = await Promise.all([
    history.workerEvents(newest),
    history.schedulerChoices(newest),
    history.recordedRuns({ ...from, ...recordedMax, known: [...runs.keys()] }),
  ])
  return { workers, choices, rows }
}

/** Those before the first run count as one for each project, and those after the last one not at all. */
export function choicesFrom(rows: readonly AuditRow[], fromMs: number, toMs: number): readonly RecordedChoice[] {
  const before = new Map<string | undefined, RecordedChoice>()
  const meanwhile: RecordedChoice[] = []
  for (const { atMs, event } of rows) {
    const { project, strategy, config } = JSON.parse(event) as SchedulerChosen
    const choice: RecordedChoice = {
      atMs,
      ...(project === undefined ? {} : { project }),
      ...(strategy === undefined ? {} : { strategy }),
      ...(config === undefined ? {} : { config }),
    }
    if (atMs > fromMs) {
      if (atMs < toMs) meanwhile.push(choice)
    } else if (strategy === undefined) before.delete(project)
    else before.set(project, choice)
  }
  return [...before.values(), ...meanwhile]
}
