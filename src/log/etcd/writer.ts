/**
 * Claims and appends, one after the other: etcd carries out concurrent requests in any order. An append
 * is one transaction: while the leader key has this epoch's revision and the head key is as last seen, put the
 * entry and the head. So a deposed writer, a taken position, a hole and a duplicate that arrives
 * late all fail the same compare, and the failure's answer says what is there instead, which
 * append-rules.ts judges as for every backend.
 *
 * Nothing that may have been carried out is sent twice here; that is the caller's to do.
 */
import { randomUUID } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import { judgeAppend, sameBytes } from '../append-rules.ts'
import type { AppendResult } from '../log.ts'
import { decodeView, importing, readView, viewOperations } from './access.ts'
import type { Access, View } from './access.ts'
import { CallError, code, isRefused } from './call-error.ts'
import type { Lane } from './client.ts'
import { cut, decodeEntry, encodeEntry, encodeLeader, encodeMark, pieceBytes, sha256Of } from './layout.ts'
import type { Mark, Stored } from './layout.ts'
import { txn } from './messages.ts'
import type { Compare, TxnRequest, TxnResponse } from './messages.ts'

const pauseMs = 15
/** What a slow network and disk take at least: the time that an append gets grows with its size. */
const bytesPerMs = 5000
/** Answers in a row that didn't come in time: so many, and it is no election and no member that is away; etcd is slow. */
const missesMax = 10
const doublingsMax = 5

export class EtcdWriter {
  readonly #access: Access
  readonly #lane: Lane
  readonly #appendTimeoutMs: number
  /** Makes a claim recognisable as this instance's own. */
  readonly #instance = randomUUID()
  #queue: Promise<unknown> = Promise.resolve()
  #misses = 0
  #view: View | undefined

  constructor(access: Access, lane: Lane, appendTimeoutMs: number) {
    this.#access = access
    this.#lane = lane
    this.#appendTimeoutMs = appendTimeoutMs
  }

  /** The newest that is known. */
  get view(): View | undefined {
    return this.#view
  }

  /** Keeps of each part the newer of what is known and what somebody has read; answers may overtake each other. */
  note(read: View): View {
    const known = this.#view ?? read
    this.#view = {
      leader: read.leader.epoch >= known.leader.epoch ? read.leader : known.leader,
      head: read.head.revision >= known.head.revision ? read.head : known.head,
      trimmed: read.trimmed.revision >= known.trimmed.revision ? read.trimmed : known.trimmed,
      revision: Math.max(read.revision, known.revision),
    }
    return read
  }

  noteHead(head: Mark): void {
    if (this.#view !== undefined && head.revision > this.#view.head.revision) this.#view = { ...this.#view, head }
  }

  /** Reads the view over the connection that appends will use, so that the first of them needn't wait for one. */
  async connect(): Promise<void> {
    const { keys, patience } = this.#access
    const { revision, responses } = await this.#lane.repeat(txn, { success: viewOperations(keys) }, patience)
    this.note(decodeView(revision, responses))
  }

  /** Claims from whatever epoch is current, until it has worked. */
  claim(owner: string): Promise<View> {
    return this.#inTurn(async () => {
      const end = performance.now() + this.#access.patience.totalMs
      let from: number | undefined
      for (;;) {
        try {
          from ??= this.note(await readView(this.#access)).leader.epoch
          const claimed = await this.#claimFrom(from, owner)
          if (claimed !== undefined) return claimed
          from = undefined
        } catch (error) {
          if (!(error instanceof CallError) || isRefused(error) || performance.now() > end) throw error
          await delay(pauseMs)
        }
      }
    })
  }

  claimFrom(epoch: number, owner: string): Promise<View | undefined> {
    return this.#inTurn(() => this.#claimFrom(epoch, owner))
  }

  append(epoch: number, position: number, bytes: Uint8Array): Promise<AppendResult> {
    return this.#inTurn(() => this.#append(epoch, position, bytes))
  }

  #inTurn<T>(body: () => Promise<T>): Promise<T> {
    const turn = this.#queue.then(() => this.#timed(body))
    // Whoever asked hears of the failure.
    this.#queue = turn.catch(() => {})
    return turn
  }

  /** Learns how long etcd takes: without that, one that is slow all the time would never be heard to answer. */
  async #timed<T>(body: () => Promise<T>): Promise<T> {
    const sinceMs = performance.now()
    try {
      const result = await body()
      const tookMs = performance.now() - sinceMs
      let doublings = Math.max(0, this.#misses - missesMax)
      while (doublings > 0 && 2 * tookMs < this.#appendTimeoutMs * 2 ** (doublings - 1)) doublings -= 1
      this.#misses = doublings === 0 ? 0 : missesMax + doublings
      return result
    } catch (error) {
      const late = error instanceof CallError && error.code === code.deadlineExceeded
      if (late) this.#misses = Math.min(this.#misses + 1, missesMax + doublingsMax)
      throw error
    }
  }

  async #claimFrom(epoch: number, owner: string): Promise<View | undefined> {
    const { keys } = this.#access
    const nonce = `${this.#instance}:${epoch}`
    const { base } = (this.#view ?? this.note(await readView(this.#access))).leader
    const request: TxnRequest = {
      compare: [
        { key: keys.leader, target: 'mod', revision: epoch - base },
        { key: keys.importing, target: 'create', revision: 0 },
      ],
      success: [{ type: 'put', key: keys.leader, value: encodeLeader(owner, nonce, base) }, ...viewOperations(keys)],
      failure: [...viewOperations(keys), { type: 'range', key: keys.importing }],
    }
    const { succeeded, revision, responses } = await this.#send(request, this.#deadline(0))
    if (!succeeded && (responses[3] ?? []).length > 0) throw importing()
    const view = this.note(decodeView(revision, succeeded ? responses.slice(1) : responses))
    return view.leader.nonce === nonce ? view : undefined
  }

  async #append(epoch: number, position: number, bytes: Uint8Array): Promise<AppendResult> {
    const deadline = this.#deadline(bytes.length)
    const content = describe(bytes)
    for (;;) {
      if (await this.#write(epoch, position, bytes, content, deadline)) return { type: 'ok' }
      const { view, held } = await this.#lookAt(position, deadline)
      const verdict = judgeAppend({
        epoch,
        position,
        currentEpoch: view.leader.epoch,
        lastPosition: view.head.position,
        held: held && { epoch: held.epoch, same: sameContent(held.content, content) },
      })
      if (verdict !== 'write') return verdict
    }
  }

  /** False when the log isn't as this instance believes; nothing was written then. */
  async #write(
    epoch: number,
    position: number,
    bytes: Uint8Array,
    content: Stored['content'],
    deadline: number,
  ): Promise<boolean> {
    const { keys } = this.#access
    const view = this.#view
    if (view === undefined || view.leader.epoch !== epoch || view.head.position + 1 !== position) return false
    const leads: Compare = { key: keys.leader, target: 'mod', revision: epoch - view.leader.base }
    if (!('bytes' in content)) {
      // Named by their content: what an append before this one has left is the same.
      for (const [index, value] of cut(bytes).entries()) {
        const put = { type: 'put', key: keys.piece(position, content.sha256, index), value } as const
        const { succeeded } = await this.#send({ compare: [leads], success: [put] }, deadline)
        if (!succeeded) return false
      }
    }
    const total = view.head.total + bytes.length
    const { succeeded, revision } = await this.#send(
      {
        compare: [
          leads,
          { key: keys.head, target: 'mod', revision: view.head.revision },
          { key: keys.entry(position), target: 'create', revision: 0 },
        ],
        success: [
          { type: 'put', key: keys.entry(position), value: encodeEntry(epoch, total, content) },
          { type: 'put', key: keys.head, value: encodeMark(position, total) },
        ],
      },
      deadline,
    )
    if (succeeded) this.noteHead({ position, total, revision })
    return succeeded
  }

  async #lookAt(position: number, deadline: number): Promise<{ view: View; held: Stored | undefined }> {
    const { keys } = this.#access
    const slot = { type: 'range', key: keys.entry(position) } as const
    const { revision, responses } = await this.#send({ success: [...viewOperations(keys), slot] }, deadline)
    const held = responses.at(-1)?.[0]
    // Not merged: what etcd says now is so, even where it has been restored to an earlier state.
    this.#view = decodeView(revision, responses)
    return { view: this.#view, held: held && decodeEntry(held) }
  }

  #deadline(byteLength: number): number {
    const patienceMs = this.#appendTimeoutMs * 2 ** Math.max(0, this.#misses - missesMax)
    return performance.now() + patienceMs + byteLength / bytesPerMs
  }

  /** Once; only what never left is sent again, to another endpoint. */
  async #send(request: TxnRequest, deadline: number): Promise<TxnResponse> {
    for (;;) {
      const leftMs = Math.ceil(deadline - performance.now())
      if (leftMs <= 0) throw new CallError(this.#lane.endpoint, code.deadlineExceeded, 'no time is left')
      try {
        return await this.#lane.call(txn, request, leftMs)
      } catch (error) {
        const unsent = error instanceof CallError && error.outcome === 'unsent'
        if (!unsent || performance.now() + pauseMs > deadline) throw error
        await delay(pauseMs)
      }
    }
  }
}

function describe(bytes: Uint8Array): Stored['content'] {
  if (bytes.length <= pieceBytes) return { bytes }
  return { sha256: sha256Of(bytes), byteLength: bytes.length, count: cut(bytes).length }
}

function sameContent(a: Stored['content'], b: Stored['content']): boolean {
  if ('bytes' in a && 'bytes' in b) return sameBytes(a.bytes, b.bytes)
  return !('bytes' in a) && !('bytes' in b) && a.sha256 === b.sha256
}
