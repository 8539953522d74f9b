/**
 * Writes a whole log into etcd, below a prefix where there is none. The keys that make it a log (head,
 * leader, snapshot, records) are written last and in one transaction, so it is there whole or not
 * at all: what an import that was cut off has left is no log, and the next one removes it. Two imports at once,
 * and a coordinator that would begin a log there, are excluded by a key that all of them compare.
 *
 * etcd's revisions start anew, so the leader key says what to add to them: epochs go on above those that
 * the log had where it came from.
 */
import { randomUUID } from 'node:crypto'
import { MusterError } from '../../protocol/errors.ts'
import type { LogContents } from '../export.ts'
import { readView } from './access.ts'
import type { Access } from './access.ts'
import { asMusterError } from './call-error.ts'
import { EtcdClient } from './client.ts'
import type { EtcdLogOptions } from './etcd-log.ts'
import { below, cut, encodeEntry, encodeLeader, encodeMark, layKeys, pieceBytes, sha256Of } from './layout.ts'
import { txn } from './messages.ts'
import type { Compare, Operation, Put } from './messages.ts'

/** etcd takes 128 operations and 1.5 MiB in one transaction. */
const operationsMax = 100
const requestBytesMax = 1_000_000
const tryMs = 5000
const totalMs = 30_000

type Records = Readonly<Record<string, string>>

type Place = Pick<EtcdLogOptions, 'address' | 'credentials' | 'blobs'>

/** Throws MusterError conflict when there is a log, or a coordinator that is about to begin one. */
export async function refuseFullEtcd(place: Place): Promise<void> {
  await withAccess(place, async (access) => {
    const there = await whatIsThere(access)
    if (there !== undefined) throw notEmpty(there)
  })
}

/** Throws MusterError conflict as refuseFullEtcd does. */
export async function importIntoEtcd(place: Place, contents: LogContents, records: Records): Promise<void> {
  await withAccess(place, (access) => new EtcdImport(access, place.blobs).run(contents, records))
}

async function withAccess(place: Place, use: (access: Access) => Promise<void>): Promise<void> {
  const client = await EtcdClient.create(place.address, place.credentials ?? {})
  try {
    await use({
      client,
      keys: layKeys(place.address.prefix),
      reads: client.lane(),
      patience: { tryMs, totalMs },
      warn: (text) => process.emitWarning(text),
    })
  } catch (error) {
    throw asMusterError(error, 'import the log')
  } finally {
    client.close()
  }
}

/** What there is of a log below the prefix, in words. */
async function whatIsThere(access: Access): Promise<string | undefined> {
  const { keys, reads, patience } = access
  const { head, leader } = await readView(access)
  if (head.position > 0 || leader.epoch > 0) return `a log whose last entry is ${head.position}`
  const kinds = [below(keys.memberPrefix), below(keys.snapshotPrefix), below(keys.record(''))]
  const { responses } = await reads.repeat(txn, { success: kinds.map((one) => ({ ...one, limit: 1 })) }, patience)
  const key = responses.flat()[0]?.key
  return key === undefined ? undefined : `the key ${key}`
}

class EtcdImport {
  readonly #access: Access
  readonly #blobs: EtcdLogOptions['blobs']
  readonly #mark: string
  /** What must still hold with every write: this import is the newest one. */
  #ours: Compare[] = []

  constructor(access: Access, blobs: EtcdLogOptions['blobs']) {
    this.#access = access
    this.#blobs = blobs
    this.#mark = access.keys.importing
  }

  async run(contents: LogContents, records: Records): Promise<void> {
    const there = await whatIsThere(this.#access)
    if (there !== undefined) throw notEmpty(there)
    await this.#begin()
    try {
      await this.#all(contents, records)
    } catch (error) {
      // Should this fail too, the mark stays, and with it everybody away from a part of a log.
      await this.#write([...this.#removal(), { type: 'delete', key: this.#mark }]).catch(() => undefined)
      throw error
    }
  }

  async #all(contents: LogContents, records: Records): Promise<void> {
    const { keys } = this.#access
    // Of an import that was killed.
    await this.#write(this.#removal())
    const { position, total } = await this.#entries(contents)
    const last: Operation[] = [
      { type: 'put', key: keys.head, value: encodeMark(position, total) },
      { type: 'put', key: keys.leader, value: encodeLeader('', randomUUID(), contents.epoch) },
      ...Object.entries(records).map(([name, value]): Put => {
        return { type: 'put', key: keys.record(name), value: Buffer.from(value) }
      }),
      { type: 'delete', key: this.#mark },
    ]
    if (contents.firstPosition > 1) {
      last.push({ type: 'put', key: keys.trimmed, value: encodeMark(contents.firstPosition, 0) })
    }
    const { snapshot } = contents
    if (snapshot) {
      const blob = await this.#blobs.put(snapshot.bytes)
      const value = Buffer.from(JSON.stringify({ blob, byteLength: snapshot.bytes.length }))
      last.push({ type: 'put', key: keys.snapshot(snapshot.position), value })
    }
    await this.#write(last, [
      ...this.#noLog(),
      ...Object.keys(records).map((name): Compare => ({ key: keys.record(name), target: 'create', revision: 0 })),
    ])
  }

  #removal(): Operation[] {
    const { entryPrefix, piecePrefix } = this.#access.keys
    return [entryPrefix, piecePrefix].map((prefix) => {
      const { key, end } = below(prefix)
      return { type: 'delete', key, end }
    })
  }

  /** From here on nobody can begin a log here, and an import before this one can't go on. */
  async #begin(): Promise<void> {
    const { reads, patience, keys } = this.#access
    const put = { type: 'put', key: this.#mark, value: Buffer.from(randomUUID()) } as const
    const { succeeded, responses } = await reads.repeat(
      txn,
      { compare: this.#noLog(), success: [put, { type: 'range', key: this.#mark }] },
      patience,
    )
    const mine = succeeded ? responses[1]?.[0] : undefined
    if (mine === undefined) throw notEmpty((await whatIsThere(this.#access)) ?? keys.leader)
    this.#ours = [{ key: this.#mark, target: 'mod', revision: mine.modRevision }]
  }

  #noLog(): Compare[] {
    const { leader, head } = this.#access.keys
    return [leader, head].map((key) => ({ key, target: 'create', revision: 0 }))
  }

  async #entries(contents: LogContents): Promise<{ readonly position: number; readonly total: number }> {
    const { keys } = this.#access
    let position = contents.firstPosition - 1
    let total = 0
    let puts: Put[] = []
    let byteLength = 0
    const add = async (put: Put): Promise<void> => {
      if (puts.length >= operationsMax || byteLength + put.value.length > requestBytesMax) await flush()
      puts.push(put)
      byteLength += put.value.length
    }
    const flush = async (): Promise<void> => {
      if (puts.length > 0) await this.#write(puts)
      puts = []
      byteLength = 0
    }
    for await (const entry of contents.entries()) {
      const { bytes } = entry
      position = entry.position
      total += bytes.length
      if (bytes.length <= pieceBytes) {
        await add({ type: 'put', key: keys.entry(position), value: encodeEntry(entry.epoch, total, { bytes }) })
        continue
      }
      const pieces = cut(bytes)
      const content = { sha256: sha256Of(bytes), byteLength: bytes.length, count: pieces.length }
      for (const [index, value] of pieces.entries()) {
        await add({ type: 'put', key: keys.piece(position, content.sha256, index), value })
      }
      await add({ type: 'put', key: keys.entry(position), value: encodeEntry(entry.epoch, total, content) })
    }
    await flush()
    return { position, total }
  }

  /** May be sent twice: the same keys with the same values. */
  async #write(operations: readonly Operation[], more: readonly Compare[] = []): Promise<void> {
    const { reads, patience } = this.#access
    const { succeeded } = await reads.repeat(txn, { compare: [...this.#ours, ...more], success: operations }, patience)
    if (succeeded) return
    // The last transaction may have worked, its answer got lost, and this is its repetition.
    const there = await whatIsThere(this.#access)
    if (more.length > 0 && there !== undefined && (await this.#isDone(operations))) return
    throw notEmpty(there ?? 'another import')
  }

  async #isDone(operations: readonly Operation[]): Promise<boolean> {
    const { reads, patience, keys } = this.#access
    const wanted = operations.find((one) => one.type === 'put' && one.key === keys.leader)
    const { responses } = await reads.repeat(txn, { success: [{ type: 'range', key: keys.leader }] }, patience)
    const value = responses[0]?.[0]?.value
    return wanted?.type === 'put' && value !== undefined && Buffer.compare(value, wanted.value) === 0
  }
}

function notEmpty(what: string): MusterError {
  return new MusterError('conflict', `Cannot import: expected nothing below this prefix of etcd, found ${what}`, {
    hint: 'Choose another prefix (etcd://…/PREFIX), or remove what is there once you are sure.',
  })
}
