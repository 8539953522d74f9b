/**
 * The messages and methods of etcd's API (v3) that the log uses, with the field numbers of etcd's own
 * rpc.proto and kv.proto. Every read and write of keys goes through `txn`: without compares it
 * is a linearizable read or an unconditional write. Leaves out every field that is not used.
 */
import { bytes, fields, nested, varint } from './wire.ts'
import type { Field } from './wire.ts'

export type Method<Q, R> = {
  readonly path: string
  readonly encode: (request: Q) => Buffer
  readonly decode: (response: Buffer) => R
}

export type KeyValue = {
  readonly key: string
  readonly value: Buffer
  readonly createRevision: number
  readonly modRevision: number
}

export type Range = {
  readonly type: 'range'
  readonly key: string
  /** The first key that is no longer meant; without it only `key` is. */
  readonly end?: string
  readonly limit?: number
  readonly keysOnly?: boolean
}
export type Put = { readonly type: 'put'; readonly key: string; readonly value: Uint8Array; readonly lease?: bigint }
export type Delete = { readonly type: 'delete'; readonly key: string; readonly end?: string }
export type Operation = Range | Put | Delete

/** The named revision of the key equals this; 0 when there is no such key. */
export type Compare = { readonly key: string; readonly target: 'create' | 'mod'; readonly revision: number }

export type TxnRequest = {
  readonly compare?: readonly Compare[]
  readonly success: readonly Operation[]
  readonly failure?: readonly Operation[]
}
export type TxnResponse = {
  readonly revision: number
  readonly succeeded: boolean
  /** One per operation; empty for a put or delete. */
  readonly responses: readonly (readonly KeyValue[])[]
}

export type WatchRequest =
  | {
      readonly type: 'create'
      readonly key: string
      readonly end?: string
      readonly startRevision: number
      readonly watchId: number
    }
  | { readonly type: 'progress' }
export type WatchResponse = {
  readonly watchId: number
  readonly created: boolean
  readonly canceled: boolean
  readonly compactRevision: number
  readonly reason: string
  /** What was put; deletions are left out by the server. */
  readonly puts: readonly KeyValue[]
}

export type StatusResponse = {
  readonly memberId: bigint
  readonly version: string
  readonly dbBytes: number
  readonly leader: bigint
  readonly errors: readonly string[]
  /** 0 before etcd 3.6. */
  readonly quotaBytes: number
}

export type Alarm = { readonly memberId: bigint; readonly kind: 'nospace' | 'corrupt' | 'other' }
export type EtcdMemberInfo = { readonly id: bigint; readonly name: string; readonly clientUrls: readonly string[] }

const compareTargets = { create: 1, mod: 2 } as const
const compareUnionFields = { create: 5, mod: 6 } as const
const noDeletes = 1

function encodeRange(range: Range): Buffer[] {
  return [
    ...bytes(1, range.key),
    ...bytes(2, range.end ?? ''),
    ...varint(3, range.limit ?? 0),
    ...varint(8, range.keysOnly ?? false),
  ]
}

function encodeOperation(operation: Operation): Buffer[] {
  switch (operation.type) {
    case 'range':
      return nested(1, encodeRange(operation))
    case 'put': {
      const { key, value, lease } = operation
      return nested(2, [...bytes(1, key), ...bytes(2, value), ...varint(3, lease ?? 0n)])
    }
    case 'delete':
      return nested(3, [...bytes(1, operation.key), ...bytes(2, operation.end ?? '')])
  }
}

function encodeCompare(compare: Compare): Buffer[] {
  // Result EQUAL is 0. The revision's own 0 is the absence of the field too: etcd reads it as 0.
  const target = varint(2, compareTargets[compare.target])
  return [...target, ...bytes(3, compare.key), ...varint(compareUnionFields[compare.target], compare.revision)]
}

function decodeKeyValue(message: Buffer): KeyValue {
  let [key, createRevision, modRevision] = ['', 0, 0]
  let value: Buffer = Buffer.alloc(0)
  for (const field of fields(message)) {
    if (field.no === 1) key = field.text
    else if (field.no === 2) createRevision = field.number
    else if (field.no === 3) modRevision = field.number
    else if (field.no === 5) value = field.bytes
  }
  return { key, value, createRevision, modRevision }
}

function decodeRange(message: Buffer): KeyValue[] {
  return all(message, 2).map((field) => decodeKeyValue(field.bytes))
}

function all(message: Buffer, no: number): Field[] {
  return [...fields(message)].filter((field) => field.no === no)
}

function first(message: Buffer, no: number): Field | undefined {
  return fields(message).find((field) => field.no === no)
}

/** Of the header that every response has as its first field. */
function headerField(message: Buffer, no: number): Field | undefined {
  const header = first(message, 1)
  return header && first(header.bytes, no)
}

const revision = (message: Buffer): number => headerField(message, 3)?.number ?? 0

export const txn: Method<TxnRequest, TxnResponse> = {
  path: '/etcdserverpb.KV/Txn',
  encode: ({ compare = [], success, failure = [] }) =>
    Buffer.concat([
      ...compare.flatMap((one) => nested(1, encodeCompare(one))),
      ...success.flatMap((one) => nested(2, encodeOperation(one))),
      ...failure.flatMap((one) => nested(3, encodeOperation(one))),
    ]),
  decode: (message) => ({
    revision: revision(message),
    succeeded: first(message, 2)?.boolean ?? false,
    responses: all(message, 3).map(({ bytes: response }) => {
      const range = first(response, 1)
      return range === undefined ? [] : decodeRange(range.bytes)
    }),
  }),
}

export const compact: Method<number, undefined> = {
  path: '/etcdserverpb.KV/Compact',
  encode: (upTo) => Buffer.concat(varint(1, upTo)),
  decode: () => undefined,
}

export const watch: Method<WatchRequest, WatchResponse> = {
  path: '/etcdserverpb.Watch/Watch',
  encode: (request) =>
    Buffer.concat(
      request.type === 'progress'
        ? nested(3, [])
        : nested(1, [
            ...bytes(1, request.key),
            ...bytes(2, request.end ?? ''),
            ...varint(3, request.startRevision),
            ...varint(5, noDeletes),
            ...varint(7, request.watchId),
            // Without fragments one message may grow beyond any limit.
            ...varint(8, true),
          ]),
    ),
  decode: (message) => ({
    watchId: first(message, 2)?.number ?? 0,
    created: first(message, 3)?.boolean ?? false,
    canceled: first(message, 4)?.boolean ?? false,
    compactRevision: first(message, 5)?.number ?? 0,
    reason: first(message, 6)?.text ?? '',
    puts: all(message, 11).flatMap(({ bytes: event }) => {
      const keyValue = first(event, 2)
      return keyValue === undefined ? [] : [decodeKeyValue(keyValue.bytes)]
    }),
  }),
}

/** From a lifetime in seconds to the lease's id. */
export const leaseGrant: Method<number, bigint> = {
  path: '/etcdserverpb.Lease/LeaseGrant',
  encode: (seconds) => Buffer.concat(varint(1, seconds)),
  decode: (message) => first(message, 2)?.big ?? 0n,
}

export const leaseRevoke: Method<bigint, undefined> = {
  path: '/etcdserverpb.Lease/LeaseRevoke',
  encode: (id) => Buffer.concat(varint(1, id)),
  decode: () => undefined,
}

/** From the lease's id to the seconds it has left: 0 when it is gone. A stream. */
export const leaseKeepAlive: Method<bigint, number> = {
  path: '/etcdserverpb.Lease/LeaseKeepAlive',
  encode: (id) => Buffer.concat(varint(1, id)),
  decode: (message) => first(message, 3)?.number ?? 0,
}

export const authenticate: Method<{ readonly user: string; readonly password: string }, string> = {
  path: '/etcdserverpb.Auth/Authenticate',
  encode: ({ user, password }) => Buffer.concat([...bytes(1, user), ...bytes(2, password)]),
  decode: (message) => first(message, 2)?.text ?? '',
}

export const status: Method<undefined, StatusResponse> = {
  path: '/etcdserverpb.Maintenance/Status',
  encode: () => Buffer.alloc(0),
  decode: (message) => ({
    memberId: headerField(message, 2)?.big ?? 0n,
    version: first(message, 2)?.text ?? '',
    dbBytes: first(message, 3)?.number ?? 0,
    leader: first(message, 4)?.big ?? 0n,
    errors: all(message, 8).map((field) => field.text),
    quotaBytes: first(message, 12)?.number ?? 0,
  }),
}

export const alarms: Method<undefined, readonly Alarm[]> = {
  path: '/etcdserverpb.Maintenance/Alarm',
  // Action GET is 0.
  encode: () => Buffer.alloc(0),
  decode: (message) =>
    all(message, 2).map(({ bytes: alarm }) => {
      const kind = first(alarm, 2)?.number
      return { memberId: first(alarm, 1)?.big ?? 0n, kind: kind === 1 ? 'nospace' : kind === 2 ? 'corrupt' : 'other' }
    }),
}

export const memberList: Method<undefined, readonly EtcdMemberInfo[]> = {
  path: '/etcdserverpb.Cluster/MemberList',
  encode: () => Buffer.alloc(0),
  decode: (message) =>
    all(message, 2).map(({ bytes: member }) => ({
      id: first(member, 1)?.big ?? 0n,
      name: first(member, 2)?.text ?? '',
      clientUrls: all(member, 4).map((field) => field.text),
    })),
}
