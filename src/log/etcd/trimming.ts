/**
 * Drops entries below a position. First the mark, then the keys: whoever reads in between is told
 * "trimmed", and a trim that is cut off is finished by the next one, which starts at the lowest key it
 * finds and not at the mark. Deletes and compacts in small steps, because etcd compacts
 * all at once what it is given, and appends wait for it.
 */
import type { Access, View } from './access.ts'
import { readView } from './access.ts'
import { CallError, code } from './call-error.ts'
import { below, decodeEntry, encodeMark, piecePositionOf, positionOf } from './layout.ts'
import { compact, txn } from './messages.ts'
import type { Delete } from './messages.ts'

const positionsAtOnce = 500

export async function trimEntries(access: Access, to: number): Promise<View> {
  const { reads, keys, patience } = access
  let view = await readView(access)
  while (view.trimmed.position < to) {
    const { responses } = await reads.repeat(
      txn,
      { success: [{ type: 'range', key: keys.entry(to - 1) }] },
      { tryMs: Math.max(1000, patience.tryMs), totalMs: patience.totalMs },
    )
    const last = responses[0]?.[0]
    // Absent only when another trim has been quicker; then the mark has moved too.
    if (last !== undefined) {
      await reads.repeat(
        txn,
        {
          compare: [{ key: keys.trimmed, target: 'mod', revision: view.trimmed.revision }],
          success: [{ type: 'put', key: keys.trimmed, value: encodeMark(to, decodeEntry(last).total) }],
        },
        patience,
      )
    }
    view = await readView(access)
  }
  while (await deleteSome(access, view.trimmed.position)) continue
  return view
}

/** Whether there may be more. */
async function deleteSome(access: Access, to: number): Promise<boolean> {
  const { reads, keys, patience } = access
  const { responses } = await reads.repeat(
    txn,
    {
      success: [
        { type: 'range', key: keys.entryPrefix, end: keys.entry(to), limit: 1, keysOnly: true },
        { type: 'range', key: keys.piecePrefix, end: keys.pieceBound(to), limit: 1, keysOnly: true },
      ],
    },
    patience,
  )
  const [entry, piece] = responses.map((found) => found[0]?.key)
  if (entry === undefined && piece === undefined) return false
  const from = Math.min(
    entry === undefined ? Infinity : positionOf(entry),
    piece === undefined ? Infinity : piecePositionOf(keys, piece),
  )
  const end = Math.min(from + positionsAtOnce, to)
  const deletes: Delete[] = [
    { type: 'delete', key: below(keys.entryPrefix).key, end: keys.entry(end) },
    { type: 'delete', key: below(keys.piecePrefix).key, end: keys.pieceBound(end) },
  ]
  const { revision } = await reads.repeat(
    txn,
    { success: deletes },
    { tryMs: Math.max(2000, patience.tryMs), totalMs: patience.totalMs },
  )
  await compactTo(access, revision)
  return true
}

/** Without this, what was deleted stays on etcd's disk. */
async function compactTo(access: Access, revision: number): Promise<void> {
  try {
    await access.reads.repeat(compact, revision, { tryMs: 2000, totalMs: access.patience.totalMs })
  } catch (error) {
    if (!(error instanceof CallError)) throw error
    // Somebody has already compacted beyond it.
    if (error.code === code.outOfRange) return
    access.warn(`etcd could not be compacted after a trim, and keeps the space until it is: ${error.message}`)
  }
}
