/**
 * Runs as they were, for `muster replay`: what was submitted, what was done with them meanwhile, how each attempt went. Files
 * and durations only of runs that whoever asks doesn't know any more; attempts only of files where one pass wasn't all.
 */
import type { RecordedRow, RecordedRows } from './history.ts'
import type { Questions } from './messages.ts'
import { auditRows, type Query } from './queries.ts'

const eventTypes = ['submitted', 'extended', 'sealed', 'paused', 'resumed', 'prioritised', 'cancelled']

/** The newest, as long as they have no more tasks together. */
const chosenSql = `
  counted AS (
    SELECT r.run, r.submitted_by, r.created_ms, count(f.task) AS planned FROM runs r LEFT JOIN task_files f USING (run)
    WHERE r.created_ms >= coalesce((SELECT min(created_ms) FROM runs WHERE run = $from), $since) GROUP BY ALL
  ), summed AS (
    SELECT *, sum(planned) OVER (ORDER BY created_ms DESC, run DESC) AS so_far, row_number() OVER (ORDER BY created_ms DESC, run DESC) AS place FROM counted
  ), chosen AS (SELECT * FROM summed WHERE so_far <= $tasks AND place <= $runs)`

export async function recordedRuns(query: Query, ask: Questions['recordedRuns']['ask']): Promise<RecordedRows> {
  const bounds = { since: ask.sinceMs, from: ask.from ?? null, tasks: ask.tasksMax, runs: ask.runsMax }
  const about = await query(
    `WITH ${chosenSql}, begun AS (SELECT run, min(at_ms) AS at_ms FROM batches SEMI JOIN chosen USING (run) GROUP BY run),
      started AS (SELECT run, median(startup_ms * coalesce(speed, 1)) AS ms FROM batch_ends SEMI JOIN chosen USING (run) GROUP BY run)
     SELECT c.*, b.at_ms AS begun_ms, e.at_ms AS ended_ms, s.ms AS startup_ms
     FROM chosen c LEFT JOIN begun b USING (run) LEFT JOIN run_ends e USING (run) LEFT JOIN started s USING (run)
     ORDER BY c.created_ms, c.run`,
    bounds,
  )
  const [total] = await query(`WITH ${chosenSql} SELECT count(*) AS count FROM counted`, bounds)
  const rows = new Map<string, { -readonly [K in keyof RecordedRow]: RecordedRow[K] }>()
  const [events, files, tries] = [new Map<string, RecordedRow['events'][number][]>(), newLists(), newTries()]
  for (const row of about)
    rows.set(row['run'] as string, {
      run: row['run'] as string,
      who: row['submitted_by'] as string,
      createdAtMs: row['created_ms'] as number,
      startedAtMs: row['begun_ms'] as number | null,
      endedAtMs: row['ended_ms'] as number | null,
      startupMs: row['startup_ms'] as number | null,
      events: [],
      tries: [],
    })
  const types = eventTypes.map((type) => `'run.${type}'`).join(', ')
  const audit = await query(
    `WITH ${chosenSql} SELECT a.* FROM audit a SEMI JOIN chosen USING (run) WHERE a.type IN (${types}) ORDER BY position, part`,
    bounds,
  )
  for (const row of auditRows(audit)) push(events, row.run!, row)
  const tried = await query(
    `WITH ${chosenSql}, odd AS (
       SELECT run, task FROM attempts SEMI JOIN chosen USING (run) GROUP BY ALL
       HAVING max(attempt) > 1 OR bool_or(outcome NOT IN ('passed', 'skipped'))
     )
     SELECT a.run, a.task, a.outcome, coalesce(a.duration_ms, 0) * coalesce(a.speed, 1) AS ms, a.failed
     FROM attempts a SEMI JOIN odd USING (run, task) ORDER BY a.run, a.task, a.attempt`,
    bounds,
  )
  for (const row of tried) {
    const [task, outcome, ms] = [row['task'] as number, row['outcome'] as string, row['ms'] as number]
    push(tries, row['run'] as string, [task, outcome, ms, row['failed'] as number] as const)
  }
  const known = JSON.stringify(ask.known)
  const whole = await query(
    `WITH ${chosenSql}, wanted AS (SELECT run FROM chosen WHERE NOT list_contains(from_json($known, '["VARCHAR"]'), run)),
     took AS (
       SELECT run, task, sum(duration_ms * coalesce(speed, 1)) AS ms FROM attempts SEMI JOIN wanted USING (run)
       WHERE outcome IN ('passed', 'failed', 'skipped') GROUP BY run, task
     )
     SELECT f.run, f.file, f.estimate_ms, t.ms FROM task_files f SEMI JOIN wanted USING (run) LEFT JOIN took t ON t.run = f.run AND t.task = f.task
     ORDER BY f.run, f.task`,
    { ...bounds, known },
  )
  for (const row of whole)
    push(
      files,
      row['run'] as string,
      [row['file'] as string, row['estimate_ms'] as number | null, row['ms'] as number | null] as const,
    )
  for (const [run, row] of rows) {
    row.events = events.get(run) ?? []
    row.tries = tries.get(run) ?? []
    const list = files.get(run)
    if (list) row.files = list
  }
  return { runs: [...rows.values()], beyond: Math.max(0, ((total?.['count'] as number) ?? 0) - rows.size) }
}

const newLists = () => new Map<string, NonNullable<RecordedRow['files']>[number][]>()
const newTries = () => new Map<string, RecordedRow['tries'][number][]>()

function push<Item>(lists: Map<string, Item[]>, run: string, item: Item): void {
  const list = lists.get(run)
  if (list) list.push(item)
  else lists.set(run, [item])
}
