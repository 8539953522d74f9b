/**
 * Writes a whole log as a new SQLite log in a directory of its own. The directory counts only when this
 * has returned; whoever calls gives it its name then. Synchronous writes: nobody else waits for
 * this process.
 */
import { mkdir, open } from 'node:fs/promises'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import type { LogContents } from './export.ts'
import { SnapshotFiles } from './snapshot-files.ts'
import { formatVersion, schema } from './sqlite-database.ts'

const entriesPerTransaction = 1000

export async function importIntoSqlite(directory: string, contents: LogContents): Promise<void> {
  await mkdir(directory, { recursive: true, mode: 0o700 })
  const file = join(directory, 'log.sqlite')
  const database = new DatabaseSync(file)
  try {
    database.exec('PRAGMA synchronous = FULL')
    database.exec(`BEGIN; ${schema} PRAGMA user_version = ${formatVersion}; COMMIT`)
    database
      .prepare('UPDATE leader SET epoch = ?, owner = ?, first_position = ? WHERE id = 1')
      .run(contents.epoch, 'import', contents.firstPosition)
    const insert = database.prepare("INSERT INTO entries (position, epoch, bytes) VALUES (?, ?, coalesce(?, x''))")
    let open = 0
    for await (const { position, epoch, bytes } of contents.entries()) {
      if (open === 0) database.exec('BEGIN')
      insert.run(position, epoch, bytes)
      open = (open + 1) % entriesPerTransaction
      if (open === 0) database.exec('COMMIT')
    }
    if (open > 0) database.exec('COMMIT')
  } finally {
    database.close()
  }
  if (contents.snapshot) {
    const snapshots = new SnapshotFiles(directory, (text) => process.emitWarning(text))
    await snapshots.prepare()
    await snapshots.put(contents.snapshot)
  }
  await using handle = await open(directory, 'r')
  await handle.sync()
}
