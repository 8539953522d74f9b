/**
 * What of a log goes into an archive: the newest snapshot and the entries after it, up to where the log
 * ended at the beginning of the export. That is all that a coordinator needs to be where this one was.
 * The log may be appended to, snapshotted and trimmed meanwhile.
 */
import { MusterError } from '../protocol/errors.ts'
import type { Part } from './archive.ts'
import type { Entry, Log, Snapshot } from './log.ts'

const readBytes = 4 * 1024 * 1024

export type ExportedLog = {
  readonly epoch: number
  readonly firstPosition: number
  readonly lastPosition: number
  readonly snapshotPosition: number | null
  parts(): AsyncGenerator<Part>
}

/** `all`: from the first entry that is kept, and not only from the newest snapshot. */
export async function exportLog(log: Log, options: { readonly all?: boolean } = {}): Promise<ExportedLog> {
  const snapshot = await log.getSnapshot()
  const head = await log.head()
  const afterSnapshot = (snapshot?.position ?? 0) + 1
  const firstPosition = options.all ? Math.min(head.firstPosition, afterSnapshot) : afterSnapshot
  return {
    epoch: head.epoch,
    firstPosition,
    lastPosition: head.position,
    snapshotPosition: snapshot?.position ?? null,
    async *parts() {
      if (snapshot) yield { part: 'snapshot', ...snapshot }
      for await (const entry of entriesBetween(log, firstPosition, head.position)) yield { part: 'entry', ...entry }
    },
  }
}

export async function* entriesBetween(log: Log, from: number, to: number): AsyncGenerator<Entry> {
  for (let next = from; next <= to;) {
    const read = await log.read(next, readBytes)
    if (read.type === 'trimmed') {
      throw new MusterError('conflict', `The log was trimmed up to ${read.firstPosition} while it was read`, {
        hint: 'Export again.',
      })
    }
    for (const entry of read.entries) {
      if (entry.position > to) return
      yield entry
      next = entry.position + 1
    }
    if (read.entries.length === 0) throw new MusterError('log_failed', `The log ends before its last entry ${to}`)
  }
}

/** A whole log, to be written where there is none. */
export type LogContents = {
  /** No claim there ever gives this one or a smaller one again. */
  readonly epoch: number
  readonly firstPosition: number
  readonly snapshot: Snapshot | undefined
  /** From firstPosition, without holes. */
  entries(): AsyncIterable<Entry>
}
