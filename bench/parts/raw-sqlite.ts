/** What SQLite alone does: rows like a task's share of a log entry, `group` to a transaction, each synced. */
import { mkdtempSync, rmSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { DatabaseSync } from 'node:sqlite'

export function rawRowsPerSecond(rows: number, group: number): number {
  const directory = mkdtempSync(path.join(os.tmpdir(), 'muster-bench-sqlite-'))
  const database = new DatabaseSync(path.join(directory, 'raw.db'))
  database.exec('PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; CREATE TABLE log (position INTEGER PRIMARY KEY, bytes BLOB)')
  const insert = database.prepare('INSERT INTO log VALUES (?, ?)')
  const startMs = performance.now()
  for (let row = 0; row < rows; ) {
    database.exec('BEGIN')
    for (let at = 0; at < group && row < rows; at += 1, row += 1) insert.run(row, Buffer.alloc(120, row))
    database.exec('COMMIT')
  }
  const perSecond = rows / ((performance.now() - startMs) / 1000)
  database.close()
  rmSync(directory, { recursive: true })
  return perSecond
}
