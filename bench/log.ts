/**
 * Durable appends: SQLite alone (the same file layout and settings, on the main thread, nothing else
 * to do) against the log with its thread, its fence and its messages. Single: one append after the
 * other. Group: 50 rows in a transaction, against 50 appends in flight. The two take turns within
 * each round; the table has the median round.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { SqliteLog } from '../src/log/sqlite.ts'
import { formatTable } from './table.ts'
import type { BenchTable } from './table.ts'

const rounds = 5
const roundMs = 400
const groupSize = 50
const warmMegabytes = 20

type Case = { readonly bytes: number; readonly inFlight: number }
const cases: readonly Case[] = [
  { bytes: 1024, inFlight: 1 },
  { bytes: 4096, inFlight: 1 },
  { bytes: 1024, inFlight: groupSize },
  { bytes: 4096, inFlight: groupSize },
]

class RawDatabase {
  readonly #database: DatabaseSync
  #position = 0

  constructor(file: string) {
    this.#database = new DatabaseSync(file)
    for (const pragma of [
      'locking_mode = EXCLUSIVE',
      'journal_mode = WAL',
      'synchronous = FULL',
      'wal_autocheckpoint = 4000',
    ]) {
      this.#database.exec(`PRAGMA ${pragma}`)
    }
    this.#database.exec(
      'CREATE TABLE entries (position INTEGER PRIMARY KEY, epoch INTEGER NOT NULL, bytes BLOB NOT NULL) STRICT',
    )
  }

  /** Rows per second. */
  measure({ bytes, inFlight }: Case): number {
    const insert = this.#database.prepare('INSERT INTO entries VALUES (?, 1, ?)')
    const row = new Uint8Array(bytes).fill(7)
    const first = this.#position
    const startMs = performance.now()
    while (performance.now() - startMs < roundMs) {
      this.#database.exec('BEGIN IMMEDIATE')
      for (let i = 0; i < inFlight; i += 1) insert.run((this.#position += 1), row)
      this.#database.exec('COMMIT')
    }
    return ((this.#position - first) / (performance.now() - startMs)) * 1000
  }

  /** A WAL that is written over syncs faster than one that grows: both sides start with one at its full size. */
  warm(): void {
    const row = new Uint8Array(1_000_000).fill(7)
    const insert = this.#database.prepare('INSERT INTO entries VALUES (?, 1, ?)')
    for (let i = 0; i < warmMegabytes; i += 1) insert.run((this.#position += 1), row)
  }

  close(): void {
    this.#database.close()
  }
}

async function warmLog(log: SqliteLog): Promise<void> {
  const { epoch, position } = await log.claim('bench')
  const row = new Uint8Array(1_000_000).fill(7)
  for (let i = 1; i <= warmMegabytes; i += 1) await log.append(epoch, position + i, row)
}

type Measured = { readonly perSecond: number; readonly p50Ms: number; readonly p99Ms: number }

async function measureLog(log: SqliteLog, { bytes, inFlight }: Case): Promise<Measured> {
  const { epoch, position: first } = await log.claim('bench')
  const row = new Uint8Array(bytes).fill(7)
  const latenciesMs: number[] = []
  let position = first
  const startMs = performance.now()
  const lane = async () => {
    while (performance.now() - startMs < roundMs) {
      position += 1
      const sentMs = performance.now()
      const result = await log.append(epoch, position, row)
      if (result.type !== 'ok') throw new Error(`expected ok, received ${result.type}`)
      latenciesMs.push(performance.now() - sentMs)
    }
  }
  await Promise.all(Array.from({ length: inFlight }, lane))
  const tookMs = performance.now() - startMs
  latenciesMs.sort((a, b) => a - b)
  const at = (share: number) => latenciesMs[Math.floor((latenciesMs.length - 1) * share)]!
  return { perSecond: ((position - first) / tookMs) * 1000, p50Ms: at(0.5), p99Ms: at(0.99) }
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1]!
}

export async function benchLog(): Promise<BenchTable> {
  const directory = await mkdtemp(path.join(os.tmpdir(), 'muster-bench-log-'))
  try {
    const raw = new RawDatabase(path.join(directory, 'raw.sqlite'))
    await using log = await SqliteLog.open(path.join(directory, 'log'))
    raw.warm()
    await warmLog(log)
    const rows = []
    for (const one of cases) {
      const alone: number[] = []
      const through: Measured[] = []
      for (let round = 0; round < rounds; round += 1) {
        alone.push(raw.measure(one))
        through.push(await measureLog(log, one))
      }
      const [rawRate, logRate] = [median(alone), median(through.map((measured) => measured.perSecond))]
      const [p50Ms, p99Ms] = [
        median(through.map((measured) => measured.p50Ms)),
        median(through.map((measured) => measured.p99Ms)),
      ]
      rows.push([`${one.bytes / 1024} KB`, one.inFlight, rawRate, logRate, logRate / rawRate, p50Ms, p99Ms])
    }
    raw.close()
    return {
      title: 'Durable appends, one sync per commit',
      columns: ['entry', 'in flight', 'SQLite rows/s', 'log entries/s', 'ratio', 'log p50 ms', 'log p99 ms'],
      rows,
      note: `SQLite commits as many rows at once as the log has in flight. Median of ${rounds} rounds of ${roundMs} ms.`,
    }
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
}

if (import.meta.main) process.stdout.write(formatTable(await benchLog()))
