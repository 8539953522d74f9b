/** The questions that history answers with SQL. `tests` looks at the final try of each run, as a person would. */
import type { AuditRow, RunRow, TestRow } from './history.ts'
import type { Questions } from './messages.ts'

export type Query = (sql: string, values?: Record<string, string | number | null>) => Promise<Record<string, unknown>[]>

/** As the core counts: the last attempt of a task that reported; what failed in the one before and passes now is flaky. */
const runsSql = `
  WITH chosen AS (
    SELECT * FROM runs WHERE $project IS NULL OR project = $project ORDER BY created_ms DESC, run DESC LIMIT $limit
  ), reported AS (
    SELECT a.run, a.task, arg_max(passed, attempt) AS passed, arg_max(failed, attempt) AS failed, arg_max(flaky, attempt) AS flaky,
      arg_max(skipped, attempt) AS skipped, max_by(failed, attempt, 2)[2] AS failed_before
    FROM attempts a SEMI JOIN chosen USING (run) WHERE outcome IN ('passed', 'failed', 'skipped') GROUP BY a.run, a.task
  ), healed AS (
    SELECT *, least(greatest(0, coalesce(failed_before, 0) - failed), passed) AS healed FROM reported
  ), counted AS (
    SELECT run, sum(passed - healed) AS passed, sum(failed) AS failed, sum(flaky + healed) AS flaky, sum(skipped) AS skipped FROM healed GROUP BY run
  ), planned AS (
    SELECT run, count(*) AS planned FROM task_files SEMI JOIN chosen USING (run) GROUP BY run
  )
  SELECT c.*, e.verdict, e.wall_ms, e.lower_bound_ms, coalesce(p.planned, 0) AS planned, coalesce(t.passed, 0)::DOUBLE AS passed,
    coalesce(t.failed, 0)::DOUBLE AS failed, coalesce(t.flaky, 0)::DOUBLE AS flaky, coalesce(t.skipped, 0)::DOUBLE AS skipped
  FROM chosen c LEFT JOIN run_ends e USING (run) LEFT JOIN planned p USING (run) LEFT JOIN counted t USING (run)
  ORDER BY c.created_ms DESC, c.run DESC`

export async function runs(query: Query, ask: Questions['runs']['ask']): Promise<RunRow[]> {
  const rows = await query(runsSql, { project: ask.project ?? null, limit: ask.limit })
  return rows.map((row) => {
    const [passed, failed, flaky, skipped] = ['passed', 'failed', 'flaky', 'skipped'].map(
      (name) => row[name] as number,
    ) as [number, number, number, number]
    return {
      run: row['run'] as string,
      project: row['project'] as string,
      suite: row['suite'] as string,
      framework: row['framework'] as string,
      verdict: row['verdict'] as string | null,
      planned: row['planned'] as number,
      tests: { passed, failed, flaky, skipped, total: passed + failed + flaky + skipped },
      submittedBy: row['submitted_by'] as string,
      createdAtMs: row['created_ms'] as number,
      wallMs: row['wall_ms'] as number | null,
      lowerBoundMs: row['lower_bound_ms'] as number | null,
    }
  })
}

const orders = {
  slowest: { having: 'median_ms IS NOT NULL', by: 'median_ms DESC' },
  flaky: { having: 'flakes > 0', by: 'flakes DESC, last_ms DESC' },
  failed: { having: 'failures > 0', by: 'failures DESC, last_ms DESC' },
} as const

export async function tests(query: Query, ask: Questions['tests']['ask']): Promise<TestRow[]> {
  const { having, by } = orders[ask.order]
  const rows = await query(
    `WITH per_run AS (
       SELECT project, suite, file, name, framework_project, run, max(at_ms) AS at_ms, arg_max(status, attempt) AS status,
         arg_max(duration_ms, attempt) AS duration_ms, bool_or(flaky) OR bool_or(status = 'failed') AS stumbled
       FROM tests WHERE $project IS NULL OR project = $project GROUP BY ALL
     ), per_test AS (
       SELECT project, suite, file, name, framework_project, count(*) AS runs, count(*) FILTER (status = 'failed') AS failures,
         count(*) FILTER (status = 'passed' AND stumbled) AS flakes,
         median(duration_ms) FILTER (status IN ('passed', 'failed')) AS median_ms,
         quantile_cont(duration_ms, 0.95) FILTER (status IN ('passed', 'failed')) AS p95_ms,
         arg_max(status, at_ms) AS last_status, arg_max(run, at_ms) AS last_run, max(at_ms) AS last_ms
       FROM per_run GROUP BY ALL
     )
     SELECT * FROM per_test WHERE ${having} ORDER BY ${by}, file, name LIMIT $limit`,
    { project: ask.project ?? null, limit: ask.limit },
  )
  return rows.map((row) => ({
    project: (row['project'] ?? '') as string,
    suite: (row['suite'] ?? '') as string,
    file: row['file'] as string,
    name:
      row['framework_project'] === null
        ? (row['name'] as string)
        : `[${row['framework_project'] as string}] ${row['name'] as string}`,
    runs: row['runs'] as number,
    failures: row['failures'] as number,
    flakes: row['flakes'] as number,
    medianMs: (row['median_ms'] ?? 0) as number,
    p95Ms: (row['p95_ms'] ?? 0) as number,
    lastStatus: row['last_status'] as string,
    lastRun: row['last_run'] as string,
    lastAtMs: row['last_ms'] as number,
  }))
}

export async function lastFailed(query: Query, ask: Questions['lastFailed']['ask']): Promise<string[]> {
  const rows = await query(
    `WITH newest AS (SELECT run FROM run_ends WHERE project = $project AND suite = $suite ORDER BY at_ms DESC LIMIT 1)
     SELECT file FROM tasks SEMI JOIN newest USING (run) WHERE state IN ('failed', 'timed-out', 'lost') ORDER BY task`,
    { project: ask.project, suite: ask.suite },
  )
  return rows.map((row) => row['file'] as string)
}

export async function audit(query: Query, ask: Questions['audit']['ask']): Promise<AuditRow[]> {
  return auditRows(await query('SELECT * FROM audit WHERE run = $run ORDER BY position, part', { run: ask.run }))
}

export function workerEvents(query: Query, ask: Questions['workerEvents']['ask']): Promise<AuditRow[]> {
  return newestOf(query, "'worker.joined', 'worker.drained', 'worker.left'", ask)
}

export function schedulerChoices(query: Query, ask: Questions['schedulerChoices']['ask']): Promise<AuditRow[]> {
  return newestOf(query, "'scheduler.chosen'", ask)
}

async function newestOf(
  query: Query,
  types: string,
  { untilMs, limit }: Questions['workerEvents']['ask'],
): Promise<AuditRow[]> {
  const rows = await query(
    `SELECT * FROM audit WHERE type IN (${types}) AND at_ms <= $until ORDER BY position DESC, part DESC LIMIT $limit`,
    { until: untilMs, limit },
  )
  return auditRows(rows).toReversed()
}

export function auditRows(rows: Awaited<ReturnType<Query>>): AuditRow[] {
  return rows.map((row) => ({
    position: row['position'] as number,
    atMs: row['at_ms'] as number,
    run: row['run'] as string | null,
    type: row['type'] as string,
    who: row['who'] as string,
    why: row['why'] as string,
    event: row['event'] as string,
  }))
}
