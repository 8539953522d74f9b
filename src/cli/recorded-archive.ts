/**
 * The recorded queue of a log that `muster log export` wrote, without a coordinator: the archive is folded as an import
 * would, and what state doesn't keep is asked of a history that lives as long as the question. It knows what the archive
 * has: its entries, and its own database where that was exported with it. Shares are no part of a log.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { recordingOf, type RecordingQuery } from '../coordinator/recording.ts'
import { seenIn, type Seen } from '../coordinator/seen-by-history.ts'
import { schedulerOf } from '../core/scheduler.ts'
import { openHistory } from '../history/duckdb-history.ts'
import { isMusterError, MusterError } from '../protocol/errors.ts'
import type { Recording } from '../scheduling/recording.ts'
import { checkArchive, partsOfFile, type Checked } from './archive-check.ts'
import { writeFilePiece } from './archive-import.ts'

type ArchiveQuery = {
  readonly run?: string
  /** When the archive was made is its now. */
  readonly sinceMs: (nowMs: number) => number
}

/** `usual`: the scheduler of those who chose none. */
export async function recordingOfArchive(file: string, asked: ArchiveQuery, usual: string): Promise<Recording> {
  const checked = await checkArchive(file)
  const { header, state } = checked
  const nowMs = header.createdAtMs
  const query = asked.run === undefined ? { sinceMs: asked.sinceMs(nowMs) } : { run: asked.run }
  const seen = await seenInArchive(file, checked, query, nowMs)
  const { run } = asked
  if (run !== undefined && !state.runs.has(run) && seen.rows?.runs.every((row) => row.run !== run) !== false)
    throw new MusterError('not_found', `no run ${run} is in ${file}`, {
      hint: `'muster replay --log ${file} --runs' lists those that can be played.`,
    })
  return recordingOf(state, query, schedulerOf(state, '')?.strategy ?? usual, seen, nowMs)
}

async function seenInArchive(file: string, checked: Checked, query: RecordingQuery, nowMs: number): Promise<Seen> {
  const directory = await mkdtemp(join(tmpdir(), 'muster-replay-'))
  const { header, state } = checked
  try {
    for await (const part of partsOfFile(file)) if (part.part === 'file') await writeFilePiece(directory, part)
    await using history = await openHistory({
      directory: join(directory, 'history'),
      blobsLocation: join(directory, 'blobs'),
      source: header.source,
      // Results of single tests are missed, and not asked for.
      onWarning: () => undefined,
    })
    for await (const part of partsOfFile(file))
      if (part.part === 'entry' && part.position > history.position) await history.feed(part.position, part.bytes)
    await history.settled()
    const seen = await seenIn(history, state, query, nowMs)
    return {
      ...seen,
      behind: "that are only in the archive's snapshot: 'muster log export --all' writes older entries",
    }
  } catch (error) {
    // Without DuckDB there is still what state keeps; the recording says what is left out for that.
    if (isMusterError(error) && error.code === 'tool_missing') return { workers: [] }
    throw error
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
}
