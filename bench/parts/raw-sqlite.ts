/** What SQLite alone does: rows like a task's share of a log entry, `group` to a transaction, each synced. */
import { mkdtempSync, rmSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { DatabaseSync } from 'node:sqlite'

export function rawRowsPerSecond(rows: number, group: number): number {
  const startMs = performance.now()
  commits(rows, group, () => undefined)
  return rows / ((performance.now() - startMs) / 1000)
}

/** One row, one synced transaction. */
export function rawCommitMs(count: number): { readonly p50: number; readonly p99: number } {
  const taken: number[] = []
  commits(count, 1, (commitMs) => taken.push(commitMs))
  taken.sort((a, b) => a - b)
  return { p50: taken[Math.floor(count * 0.5)]!, p99: taken[Math.floor(count * 0.99)]! }
}

function commits(rows: number, group: number, onCommit: (commitMs: number) => void): void {
  const directory = mkdtempSync(path.join(os.tmpdir(), 'muster-bench-sqlite-'))
  const database = new DatabaseSync(path.join(directory, 'raw.db'))
  database.exec(
    'PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; CREATE TABLE log (position INTEGER PRIMARY KEY, bytes BLOB)',
  )
  const insert = database.prepare('INSERT INTO log VALUES (?, ?)')
  for (let row = 0; row < rows;) {
    const startMs = performance.now()
    database.exec('BEGIN')
    for (let at = 0; at < group && row < rows; at += 1, row += 1) insert.run(row, Buffer.alloc(120, row))
    database.exec('COMMIT')
    onCommit(performance.now() - startMs)
  }
  database.close()
  rmSync(directory, { recursive: true })
}
