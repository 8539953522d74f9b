/**
 * What every part of the etcd log shares: connections, keys, and the small view of the log (who
 * leads, where it ends, where it starts) that comes from one linearizable read.
 */
import { MusterError } from '../../protocol/errors.ts'
import type { EtcdClient, Lane, Patience } from './client.ts'
import { decodeLeader, decodeMark } from './layout.ts'
import type { Keys, Leader, Mark } from './layout.ts'
import { txn } from './messages.ts'
import type { KeyValue, Operation } from './messages.ts'

export type Access = {
  readonly client: EtcdClient
  readonly keys: Keys
  readonly reads: Lane
  readonly patience: Patience
  /** Told what was survived. */
  readonly warn: (text: string) => void
}

export type View = {
  readonly leader: Leader
  readonly head: Mark
  /** Its position is the first that is still there. */
  readonly trimmed: Mark
  /** Of the whole store when this was read. */
  readonly revision: number
}

export function viewOperations(keys: Keys): Operation[] {
  return [keys.leader, keys.head, keys.trimmed].map((key) => ({ type: 'range', key }))
}

export function decodeView(revision: number, responses: readonly (readonly KeyValue[])[]): View {
  const [leader = [], head = [], trimmed = []] = responses
  return {
    leader: decodeLeader(leader[0]),
    head: decodeMark(head[0], 0),
    trimmed: decodeMark(trimmed[0], 1),
    revision,
  }
}

export async function readView({ reads, keys, patience }: Access): Promise<View> {
  const { revision, responses } = await reads.repeat(txn, { success: viewOperations(keys) }, patience)
  return decodeView(revision, responses)
}

/** Nobody may lead a log of which only a part is there. */
export function importing(): MusterError {
  return new MusterError('conflict', 'An import into this prefix of etcd is under way, or was cut off', {
    hint: "Wait for it, or repeat 'muster log import'.",
  })
}
