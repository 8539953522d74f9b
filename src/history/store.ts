/**
 * The database of history: opening, applying entries, and the connection that questions use. Lives in
 * the history process, which is the only one that opens the file: a second instance on the same file
 * in one process would silently lose data, hence `fromCache`.
 *
 * A batch of entries is one transaction: rows, and the position of the last entry. What was applied is
 * skipped when it comes again, so feeding may start anywhere at or before the next position.
 */
import { copyFile, mkdir, rename } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { DuckDBConnection, DuckDBInstance, DuckDBType, DuckDBValue } from '@duckdb/node-api'
import type { Blobs } from '../blobs/blobs.ts'
import { openBlobs } from '../blobs/location.ts'
import { decodeEntry } from '../core/events.ts'
import type { EntryBody, Event } from '../core/events.ts'
import { MusterError } from '../protocol/errors.ts'
import type { Duckdb } from './duckdb.ts'
import { DurationMemory } from './duration-memory.ts'
import { DurationModels } from './duration-models.ts'
import type { Columns } from './duration-samples.ts'
import { HostLoads } from './host-loads.ts'
import type { FedEntry, ProcessOptions } from './messages.ts'
import { emptyRun, projectEntry } from './projection.ts'
import type { RunMemory } from './projection.ts'
import { createSchema, emptyRows, formatVersion, migrations, tableNames, tables } from './schema.ts'
import type { Row, Rows, TableName } from './schema.ts'
import { readResults } from './stored-results.ts'

const chunkRows = 2048
/** Tasks of the runs kept in memory, together; a run dropped too early is read from the tables again. */
const tasksRememberedMax = 200_000
const lockWaitMs = 2000
const dayMs = 86_400_000

export class HistoryStore {
  readonly durations: DurationMemory
  readonly models: DurationModels
  readonly #duckdb: Duckdb
  readonly #instance: DuckDBInstance
  readonly #writer: DuckDBConnection
  readonly #reader: DuckDBConnection
  readonly #blobs: Blobs
  readonly #runs = new Map<string, RunMemory>()
  readonly #hosts = new HostLoads()
  readonly #source: string
  readonly #file: string
  #position: number

  private constructor(
    duckdb: Duckdb,
    instance: DuckDBInstance,
    writer: DuckDBConnection,
    reader: DuckDBConnection,
    blobs: Blobs,
    source: string,
    file: string,
    position: number,
  ) {
    this.#file = file
    this.#duckdb = duckdb
    this.#instance = instance
    this.#writer = writer
    this.#reader = reader
    this.#blobs = blobs
    this.#source = source
    this.#position = position
    const columns: Columns = (sql, values) => this.columns(sql, values)
    this.models = new DurationModels(columns)
    this.durations = new DurationMemory(columns, this.models)
  }

  static async open(duckdb: Duckdb, options: ProcessOptions, warn: (text: string) => void): Promise<HistoryStore> {
    await mkdir(options.directory, { recursive: true, mode: 0o700 })
    const file = join(options.directory, 'history.duckdb')
    const instance = await openInstance(duckdb, file, options, warn)
    const writer = await instance.connect()
    const position = await readPosition(writer, file, options.source)
    const [reader, blobs] = await Promise.all([instance.connect(), openBlobs(options.blobsLocation)])
    const store = new HistoryStore(duckdb, instance, writer, reader, blobs, options.source, file, position)
    await store.#recallMachines()
    return store
  }

  get position(): number {
    return this.#position
  }

  /** One transaction for all of them. After an error the caller must not go on with this store. */
  async apply(entries: readonly FedEntry[]): Promise<void> {
    const fresh = entries.filter((entry) => entry.position > this.#position)
    const last = fresh.at(-1)
    if (last === undefined) return
    const decoded = fresh.map((entry) => ({ position: entry.position, body: decodeTolerantly(entry.bytes) }))
    const bodies = decoded.map((one) => one.body)
    const [results] = await Promise.all([readResults(bodies, this.#blobs), this.#rememberRuns(bodies)])
    const rows = emptyRows()
    for (const { position, body } of decoded)
      merge(rows, projectEntry(position, body.atMs, body.events, { runs: this.#runs, results, hosts: this.#hosts }))
    await this.#writer.run('BEGIN')
    for (const name of tableNames) await this.#append(name, rows[name])
    await this.#writer.run('UPDATE sources SET position = $position, at_ms = $at WHERE source = $source', {
      position: last.position,
      at: decoded.at(-1)!.body.atMs,
      source: this.#source,
    })
    await this.#writer.run('COMMIT')
    this.#position = last.position
    this.durations.learn(rows)
    this.models.learn(rows)
    this.#forgetRuns(bodies)
  }

  /** Rows of a question, as plain objects; 64-bit integers come as numbers. */
  async query(sql: string, values: Record<string, string | number | null> = {}): Promise<Record<string, unknown>[]> {
    const result = await this.#reader.run(sql, values)
    const rows = await result.getRowObjectsJS()
    for (const row of rows)
      for (const key of Object.keys(row)) if (typeof row[key] === 'bigint') row[key] = Number(row[key])
    return rows
  }

  /** The same column by column, many times as fast for many rows; 64-bit integers stay as they are. */
  async columns(sql: string, values: Record<string, string | number | null> = {}): Promise<readonly unknown[][]> {
    const result = await this.#reader.run(sql, values)
    const columns = await result.getColumnsJS()
    // Of no rows it gives no columns.
    return columns.length > 0 ? columns : Array.from({ length: result.columnCount }, () => [])
  }

  /** What the competition of a project's models came to; in its place, not beside what was there. */
  async keepModel(row: Row<'duration_models'>): Promise<void> {
    await this.#writer.run('BEGIN')
    await this.#writer.run('DELETE FROM duration_models WHERE project = $project', { project: row.project })
    await this.#append('duration_models', [row])
    await this.#writer.run('COMMIT')
  }

  async dropOld(nowMs: number, options: ProcessOptions): Promise<void> {
    for (const name of tableNames) {
      const days = name === 'tests' ? options.testsDays : options.runsDays
      const column = name === 'runs' ? 'created_ms' : 'at_ms'
      await this.#writer.run(`DELETE FROM ${name} WHERE ${column} < ${Math.round(nowMs - days * dayMs)}`)
    }
  }

  /** While nothing is written: everything is in the one file after a checkpoint. */
  async copy(to: string): Promise<void> {
    await this.#writer.run('CHECKPOINT')
    await copyFile(this.#file, to)
  }

  close(): void {
    this.#writer.closeSync()
    this.#reader.closeSync()
    this.#instance.closeSync()
  }

  async #append<N extends TableName>(name: N, rows: Rows[N]): Promise<void> {
    if (rows.length === 0) return
    const columns = Object.entries(tables[name] as Record<string, string>)
    const appender = await this.#writer.createAppender(name)
    try {
      const types = columns.map((_, i) => appender.columnType(i))
      for (let from = 0; from < rows.length; from += chunkRows) {
        const portion = rows.slice(from, from + chunkRows) as unknown as Record<string, unknown>[]
        const chunk = this.#duckdb.DuckDBDataChunk.create(types as DuckDBType[], portion.length)
        chunk.setColumns(columns.map(([column, type]) => portion.map((row) => this.#value(row[column], type))))
        appender.appendDataChunk(chunk)
      }
      appender.flushSync()
    } finally {
      appender.closeSync()
    }
  }

  #value(value: unknown, type: string): DuckDBValue {
    if (value === null || value === undefined) return null
    if (type === 'BIGINT') return BigInt(Math.round(value as number))
    if (type === 'INTEGER') return Math.round(value as number)
    if (type === 'INTEGER[]') return this.#duckdb.listValue(value as number[])
    return value as DuckDBValue
  }

  /** Runs that these entries speak of and that are not in memory: this process was restarted in their middle. */
  async #rememberRuns(bodies: readonly EntryBody[]): Promise<void> {
    const submitted = new Set<string>()
    const unknown = new Set<string>()
    for (const { events } of bodies) {
      for (const event of events) {
        if (!('run' in event)) continue
        if (event.type === 'run.submitted') submitted.add(event.run)
        else if (!submitted.has(event.run) && !this.#touchRun(event.run)) unknown.add(event.run)
      }
    }
    for (const run of unknown) this.#runs.set(run, await this.#recallRun(run))
  }

  async #recallMachines(): Promise<void> {
    const rows = await this.query(
      `SELECT worker, arg_max(host, at_ms) AS host, arg_max(cpus, at_ms) AS cpus, arg_max(speed, at_ms) AS speed
       FROM workers GROUP BY worker`,
    )
    for (const { worker, host, cpus, speed } of rows)
      this.#hosts.joined(worker as string, {
        host: host as string,
        cpus: cpus as number,
        speed: speed as number | null,
      })
  }

  async #recallRun(run: string): Promise<RunMemory> {
    const [submission] = await this.query('SELECT project, suite FROM runs WHERE run = $run', { run })
    if (submission === undefined) return emptyRun()
    const memory: RunMemory = {
      ...emptyRun(),
      project: submission['project'] as string,
      suite: submission['suite'] as string,
    }
    for (const row of await this.query('SELECT file FROM task_files WHERE run = $run ORDER BY task', { run }))
      memory.files.push(row['file'] as string)
    const counted = await this.query('SELECT task, count(*) AS attempts FROM attempts WHERE run = $run GROUP BY task', {
      run,
    })
    for (const row of counted) memory.attempts.set(row['task'] as number, row['attempts'] as number)
    const held = await this.query(
      `SELECT b.batch, b.worker, b.cpus, t.task
       FROM (SELECT batch, worker, cpus, unnest(tasks) AS task, run FROM batches WHERE run = $run) t
       JOIN batches b ON b.batch = t.batch AND b.run = t.run
       WHERE NOT EXISTS (FROM batch_ends e WHERE e.run = $run AND e.batch = t.batch)
         AND NOT EXISTS (FROM attempts a WHERE a.run = $run AND a.batch = t.batch AND a.task = t.task)
         AND NOT EXISTS (FROM task_ends d WHERE d.run = $run AND d.task = t.task)`,
      { run },
    )
    for (const row of held) {
      memory.held.set(row['task'] as number, {
        batch: row['batch'] as string,
        worker: row['worker'] as string,
        cpus: row['cpus'] as number,
        startedMs: null,
        started: null,
      })
    }
    return memory
  }

  #forgetRuns(bodies: readonly EntryBody[]): void {
    for (const { events } of bodies)
      for (const event of events) if (event.type === 'run.forgotten') this.#runs.delete(event.run)
    let tasks = [...this.#runs.values()].reduce((sum, run) => sum + run.files.length + 1, 0)
    for (const [id, run] of this.#runs) {
      if (tasks <= tasksRememberedMax) return
      this.#runs.delete(id)
      tasks -= run.files.length + 1
    }
  }

  /** Moves the run to the end, where it is forgotten last. */
  #touchRun(id: string): boolean {
    const run = this.#runs.get(id)
    if (run === undefined) return false
    this.#runs.delete(id)
    this.#runs.set(id, run)
    return true
  }
}

function merge(into: Rows, from: Rows): void {
  for (const name of tableNames) for (const row of from[name]) (into[name] as unknown[]).push(row)
}

/** An entry that can't be read is a bug or damage; it is kept in the audit, and what follows isn't held up by it. */
function decodeTolerantly(bytes: Uint8Array): EntryBody {
  try {
    const body = decodeEntry(bytes)
    if (typeof body.atMs === 'number' && Array.isArray(body.events)) return body
    throw new Error('expected atMs and events')
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error)
    return { atMs: Date.now(), events: [{ type: 'entry.unreadable', why } as unknown as Event] }
  }
}

async function openInstance(
  duckdb: Duckdb,
  file: string,
  options: ProcessOptions,
  warn: (text: string) => void,
): Promise<DuckDBInstance> {
  const config = {
    threads: '1',
    memory_limit: `${options.memoryLimitMb}MB`,
    temp_directory: join(options.directory, 'spill'),
  }
  const giveUpAt = Date.now() + lockWaitMs
  for (;;) {
    try {
      return await duckdb.DuckDBInstance.fromCache(file, config)
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error)
      if (/Could not set lock/i.test(message)) {
        // A predecessor whose coordinator was killed needs a moment to notice.
        if (Date.now() > giveUpAt) throw heldElsewhere(file, message)
        await delay(50)
      } else if (/not a valid DuckDB|corrupt|deserializ|checksum|replaying WAL/i.test(message)) {
        await moveAside(file, message, warn)
      } else {
        throw new MusterError('unavailable', `Cannot open the history ${file}: ${message}`, { cause: error })
      }
    }
  }
}

/** History is derived: a damaged file is put aside, and a new one filled from what the log still has. */
async function moveAside(file: string, why: string, warn: (text: string) => void): Promise<void> {
  const aside = `${file}.damaged-${Date.now()}`
  await rename(file, aside)
  await rename(`${file}.wal`, `${aside}.wal`).catch((error: unknown) => {
    if (!(error instanceof Error && 'code' in error && error.code === 'ENOENT')) throw error
  })
  warn(`The history was damaged (${why.split('\n', 1)[0]}); it was moved to ${aside} and is filled again from the log`)
}

function heldElsewhere(file: string, message: string): MusterError {
  const pid = /\(PID (\d+)\)/.exec(message)?.[1]
  return new MusterError(
    'conflict',
    `Cannot open the history ${file}: it is in use by ${pid === undefined ? 'another process' : `process ${pid}`}`,
    {
      hint: 'Stop that process, or give this one another data directory.',
    },
  )
}

async function readFormat(connection: DuckDBConnection): Promise<number> {
  const [row] = await (await connection.run('SELECT format FROM meta')).getRowsJS()
  return Number(row?.[0])
}

/** Of the last applied entry of this log; a log that is new here begins at 0. */
async function readPosition(connection: DuckDBConnection, file: string, source: string): Promise<number> {
  const existing = await (await connection.run("SELECT 1 FROM duckdb_tables() WHERE table_name = 'meta'")).getRows()
  if (existing.length === 0) await connection.run(createSchema)
  let format = await readFormat(connection)
  for (let next = migrations[format]; next !== undefined; next = migrations[format]) {
    await connection.run(next)
    format = await readFormat(connection)
  }
  if (format !== formatVersion) {
    throw new MusterError(
      'unavailable',
      `Cannot open the history ${file}: expected format ${formatVersion}, received ${format}`,
      {
        hint: 'It was written by another version of Muster; use that one, or move the file away to start afresh.',
      },
    )
  }
  const [known] = await (
    await connection.run('SELECT position FROM sources WHERE source = $source', { source })
  ).getRowsJS()
  if (known) return Number(known[0])
  await connection.run('INSERT INTO sources VALUES ($source, 0, 0)', { source })
  return 0
}
