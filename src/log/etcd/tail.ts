/**
 * The tail of the log as a watch. Only ever a hint: it starts from a fresh look at the log, at the
 * revision after that look, and so does every new connection; the follower is told `resumed` and
 * reads what it lacks by range. So nothing is lost to compaction, to a server that lags, or to a response
 * whose revision runs ahead of its events; and a watcher is never in etcd's slow catch-up queue.
 *
 * A silent stream is found by asking for progress: a member that is cut off or stopped doesn't answer.
 * Entries in pieces are not fetched here: they too are told as `resumed`.
 */
import { setTimeout as delay } from 'node:timers/promises'
import type { Entry, TailHandlers } from '../log.ts'
import { decodeView, viewOperations } from './access.ts'
import type { Access, View } from './access.ts'
import type { Lane } from './client.ts'
import { below, decodeEntry, decodeLeader } from './layout.ts'
import type { Leader, Mark } from './layout.ts'
import { txn, watch } from './messages.ts'
import type { KeyValue, WatchRequest } from './messages.ts'

const entriesWatch = 1
const leaderWatch = 2
const askEveryMs = 250
/** Rounds of asking without any answer until the stream is given up; not a time, so that an own pause counts as one. */
const silentRoundsMax = 3
const backoffMs = 50

export class EtcdTail {
  readonly #access: Access
  readonly #lane: Lane
  readonly #handlers: TailHandlers
  readonly #noteHead: (head: Mark) => void
  /** The first position that the follower may lack. */
  #next: number
  #epoch = 0
  #stopped = false
  #hangUp = (): void => {}

  constructor(access: Access, lane: Lane, from: number, handlers: TailHandlers, noteHead: (head: Mark) => void) {
    this.#access = access
    this.#lane = lane
    this.#next = from
    this.#handlers = handlers
    this.#noteHead = noteHead
  }

  /** Until stopped; whatever fails is tried again, at the next endpoint. */
  async run(): Promise<void> {
    for (let connection = 1; !this.#stopped && !this.#access.client.closed; connection += 1) {
      try {
        const view = await this.#look()
        if (this.#stopped) return
        this.#claimed(view.leader)
        this.#noteHead(view.head)
        if (connection > 1 || view.head.position >= this.#next) this.#missed(view.head.position)
        await this.#watch(view.revision + 1)
      } catch (error) {
        // The follower is no worse off than before, and whoever appends meets the same trouble.
        if (!(error instanceof Error)) throw error
      }
      await delay(backoffMs)
    }
    this.#lane.close()
  }

  stop(): void {
    this.#stopped = true
    this.#hangUp()
  }

  async #look(): Promise<View> {
    const operations = viewOperations(this.#access.keys)
    const { revision, responses } = await this.#lane.repeat(txn, { success: operations }, this.#access.patience)
    return decodeView(revision, responses)
  }

  /** Resolves when this connection is of no more use. */
  async #watch(startRevision: number): Promise<void> {
    const { keys } = this.#access
    const { call, endpoint } = await this.#lane.stream(watch)
    const ended = Promise.withResolvers<void>()
    let silentRounds = 0
    call.on('data', (response: ReturnType<typeof watch.decode>) => {
      silentRounds = 0
      if (this.#stopped) return
      if (response.canceled) ended.resolve()
      else if (response.watchId === entriesWatch) this.#entries(response.puts)
      else if (response.watchId === leaderWatch) for (const put of response.puts) this.#claimed(decodeLeader(put))
    })
    call.once('end', ended.resolve)
    call.on('error', () => ended.resolve())
    const asking = setInterval(() => {
      silentRounds += 1
      if (silentRounds > silentRoundsMax) ended.resolve()
      else call.write({ type: 'progress' } satisfies WatchRequest)
    }, askEveryMs)
    this.#hangUp = ended.resolve
    try {
      const entries = below(keys.entryPrefix)
      call.write({ type: 'create', key: entries.key, end: entries.end, startRevision, watchId: entriesWatch })
      call.write({ type: 'create', key: keys.leader, startRevision, watchId: leaderWatch })
      if (this.#stopped) return
      await ended.promise
    } finally {
      clearInterval(asking)
      call.cancel()
      this.#lane.leave(endpoint)
    }
  }

  #entries(puts: readonly KeyValue[]): void {
    let batch: Entry[] = []
    const deliver = (): void => {
      if (batch.length > 0) this.#handlers.entries(batch)
      batch = []
    }
    for (const put of puts) {
      const { position, epoch, total, content } = decodeEntry(put)
      this.#noteHead({ position, total, revision: put.modRevision })
      if ('bytes' in content) {
        batch.push({ position, epoch, bytes: content.bytes })
        this.#next = Math.max(this.#next, position + 1)
      } else {
        deliver()
        this.#missed(position)
      }
    }
    deliver()
  }

  #missed(upTo: number): void {
    this.#next = Math.max(this.#next, upTo + 1)
    this.#handlers.resumed()
  }

  #claimed({ epoch, owner }: Leader): void {
    if (epoch <= this.#epoch) return
    this.#epoch = epoch
    this.#handlers.claimed({ epoch, owner })
  }
}
