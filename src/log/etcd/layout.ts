/**
 * How the log lies in etcd's keys, all below one prefix:
 *
 *   leader               who claimed last; the key's revision, and what an import made it start from, is the epoch
 *   head                 last position, and all bytes ever appended
 *   trimmed              first position, and the bytes ever trimmed; absent until the first trim
 *   log/<position>       one entry: a header and its bytes, or the name of the pieces that hold them
 *   piece/<position>/<sha-256>/<index>   a piece of an entry that is too large for one request
 *   snapshot/<position>  which blob holds the snapshot
 *   member/<id>          a coordinator's card, under a lease
 *   record/<name>        small values that are written once
 *   importing            there while a log is being imported
 *
 * `head` is there because etcd sorts a whole range before it gives the last key of it. Positions are
 * padded, so that keys sort as numbers do.
 */
import { createHash } from 'node:crypto'
import { assert } from '../../stdx/assert.ts'
import type { KeyValue, Range } from './messages.ts'

const positionDigits = 16
const entryFormat = 1
const headerBytes = 18
const inPieces = 1
/** etcd refuses requests above 1.5 MiB. */
export const pieceBytes = 1_000_000

export type Keys = {
  readonly leader: string
  readonly head: string
  readonly trimmed: string
  readonly entry: (position: number) => string
  readonly entryPrefix: string
  readonly piece: (position: number, sha256: string, index: number) => string
  readonly piecePrefix: string
  /** Sorts before every piece of entries at or above this position. */
  readonly pieceBound: (position: number) => string
  readonly snapshot: (position: number) => string
  readonly snapshotPrefix: string
  /** There while a log is being imported. */
  readonly importing: string
  readonly member: (id: string) => string
  readonly memberPrefix: string
  readonly record: (name: string) => string
}

export function layKeys(prefix: string): Keys {
  const padded = (position: number): string => String(position).padStart(positionDigits, '0')
  return {
    leader: `${prefix}leader`,
    head: `${prefix}head`,
    trimmed: `${prefix}trimmed`,
    entry: (position) => `${prefix}log/${padded(position)}`,
    entryPrefix: `${prefix}log/`,
    piece: (position, sha256, index) =>
      `${prefix}piece/${padded(position)}/${sha256}/${String(index).padStart(6, '0')}`,
    piecePrefix: `${prefix}piece/`,
    pieceBound: (position) => `${prefix}piece/${padded(position)}`,
    snapshot: (position) => `${prefix}snapshot/${padded(position)}`,
    snapshotPrefix: `${prefix}snapshot/`,
    importing: `${prefix}importing`,
    member: (id) => `${prefix}member/${id}`,
    memberPrefix: `${prefix}member/`,
    record: (name) => `${prefix}record/${name}`,
  }
}

/** All keys that start with `prefix`, which ends with a slash. */
export function below(prefix: string): Range & { readonly end: string } {
  // The character after '/' is '0'.
  return { type: 'range', key: prefix, end: `${prefix.slice(0, -1)}0` }
}

export function positionOf(key: string): number {
  return Number(key.slice(-positionDigits))
}

/** The position in the key of a piece. */
export function piecePositionOf(keys: Keys, key: string): number {
  return Number(key.slice(keys.piecePrefix.length, keys.piecePrefix.length + positionDigits))
}

/** An entry as it is stored. */
export type Stored = {
  readonly position: number
  readonly epoch: number
  /** Bytes of all entries ever appended, up to and with this one. */
  readonly total: number
  readonly content: { readonly bytes: Uint8Array } | Pieces
}

export type Pieces = { readonly sha256: string; readonly byteLength: number; readonly count: number }

export function encodeEntry(epoch: number, total: number, content: Stored['content']): Buffer {
  const header = Buffer.alloc(headerBytes)
  header[0] = entryFormat
  header[1] = 'bytes' in content ? 0 : inPieces
  header.writeBigUInt64BE(BigInt(epoch), 2)
  header.writeBigUInt64BE(BigInt(total), 10)
  return Buffer.concat([header, 'bytes' in content ? content.bytes : Buffer.from(JSON.stringify(content))])
}

export function decodeEntry({ key, value }: KeyValue): Stored {
  assert(value.length >= headerBytes && value[0] === entryFormat, `${key} in etcd is no log entry of a known format`)
  const rest = value.subarray(headerBytes)
  return {
    position: positionOf(key),
    epoch: Number(value.readBigUInt64BE(2)),
    total: Number(value.readBigUInt64BE(10)),
    content: value[1] === inPieces ? (JSON.parse(rest.toString('utf8')) as Pieces) : { bytes: new Uint8Array(rest) },
  }
}

export function sizeOf(content: Stored['content']): number {
  return 'bytes' in content ? content.bytes.length : content.byteLength
}

export function cut(bytes: Uint8Array): Uint8Array[] {
  const count = Math.ceil(bytes.length / pieceBytes)
  return Array.from({ length: count }, (_, index) => bytes.subarray(index * pieceBytes, (index + 1) * pieceBytes))
}

export function sha256Of(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}

/** The value of `head` and `trimmed`: a position and a count of bytes. */
export type Mark = { readonly position: number; readonly total: number; readonly revision: number }

export function encodeMark(position: number, total: number): Buffer {
  return Buffer.from(JSON.stringify({ position, total }))
}

export function decodeMark(keyValue: KeyValue | undefined, absent: number): Mark {
  if (keyValue === undefined) return { position: absent, total: 0, revision: 0 }
  const { position, total } = JSON.parse(keyValue.value.toString('utf8')) as { position: number; total: number }
  return { position, total, revision: keyValue.modRevision }
}

export function encodeLeader(owner: string, nonce: string, base: number): Buffer {
  return Buffer.from(JSON.stringify({ owner, nonce, ...(base === 0 ? {} : { base }) }))
}

export type Leader = {
  readonly epoch: number
  readonly owner: string
  readonly nonce: string
  /** Epoch less revision: a log that came from elsewhere goes on above the epochs it had there. */
  readonly base: number
}

export function decodeLeader(keyValue: KeyValue | undefined): Leader {
  if (keyValue === undefined) return { epoch: 0, owner: '', nonce: '', base: 0 }
  const value = JSON.parse(keyValue.value.toString('utf8')) as { owner: string; nonce: string; base?: number }
  const { owner, nonce, base = 0 } = value
  return { epoch: keyValue.modRevision + base, owner, nonce, base }
}
