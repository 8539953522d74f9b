/**
 * Snapshots: the bytes in a blob, and a key per position that names the blob. A key is written only
 * under the epoch that leads, and after its blob is durable; blobs go after the last key that names
 * them has gone. The newest two stay.
 */
import { deposed } from '../append-rules.ts'
import type { Snapshot } from '../log.ts'
import { decodeView, viewOperations } from './access.ts'
import type { Access } from './access.ts'
import { below, positionOf } from './layout.ts'
import { txn } from './messages.ts'
import type { KeyValue } from './messages.ts'

const kept = 2

/** Where the bytes go; Muster's `Blobs` fits. */
export interface SnapshotBlobs {
  put(bytes: Uint8Array): Promise<string>
  /** Undefined when absent; throws when the content is damaged. */
  get(key: string): Promise<Uint8Array | undefined>
  remove(key: string): Promise<void>
}

type Manifest = { readonly position: number; readonly blob: string; readonly byteLength: number }

function decode({ key, value }: KeyValue): Manifest {
  const { blob, byteLength } = JSON.parse(value.toString('utf8')) as { blob: string; byteLength: number }
  return { position: positionOf(key), blob, byteLength }
}

export class EtcdSnapshots {
  readonly #access: Access
  readonly #blobs: SnapshotBlobs

  constructor(access: Access, blobs: SnapshotBlobs) {
    this.#access = access
    this.#blobs = blobs
  }

  /** `base`: of the leader key, see layout.ts. */
  async put(epoch: number, base: number, snapshot: Snapshot): Promise<void> {
    const { reads, keys, patience } = this.#access
    const blob = await this.#blobs.put(snapshot.bytes)
    const value = Buffer.from(JSON.stringify({ blob, byteLength: snapshot.bytes.length }))
    const leads = [{ key: keys.leader, target: 'mod', revision: epoch - base }] as const
    const stored = await reads.repeat(
      txn,
      {
        compare: leads,
        success: [below(keys.snapshotPrefix), { type: 'put', key: keys.snapshot(snapshot.position), value }],
        failure: [...viewOperations(keys), below(keys.snapshotPrefix)],
      },
      patience,
    )
    if (!stored.succeeded) {
      const others = stored.responses.at(-1)!.map(decode)
      if (!others.some((one) => one.blob === blob)) await this.#blobs.remove(blob)
      throw deposed('store a snapshot', epoch, decodeView(stored.revision, stored.responses).leader.epoch)
    }
    const before = stored.responses[0]!.map(decode)
    const now = [...before.filter((one) => one.position !== snapshot.position), { position: snapshot.position, blob }]
    now.sort((a, b) => a.position - b.position)
    const old = now.slice(0, -kept)
    if (old.length > 0) {
      const deletes = old.map(({ position }) => ({ type: 'delete', key: keys.snapshot(position) }) as const)
      const { succeeded } = await reads.repeat(txn, { compare: leads, success: deletes }, patience)
      // The next leader tidies up.
      if (!succeeded) return
    }
    const named = new Set(now.slice(-kept).map((one) => one.blob))
    for (const unused of new Set(before.map((one) => one.blob))) {
      if (!named.has(unused)) await this.#blobs.remove(unused)
    }
  }

  /** The newest one whose blob is there and whole. Rejects when the blobs could not be asked: that there is none would be wrong. */
  async newest(): Promise<Snapshot | undefined> {
    let failure: Error | undefined
    for (const { position, blob, byteLength } of (await this.#manifests()).reverse()) {
      const bytes = await this.#blobs.get(blob).catch((error: unknown) => {
        failure = error instanceof Error ? error : new Error(String(error))
        this.#access.warn(`The snapshot at ${position} does not verify (${String(error)}); using the one before it`)
        return null
      })
      if (bytes === null) continue
      if (bytes?.length === byteLength) return { position, bytes }
      const found = bytes === undefined ? 'its blob is gone' : `expected ${byteLength} bytes, received ${bytes.length}`
      this.#access.warn(`The snapshot at ${position} does not verify (${found}); using the one before it`)
    }
    if (failure !== undefined) throw failure
    return undefined
  }

  /** Blobs that must not be collected, however long nobody has read them. */
  async blobKeys(): Promise<string[]> {
    return (await this.#manifests()).map((one) => one.blob)
  }

  async sizeBytes(): Promise<number> {
    return (await this.#manifests()).reduce((sum, one) => sum + one.byteLength, 0)
  }

  /** Oldest first. */
  async #manifests(): Promise<Manifest[]> {
    const { reads, keys, patience } = this.#access
    const { responses } = await reads.repeat(txn, { success: [below(keys.snapshotPrefix)] }, patience)
    return responses[0]!.map(decode)
  }
}
