/**
 * The tables of history. Every one is append-only: what changes over a run's life is written as a
 * second row in a second table (`runs` and `run_ends`) and joined when read. Appending is what DuckDB
 * is fast at, and nothing has to be found again to be changed. Times are ms since the epoch.
 *
 * The position of each log in `sources` is written in the same transaction as the rows it covers.
 */
export const formatVersion = 4

type ColumnType = 'VARCHAR' | 'INTEGER' | 'BIGINT' | 'DOUBLE' | 'BOOLEAN' | 'INTEGER[]'

export const tables = {
  runs: {
    run: 'VARCHAR',
    project: 'VARCHAR',
    suite: 'VARCHAR',
    framework: 'VARCHAR',
    framework_version: 'VARCHAR',
    submitted_by: 'VARCHAR',
    created_ms: 'BIGINT',
  },
  run_ends: {
    run: 'VARCHAR',
    project: 'VARCHAR',
    suite: 'VARCHAR',
    verdict: 'VARCHAR',
    why: 'VARCHAR',
    wall_ms: 'DOUBLE',
    lower_bound_ms: 'DOUBLE',
    at_ms: 'BIGINT',
  },
  task_files: { run: 'VARCHAR', task: 'INTEGER', file: 'VARCHAR', estimate_ms: 'DOUBLE', at_ms: 'BIGINT' },
  task_ends: {
    run: 'VARCHAR',
    task: 'INTEGER',
    state: 'VARCHAR',
    why: 'VARCHAR',
    attempts: 'INTEGER',
    at_ms: 'BIGINT',
  },
  /** An attempt that reported has the outcome passed, failed or skipped; one that couldn't: crashed, timed-out, lost, infrastructure, cancelled. */
  attempts: {
    run: 'VARCHAR',
    task: 'INTEGER',
    attempt: 'INTEGER',
    project: 'VARCHAR',
    suite: 'VARCHAR',
    file: 'VARCHAR',
    batch: 'VARCHAR',
    worker: 'VARCHAR',
    cpus: 'INTEGER',
    outcome: 'VARCHAR',
    started_ms: 'BIGINT',
    duration_ms: 'DOUBLE',
    passed: 'INTEGER',
    failed: 'INTEGER',
    flaky: 'INTEGER',
    skipped: 'INTEGER',
    at_ms: 'BIGINT',
    /** Of its machine, as the worker had measured it; null = it hadn't. */
    speed: 'DOUBLE',
    /** Files that ran beside it on its host, averaged over its time; null = its start wasn't seen. */
    beside: 'DOUBLE',
    host_cpus: 'INTEGER',
  },
  batches: {
    batch: 'VARCHAR',
    run: 'VARCHAR',
    worker: 'VARCHAR',
    cpus: 'INTEGER',
    tasks: 'INTEGER[]',
    at_ms: 'BIGINT',
  },
  batch_ends: {
    batch: 'VARCHAR',
    run: 'VARCHAR',
    project: 'VARCHAR',
    suite: 'VARCHAR',
    worker: 'VARCHAR',
    reason: 'VARCHAR',
    exit_code: 'INTEGER',
    signal: 'VARCHAR',
    startup_ms: 'DOUBLE',
    wall_ms: 'DOUBLE',
    message: 'VARCHAR',
    at_ms: 'BIGINT',
    /** Of the whole process tree; null where it could not be seen. */
    cpu_ms: 'DOUBLE',
    memory_bytes: 'BIGINT',
    /** Of its machine, as the worker had measured it; null = it hadn't. */
    speed: 'DOUBLE',
  },
  /** A task that was tried again at a recovery level, and how that attempt went: worked or failed. Costs are its share of the batch. */
  recoveries: {
    run: 'VARCHAR',
    task: 'INTEGER',
    project: 'VARCHAR',
    suite: 'VARCHAR',
    batch: 'VARCHAR',
    worker: 'VARCHAR',
    kind: 'VARCHAR',
    level: 'VARCHAR',
    outcome: 'VARCHAR',
    wall_ms: 'DOUBLE',
    cpu_ms: 'DOUBLE',
    memory_bytes: 'BIGINT',
    at_ms: 'BIGINT',
  },
  /** Every change of a dead letter; of one log, `letter` names it. */
  dead_letters: {
    letter: 'VARCHAR',
    run: 'VARCHAR',
    change: 'VARCHAR',
    task: 'INTEGER',
    project: 'VARCHAR',
    suite: 'VARCHAR',
    framework: 'VARCHAR',
    file: 'VARCHAR',
    cause: 'VARCHAR',
    attempts: 'INTEGER',
    who: 'VARCHAR',
    why: 'VARCHAR',
    replay_run: 'VARCHAR',
    outcome: 'VARCHAR',
    at_ms: 'BIGINT',
  },
  breaker_transitions: {
    scope: 'VARCHAR',
    kind: 'VARCHAR',
    from_state: 'VARCHAR',
    to_state: 'VARCHAR',
    who: 'VARCHAR',
    why: 'VARCHAR',
    ok: 'INTEGER',
    failed: 'INTEGER',
    workers: 'INTEGER',
    opens: 'INTEGER',
    until_ms: 'BIGINT',
    at_ms: 'BIGINT',
  },
  tests: {
    run: 'VARCHAR',
    task: 'INTEGER',
    attempt: 'INTEGER',
    project: 'VARCHAR',
    suite: 'VARCHAR',
    file: 'VARCHAR',
    name: 'VARCHAR',
    framework_project: 'VARCHAR',
    status: 'VARCHAR',
    duration_ms: 'DOUBLE',
    flaky: 'BOOLEAN',
    error: 'VARCHAR',
    at_ms: 'BIGINT',
  },
  /** As often as a worker said what it is; the newest counts. */
  workers: {
    worker: 'VARCHAR',
    name: 'VARCHAR',
    host: 'VARCHAR',
    cpus: 'INTEGER',
    speed: 'DOUBLE',
    fingerprint: 'VARCHAR',
    at_ms: 'BIGINT',
  },
  /** Which model estimates durations of a project, and what decided it; the newest counts. Made here, not by an event. */
  duration_models: {
    project: 'VARCHAR',
    used: 'VARCHAR',
    /** How many durations there were. */
    samples: 'INTEGER',
    /** Outcome of the competition, as JSON. */
    outcome: 'VARCHAR',
    at_ms: 'BIGINT',
  },
  /** Results that an event names and the blobs don't have, or that can't be read. */
  missing_results: { run: 'VARCHAR', batch: 'VARCHAR', blob: 'VARCHAR', why: 'VARCHAR', at_ms: 'BIGINT' },
  /** `part` counts the events of one entry. */
  audit: {
    position: 'BIGINT',
    part: 'INTEGER',
    at_ms: 'BIGINT',
    run: 'VARCHAR',
    type: 'VARCHAR',
    who: 'VARCHAR',
    why: 'VARCHAR',
    event: 'VARCHAR',
  },
} as const satisfies Record<string, Record<string, ColumnType>>

export type TableName = keyof typeof tables
type Value<T extends ColumnType> = T extends 'VARCHAR'
  ? string
  : T extends 'BOOLEAN'
    ? boolean
    : T extends 'INTEGER[]'
      ? readonly number[]
      : number
export type Row<N extends TableName> = {
  readonly [C in keyof (typeof tables)[N]]: (typeof tables)[N][C] extends ColumnType
    ? Value<(typeof tables)[N][C]> | null
    : never
}
export type Rows = { readonly [N in TableName]: Row<N>[] }

export const tableNames = Object.keys(tables) as TableName[]

export function emptyRows(): Rows {
  return Object.fromEntries(tableNames.map((name) => [name, []])) as unknown as Rows
}

function createTable(name: TableName): string {
  const columns = Object.entries(tables[name]).map(([column, type]) => `${column} ${type}`)
  return `CREATE TABLE ${name} (${columns.join(', ')})`
}

/** From each older format to the next; new columns come last, as they do in `tables`. */
export const migrations: Readonly<Record<number, string>> = {
  2: [
    'BEGIN',
    'ALTER TABLE batch_ends ADD COLUMN cpu_ms DOUBLE',
    'ALTER TABLE batch_ends ADD COLUMN memory_bytes BIGINT',
    createTable('recoveries'),
    createTable('dead_letters'),
    createTable('breaker_transitions'),
    'UPDATE meta SET format = 3',
    'COMMIT',
  ].join(';\n'),
  3: [
    'BEGIN',
    'ALTER TABLE attempts ADD COLUMN speed DOUBLE',
    'ALTER TABLE attempts ADD COLUMN beside DOUBLE',
    'ALTER TABLE attempts ADD COLUMN host_cpus INTEGER',
    'ALTER TABLE batch_ends ADD COLUMN speed DOUBLE',
    createTable('workers'),
    createTable('duration_models'),
    'UPDATE meta SET format = 4',
    'COMMIT',
  ].join(';\n'),
}

/** Everything in one go: each statement alone would cost a commit of its own. */
export const createSchema = [
  'BEGIN',
  `CREATE TABLE meta (format INTEGER)`,
  `INSERT INTO meta VALUES (${formatVersion})`,
  `CREATE TABLE sources (source VARCHAR PRIMARY KEY, position BIGINT, at_ms BIGINT)`,
  ...tableNames.map(createTable),
  `CREATE VIEW tasks AS
    SELECT f.run, f.task, f.file, coalesce(e.state, 'open') AS state, coalesce(e.attempts, 0) AS attempts, f.estimate_ms, e.why, e.at_ms AS ended_ms
    FROM task_files f LEFT JOIN task_ends e ON e.run = f.run AND e.task = f.task`,
  'COMMIT',
].join(';\n')
