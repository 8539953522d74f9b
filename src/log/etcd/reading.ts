/**
 * Reads entries by range, page by page. Each page is one linearizable transaction that also reads where
 * the log starts, so that a trim meanwhile shows as such and never as a hole.
 */
import { MusterError } from '../../protocol/errors.ts'
import { assert } from '../../stdx/assert.ts'
import type { Entry, ReadResult } from '../log.ts'
import type { Access } from './access.ts'
import { decodeEntry, decodeMark, sha256Of, sizeOf } from './layout.ts'
import type { Pieces, Stored } from './layout.ts'
import { txn } from './messages.ts'

const firstPage = 32
const pageMax = 1000
/** Pieces are a megabyte each. */
const piecesAtOnce = 8

export async function readEntries(access: Access, from: number, maxBytes: number): Promise<ReadResult> {
  const entries: Entry[] = []
  let bytes = 0
  for (let limit = firstPage; ;) {
    const next = from + entries.length
    const page = await readPage(access, next, limit)
    if (next < page.firstPosition) {
      return entries.length > 0 ? { type: 'entries', entries } : { type: 'trimmed', firstPosition: page.firstPosition }
    }
    for (const stored of page.stored) {
      assert(stored.position === from + entries.length, `the log in etcd has a hole below ${stored.position}`)
      bytes += sizeOf(stored.content)
      if (entries.length > 0 && bytes > maxBytes) return { type: 'entries', entries }
      const content = await contentOf(access, stored)
      // Trimmed since the page was read: the next page says so.
      if (content === undefined) break
      entries.push({ position: stored.position, epoch: stored.epoch, bytes: content })
    }
    if (page.stored.length < limit || bytes >= maxBytes) {
      if (entries.length > 0 || page.stored.length === 0) return { type: 'entries', entries }
    }
    const usual = bytes / Math.max(1, entries.length)
    limit = Math.min(pageMax, Math.max(1, Math.ceil((maxBytes - bytes) / Math.max(1, usual))))
  }
}

async function readPage(
  { reads, keys, patience }: Access,
  from: number,
  limit: number,
): Promise<{ firstPosition: number; stored: Stored[] }> {
  const { responses } = await reads.repeat(
    txn,
    {
      success: [
        { type: 'range', key: keys.trimmed },
        { type: 'range', key: keys.entry(from), end: keys.entry(from + limit), limit },
      ],
    },
    { tryMs: Math.max(1000, patience.tryMs), totalMs: patience.totalMs },
  )
  const [trimmed = [], entries = []] = responses
  return { firstPosition: decodeMark(trimmed[0], 1).position, stored: entries.map(decodeEntry) }
}

async function contentOf(access: Access, stored: Stored): Promise<Uint8Array | undefined> {
  if ('bytes' in stored.content) return stored.content.bytes
  return joinPieces(access, stored.position, stored.content)
}

/** Undefined when a piece is gone, which only a trim can be the cause of. */
async function joinPieces(access: Access, position: number, pieces: Pieces): Promise<Uint8Array | undefined> {
  const { reads, keys, patience } = access
  const found: Buffer[] = []
  for (let index = 0; index < pieces.count; index += piecesAtOnce) {
    const key = keys.piece(position, pieces.sha256, index)
    const end = keys.piece(position, pieces.sha256, Math.min(pieces.count, index + piecesAtOnce))
    const range = { type: 'range', key, end } as const
    const { responses } = await reads.repeat(
      txn,
      { success: [range] },
      { tryMs: Math.max(2000, patience.tryMs), totalMs: patience.totalMs },
    )
    found.push(...responses[0]!.map((piece) => piece.value))
  }
  if (found.length < pieces.count) {
    const again = await readPage(access, position, 1)
    if (position < again.firstPosition) return undefined
    throw damaged(position, `${pieces.count - found.length} of its ${pieces.count} pieces are missing`)
  }
  const bytes = new Uint8Array(Buffer.concat(found))
  if (sha256Of(bytes) !== pieces.sha256) throw damaged(position, 'the checksum of its pieces differs')
  return bytes
}

function damaged(position: number, why: string): MusterError {
  return new MusterError('log_failed', `Cannot read entry ${position} of the log in etcd: ${why}`, {
    hint: 'Something other than Muster has written below the prefix; restore etcd from a backup.',
  })
}
