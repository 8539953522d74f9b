/**
 * The log of a cluster, in etcd: `openEtcdLog` gives a SharedLog whose parts are the files beside this
 * one. Every failure leaves here as a MusterError; log_failed means unknown unless its text says
 * otherwise. Leaves out deciding who leads, and repeating what may have been written: both are the
 * caller's.
 */
import { MusterError } from '../../protocol/errors.ts'
import { assert } from '../../stdx/assert.ts'
import { deposed } from '../append-rules.ts'
import type {
  AppendResult,
  EngineStatus,
  Head,
  Leadership,
  MemberCard,
  ReadResult,
  SharedLog,
  Snapshot,
  TailHandlers,
} from '../log.ts'
import { importing, readView } from './access.ts'
import type { Access, View } from './access.ts'
import { asMusterError, CallError } from './call-error.ts'
import { EtcdClient } from './client.ts'
import { readEngineStatus } from './engine-status.ts'
import { layKeys } from './layout.ts'
import { EtcdMembership } from './membership.ts'
import { status, txn } from './messages.ts'
import { readEntries } from './reading.ts'
import { EtcdSnapshots } from './snapshots.ts'
import type { SnapshotBlobs } from './snapshots.ts'
import { EtcdTail } from './tail.ts'
import { trimEntries } from './trimming.ts'
import type { EtcdAddress, EtcdCredentials } from './url.ts'
import { EtcdWriter } from './writer.ts'

export type EtcdLogOptions = {
  /** From `parseEtcdUrl`. */
  readonly address: EtcdAddress
  readonly credentials?: EtcdCredentials
  /** Where the bytes of snapshots are kept; every coordinator of the cluster needs to get them there. */
  readonly blobs: SnapshotBlobs
  /** Live bytes at which the log counts as full; default 256 MiB. */
  readonly budgetBytes?: number
  /** How long an append or a claim may take until its outcome counts as unknown; default 150. Large appends get more. */
  readonly appendTimeoutMs?: number
  /** How long a read is tried, at one endpoint after the other; default 5000. */
  readonly readTimeoutMs?: number
  /** How long the others see this member after its process has died; default 5. */
  readonly memberTtlSeconds?: number
  /** Told what went wrong and was survived. Default: a process warning. */
  readonly onWarning?: (text: string) => void
}

const defaultBudgetBytes = 256 * 1024 * 1024
const readTryMs = 150

/** Rejects with MusterError when etcd can't be reached, is too old, or refuses the user. */
export async function openEtcdLog(options: EtcdLogOptions): Promise<EtcdLog> {
  const client = await EtcdClient.create(options.address, options.credentials ?? {})
  const access: Access = {
    client,
    keys: layKeys(options.address.prefix),
    reads: client.lane(),
    patience: { tryMs: readTryMs, totalMs: options.readTimeoutMs ?? 5000 },
    warn: options.onWarning ?? ((text) => process.emitWarning(text)),
  }
  const log = new EtcdLog(access, options)
  try {
    await log.check()
    return log
  } catch (error) {
    await log[Symbol.asyncDispose]()
    throw error
  }
}

function unreachableHint(text: string): string {
  if (/before secure TLS|wrong version number|packet length too long/.test(text))
    return 'Does etcd speak TLS at this address? Without TLS its address begins with etcd://, not etcds://.'
  if (/certificate|SSL|TLS/.test(text))
    return 'Check the certificates: --etcd-ca (MUSTER_ETCD_CA) names the authority of etcd, --etcd-cert and --etcd-key our own.'
  return 'Check the address, and that etcd is running and can be reached from here; if it speaks TLS, write etcds://.'
}

export class EtcdLog implements SharedLog {
  readonly #access: Access
  readonly #budgetBytes: number
  readonly #writer: EtcdWriter
  readonly #snapshots: EtcdSnapshots
  readonly #membership: EtcdMembership
  readonly #tails = new Set<EtcdTail>()
  /** Position of a snapshot that is known to verify; what trim goes by. */
  #verifiedPosition = 0
  #closed = false

  /** For `openEtcdLog`. */
  constructor(access: Access, options: EtcdLogOptions) {
    const { client } = access
    this.#access = access
    this.#budgetBytes = options.budgetBytes ?? defaultBudgetBytes
    this.#writer = new EtcdWriter(access, client.lane(), options.appendTimeoutMs ?? 150)
    this.#snapshots = new EtcdSnapshots(access, options.blobs)
    this.#membership = new EtcdMembership(access, client.lane(), options.memberTtlSeconds ?? 5)
  }

  get fill(): number {
    const view = this.#writer.view
    return view === undefined ? 0 : liveBytes(view) / this.#budgetBytes
  }

  /** That etcd answers, is new enough, and lets us in. */
  check(): Promise<void> {
    return this.#attempt('open the log', async () => {
      const { reads, patience } = this.#access
      const { version } = await reads.repeat(status, undefined, patience).catch((error: unknown) => {
        if (!(error instanceof CallError) || error.outcome === 'refused') throw error
        const where = this.#access.client.endpoints.join(', ')
        throw new MusterError('log_failed', `Cannot reach etcd at ${where}: ${error.message}`, {
          hint: unreachableHint(error.message),
          cause: error,
        })
      })
      const [major = 0, minor = 0] = version.split('.').map(Number)
      if (major < 3 || (major === 3 && minor < 5)) {
        throw new MusterError('config_invalid', `Muster needs etcd 3.5 or newer, and this one is ${version}`, {
          hint: 'Upgrade etcd; older ones can lose events and corrupt data.',
        })
      }
      await this.#writer.connect()
      const mark = { type: 'range', key: this.#access.keys.importing } as const
      const { responses } = await reads.repeat(txn, { success: [mark] }, patience)
      if (responses[0]!.length > 0) throw importing()
    })
  }

  claim(owner: string): Promise<Head> {
    return this.#attempt('claim the log', async () => headOf(await this.#writer.claim(owner)))
  }

  claimFrom(epoch: number, owner: string): Promise<Head | undefined> {
    return this.#attempt('claim the log', async () => {
      const view = await this.#writer.claimFrom(epoch, owner)
      return view && headOf(view)
    })
  }

  append(epoch: number, position: number, bytes: Uint8Array): Promise<AppendResult> {
    return this.#attempt(`append entry ${position}`, () => this.#writer.append(epoch, position, bytes))
  }

  read(from: number, maxBytes: number): Promise<ReadResult> {
    return this.#attempt('read the log', () => readEntries(this.#access, from, maxBytes))
  }

  head(): Promise<Head> {
    return this.#attempt('read where the log ends', async () => headOf(await this.#look()))
  }

  leadership(): Promise<Leadership> {
    return this.#attempt('read who leads', async () => {
      const { epoch, owner } = (await this.#look()).leader
      return { epoch, owner }
    })
  }

  putSnapshot(epoch: number, snapshot: Snapshot): Promise<void> {
    return this.#attempt('store a snapshot', async () => {
      const { leader, head } = await this.#look()
      if (leader.epoch !== epoch) throw deposed('store a snapshot', epoch, leader.epoch)
      assert(
        snapshot.position <= head.position,
        `snapshot at ${snapshot.position} is above the log's head ${head.position}`,
      )
      await this.#snapshots.put(epoch, leader.base, snapshot)
      this.#verifiedPosition = Math.max(this.#verifiedPosition, snapshot.position)
    })
  }

  getSnapshot(): Promise<Snapshot | undefined> {
    return this.#attempt('read the newest snapshot', async () => {
      const snapshot = await this.#snapshots.newest()
      this.#verifiedPosition = snapshot?.position ?? 0
      return snapshot
    })
  }

  namedBlobs(): Promise<readonly string[]> {
    return this.#attempt('list the snapshots', () => this.#snapshots.blobKeys())
  }

  trim(below: number): Promise<void> {
    return this.#attempt('trim the log', async () => {
      // Another coordinator may have stored a newer one since.
      if (below > this.#verifiedPosition + 1) {
        this.#verifiedPosition = (await this.#snapshots.newest())?.position ?? 0
      }
      assert(
        below <= this.#verifiedPosition + 1,
        `trim below ${below}: the newest snapshot is at ${this.#verifiedPosition}`,
      )
      this.#writer.note(await trimEntries(this.#access, below))
    })
  }

  sizeBytes(): Promise<number> {
    return this.#attempt('measure the log', async () => {
      const [view, snapshots] = await Promise.all([this.#look(), this.#snapshots.sizeBytes()])
      return liveBytes(view) + snapshots
    })
  }

  tail(from: number, handlers: TailHandlers): () => void {
    if (this.#closed) throw closedError()
    const lane = this.#access.client.lane()
    const tail = new EtcdTail(this.#access, lane, from, handlers, (head) => this.#writer.noteHead(head))
    this.#tails.add(tail)
    void tail.run()
    return () => {
      tail.stop()
      this.#tails.delete(tail)
    }
  }

  announce(card: MemberCard): Promise<void> {
    return this.#attempt('announce this coordinator', () => this.#membership.announce(card))
  }

  members(): Promise<readonly MemberCard[]> {
    return this.#attempt('list the coordinators', () => this.#membership.members())
  }

  record(name: string, make: () => string): Promise<string> {
    return this.#attempt(`read or write the record ${name}`, async () => {
      assert(/^[A-Za-z0-9._-]+$/.test(name), `'${name}' is no name for a record`)
      const { reads, keys, patience } = this.#access
      const [key, range] = [keys.record(name), { type: 'range', key: keys.record(name) } as const]
      const { responses } = await reads.repeat(txn, { success: [range] }, patience)
      const there = responses[0]?.[0]
      if (there !== undefined) return there.value.toString('utf8')
      const value = Buffer.from(make())
      const written = await reads.repeat(
        txn,
        {
          compare: [{ key, target: 'create', revision: 0 }],
          success: [{ type: 'put', key, value }, range],
          failure: [range],
        },
        patience,
      )
      return written.responses.at(-1)![0]!.value.toString('utf8')
    })
  }

  engine(): Promise<EngineStatus> {
    return this.#attempt('ask etcd how it is', () => readEngineStatus(this.#access))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    for (const tail of this.#tails) tail.stop()
    await this.#membership.close()
    this.#access.client.close()
  }

  async #look(): Promise<View> {
    return this.#writer.note(await readView(this.#access))
  }

  async #attempt<T>(action: string, body: () => Promise<T>): Promise<T> {
    if (this.#closed) throw closedError()
    try {
      return await body()
    } catch (error) {
      throw asMusterError(error, action)
    }
  }
}

function headOf({ head, leader, trimmed }: View): Head {
  return { position: head.position, epoch: leader.epoch, firstPosition: trimmed.position }
}

function liveBytes({ head, trimmed }: View): number {
  return head.total - trimmed.total
}

function closedError(): MusterError {
  return new MusterError('log_failed', 'The log is closed')
}
