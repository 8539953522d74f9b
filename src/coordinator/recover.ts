/** From the log to state: newest snapshot, then every entry after it. */
import { zstdDecompressSync } from 'node:zlib'
import { apply } from '../core/advance.ts'
import { decodeEntry } from '../core/events.ts'
import type { Limits } from '../core/limits.ts'
import { restore, type SnapshotData } from '../core/snapshot.ts'
import { emptyState, type State } from '../core/state.ts'
import type { Log } from '../log/log.ts'

const readBytes = 8 * 1024 * 1024

export type Recovered = { readonly state: State; readonly position: number; readonly snapshotPosition: number }

export async function recover(log: Log, limits: Limits): Promise<Recovered> {
  const snapshot = await log.getSnapshot()
  let state = emptyState(limits)
  let position = 0
  if (snapshot) {
    const data = JSON.parse(zstdDecompressSync(snapshot.bytes).toString('utf8')) as SnapshotData
    state = restore(data, limits)
    position = snapshot.position
  }
  for (;;) {
    const read = await log.read(position + 1, readBytes)
    if (read.type === 'trimmed') {
      throw new Error(`the log begins at ${read.firstPosition}, but no snapshot reaches ${read.firstPosition - 1}`)
    }
    if (read.entries.length === 0) break
    for (const entry of read.entries) {
      const body = decodeEntry(entry.bytes)
      for (const event of body.events) apply(state, event, body.atMs)
      position = entry.position
    }
  }
  return { state, position, snapshotPosition: snapshot?.position ?? 0 }
}
