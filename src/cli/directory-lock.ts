/**
 * One coordinator per data directory. A coordinator with a log of its own has SQLite's lock on that log; one of
 * a cluster keeps no log here, and a second process with the same directory would be the same member
 * twice: it would take its own older half for a dead leader, and both would hold the history's file. The
 * lock is the kernel's, as SQLite takes it, so a process that was killed leaves nothing behind that blocks.
 */
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { isBusy, nameOwner, ownedElsewhere } from '../log/sqlite-database.ts'

export function lockDirectory(directory: string): Disposable {
  const database = new DatabaseSync(join(directory, 'in-use.sqlite'))
  try {
    database.exec('PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE')
  } catch (error) {
    database.close()
    throw isBusy(error) ? ownedElsewhere(directory, `use the data directory ${directory}`) : error
  }
  nameOwner(directory)
  return { [Symbol.dispose]: () => database.close() }
}
