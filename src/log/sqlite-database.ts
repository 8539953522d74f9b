/**
 * The SQLite side of the log: one file, `log.sqlite`, and what may be done with it. Synchronous; it
 * lives in the log's own thread. Every group of appends is one transaction with one sync (WAL,
 * synchronous=FULL), in which the epoch is read again: the fence and the write can't be separated.
 *
 * The file is locked exclusively from open to close. The lock is the kernel's, so a killed owner
 * leaves nothing behind that blocks; `owner.json` only says whom to name when the lock is held.
 * Leaves out snapshots: they are files beside it (snapshot-files.ts), so that writing one never
 * makes an append wait.
 */
import { closeSync, openSync, readFileSync, renameSync, rmSync, statSync, writeFileSync, writeSync } from 'node:fs'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import type { StatementSync } from 'node:sqlite'
import { MusterError } from '../protocol/errors.ts'
import { assert } from '../stdx/assert.ts'
import { judgeAppend, sameBytes, takeWithin } from './append-rules.ts'
import type { AppendResult, Entry, Head, ReadResult } from './log.ts'

export type DatabaseOptions = {
  /** How long to wait for another process to let go of the directory. */
  readonly lockTimeoutMs: number
  /** For tests of a full disk: SQLite's limit on the file, in pages of 4096 bytes. */
  readonly maxPages?: number
}

export type AppendRequest = { readonly epoch: number; readonly position: number; readonly bytes: Uint8Array }
/** What became of one append of a group: an answer, or a broken assertion of its caller. */
export type AppendAnswer = AppendResult | Error

/** 2: entries may be of the core's format 2, which a program that knows only 1 must not try to read. */
export const formatVersion = 2
const trimRowsPerTransaction = 2000
const walBytesMax = 16 * 1024 * 1024
/** An entry that did not fit may have been so large. */
const probeAheadBytes = 1024 * 1024

export const schema = `
  CREATE TABLE IF NOT EXISTS entries (position INTEGER PRIMARY KEY, epoch INTEGER NOT NULL, bytes BLOB NOT NULL) STRICT;
  CREATE TABLE IF NOT EXISTS leader (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    epoch INTEGER NOT NULL,
    owner TEXT NOT NULL,
    first_position INTEGER NOT NULL
  ) STRICT;
  INSERT OR IGNORE INTO leader VALUES (1, 0, '', 1);
`

export class LogDatabase {
  readonly #directory: string
  readonly #database: DatabaseSync
  readonly #selectHead: StatementSync
  readonly #selectEntry: StatementSync
  readonly #selectFrom: StatementSync
  readonly #insert: StatementSync
  /** About what the WAL holds that isn't in the database file yet. */
  #walBytes = 0

  constructor(directory: string, options: DatabaseOptions) {
    this.#directory = directory
    this.#database = openDatabase(directory, options)
    this.#selectHead = this.#database.prepare(
      'SELECT epoch, first_position, (SELECT max(position) FROM entries) AS last_position FROM leader WHERE id = 1',
    )
    this.#selectEntry = this.#database.prepare('SELECT epoch, bytes FROM entries WHERE position = ?')
    this.#selectFrom = this.#database.prepare(
      'SELECT position, epoch, bytes FROM entries WHERE position >= ? ORDER BY position',
    )
    // Node 24 binds an empty array as NULL.
    this.#insert = this.#database.prepare(
      "INSERT INTO entries (position, epoch, bytes) VALUES (?, ?, coalesce(?, x''))",
    )
  }

  claim(owner: string): Head {
    return this.#transaction(() => {
      this.#database.prepare('UPDATE leader SET epoch = epoch + 1, owner = ? WHERE id = 1').run(owner)
      return this.head()
    })
  }

  /** All of them in one transaction, in order. Throws when the medium fails; then none of the new ones is there, or all are. */
  append(group: readonly AppendRequest[]): AppendAnswer[] {
    let written = 0
    const answers = this.#transaction(() => {
      const head = this.head()
      let lastPosition = head.position
      return group.map((request): AppendAnswer => {
        const { epoch, position, bytes } = request
        const held = position > lastPosition ? undefined : this.#held(position, bytes)
        let verdict
        try {
          verdict = judgeAppend({ epoch, position, currentEpoch: head.epoch, lastPosition, held })
        } catch (error) {
          return error as Error
        }
        if (verdict !== 'write') return verdict
        this.#insert.run(position, epoch, bytes)
        lastPosition = position
        written += bytes.length + 8192
        return { type: 'ok' }
      })
    })
    this.#walBytes += written
    if (this.#walBytes > walBytesMax) this.checkpoint()
    return answers
  }

  read(from: number, maxBytes: number): ReadResult {
    const { firstPosition } = this.head()
    if (from < firstPosition) return { type: 'trimmed', firstPosition }
    return { type: 'entries', entries: takeWithin(this.#selectFrom.iterate(from) as Iterable<Entry>, maxBytes) }
  }

  head(): Head {
    const row = this.#selectHead.get() as { epoch: number; first_position: number; last_position: number | null }
    return {
      epoch: row.epoch,
      firstPosition: row.first_position,
      position: row.last_position ?? row.first_position - 1,
    }
  }

  /** Drops one portion of the entries below; true when there is more to drop. */
  trimSome(below: number): boolean {
    return this.#transaction(() => {
      const { firstPosition, position } = this.head()
      assert(below <= position + 1, `trim below ${below}: the head is ${position}`)
      if (below <= firstPosition) return false
      const upTo = Math.min(below, firstPosition + trimRowsPerTransaction)
      this.#database.prepare('DELETE FROM entries WHERE position < ?').run(upTo)
      this.#database.prepare('UPDATE leader SET first_position = ? WHERE id = 1').run(upTo)
      this.#walBytes += 64 * 1024
      return upTo < below
    })
  }

  /** By `stat` only: opening and closing the file in this process would drop its POSIX lock. */
  sizeBytes(): number {
    return ['log.sqlite', 'log.sqlite-wal'].reduce(
      (sum, name) => sum + (statSync(join(this.#directory, name), { throwIfNoEntry: false })?.size ?? 0),
      0,
    )
  }

  get needsCheckpoint(): boolean {
    return this.#walBytes > 0
  }

  /** Moves the WAL into the file. With nobody else reading, passive does all of it, and the next write starts the WAL anew. */
  checkpoint(): void {
    this.#walBytes = 0
    this.#database.exec('PRAGMA wal_checkpoint(PASSIVE)')
  }

  close(): void {
    this.#database.close()
  }

  #held(position: number, bytes: Uint8Array): { epoch: number; same: boolean } | undefined {
    const row = this.#selectEntry.get(position) as { epoch: number; bytes: Uint8Array } | undefined
    return row && { epoch: row.epoch, same: sameBytes(row.bytes, bytes) }
  }

  #transaction<T>(work: () => T): T {
    this.#database.exec('BEGIN IMMEDIATE')
    try {
      const result = work()
      this.#database.exec('COMMIT')
      return result
    } catch (error) {
      // Some failures have rolled back already; a second ROLLBACK would hide the first error.
      if (this.#database.isTransaction) this.#database.exec('ROLLBACK')
      throw error
    }
  }
}

function openDatabase(directory: string, options: DatabaseOptions): DatabaseSync {
  const file = join(directory, 'log.sqlite')
  let database: DatabaseSync | undefined
  try {
    database = new DatabaseSync(file, { timeout: options.lockTimeoutMs })
    // Exclusive before WAL: the lock is then held from the first access to the close, and no shared memory is used.
    database.exec('PRAGMA locking_mode = EXCLUSIVE')
    database.exec('PRAGMA journal_mode = WAL')
    database.exec('PRAGMA synchronous = FULL')
    database.exec('PRAGMA wal_autocheckpoint = 0')
    database.exec('PRAGMA journal_size_limit = 67108864')
    database.exec('PRAGMA cache_size = -8192')
    const { user_version: version } = database.prepare('PRAGMA user_version').get() as { user_version: number }
    if (version > formatVersion) {
      throw new MusterError(
        'log_failed',
        `Cannot open ${file}: expected format ${formatVersion}, received ${version}`,
        {
          hint: 'It was written by a newer Muster; use that one, or another data directory.',
        },
      )
    }
    database.exec(`BEGIN IMMEDIATE; ${schema} PRAGMA user_version = ${formatVersion}; COMMIT`)
    if (options.maxPages !== undefined) database.exec(`PRAGMA max_page_count = ${options.maxPages}`)
    nameOwner(directory)
    return database
  } catch (error) {
    database?.close()
    throw isBusy(error) ? ownedElsewhere(directory, `open the log in ${directory}`) : error
  }
}

/** Whom `ownedElsewhere` names. */
export function nameOwner(directory: string): void {
  const path = join(directory, 'owner.json')
  const owner = { pid: process.pid, host: hostname(), sinceMs: Date.now() }
  writeFileSync(`${path}.tmp`, JSON.stringify(owner), { mode: 0o600 })
  renameSync(`${path}.tmp`, path)
}

/** `action` completes "Cannot …". */
export function ownedElsewhere(directory: string, action: string): MusterError {
  let owner = 'another process'
  try {
    const named = JSON.parse(readFileSync(join(directory, 'owner.json'), 'utf8')) as { pid: number; host: string }
    owner = `process ${named.pid} on ${named.host}`
  } catch {
    // The owner has taken the lock and not yet written its name: say what is known.
  }
  return new MusterError('conflict', `Cannot ${action}: it is in use by ${owner}`, {
    hint: 'Stop that process, or give this one another data directory.',
  })
}

const resultCode = { busy: 5, ioError: 10, full: 13, corrupt: 11, notADatabase: 26 }

function primaryCode(error: unknown): number | undefined {
  if (!(error instanceof Error) || !('errcode' in error) || typeof error.errcode !== 'number') return undefined
  return error.errcode & 0xff
}

export function isBusy(error: unknown): boolean {
  return primaryCode(error) === resultCode.busy
}

/**
 * SQLite knows one kind of full disk and calls all others (a quota, a limit on the size of files) an I/O error. So a byte
 * is written where the next one of the log would be: the system says what is wrong.
 */
function isFull(directory: string): boolean {
  const probe = join(directory, `probe-${process.pid}`)
  const sizes = ['log.sqlite', 'log.sqlite-wal'].map(
    (name) => statSync(join(directory, name), { throwIfNoEntry: false })?.size ?? 0,
  )
  let file: number | undefined
  try {
    file = openSync(probe, 'w', 0o600)
    writeSync(file, Buffer.alloc(1), 0, 1, Math.max(...sizes) + probeAheadBytes)
    return false
  } catch (error) {
    return ['ENOSPC', 'EDQUOT', 'EFBIG'].includes((error as NodeJS.ErrnoException).code ?? '')
  } finally {
    if (file !== undefined) closeSync(file)
    rmSync(probe, { force: true })
  }
}

/** SQLite's failures as the log's; everything else as it is. */
export function translateError(error: unknown, directory: string): unknown {
  const code = primaryCode(error)
  if (code === undefined || !(error instanceof Error)) return error
  if (code === resultCode.full || (code === resultCode.ioError && isFull(directory))) {
    return new MusterError('disk_full', `Cannot write the log in ${directory}: the disk is full`, {
      hint: 'Free some space; the write will be tried again.',
      cause: error,
    })
  }
  const damaged = code === resultCode.corrupt || code === resultCode.notADatabase
  return new MusterError('log_failed', `Cannot use the log in ${directory}: ${error.message}`, {
    hint: damaged
      ? 'The file is damaged: restore the directory from a backup, or move it away to start afresh.'
      : "Check the disk and the directory's permissions.",
    cause: error,
  })
}
