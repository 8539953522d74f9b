/**
 * The shared log in memory: several handles on one medium, as coordinators on one etcd, for tests of
 * clusters that need no etcd. A handle's link to the medium can be cut, or lose every answer after the
 * request was carried out, which is what an unknown outcome is.
 * Leaves out durability, and time: a member whose link is cut is gone from the list at once.
 */
import { MusterError } from '../protocol/errors.ts'
import type {
  AppendResult,
  EngineStatus,
  Entry,
  Head,
  Leadership,
  MemberCard,
  ReadResult,
  SharedLog,
  Snapshot,
  TailHandlers,
} from './log.ts'
import { MemoryLog, MemoryMedium } from './memory.ts'

/** unanswered: requests arrive and are carried out, answers don't come back; down: nothing arrives. */
export type Link = 'up' | 'unanswered' | 'down'

const defaultBudgetBytes = 256 * 1024 * 1024

export class MemorySharedMedium extends MemoryMedium {
  readonly budgetBytes: number
  owner = ''
  /** Recognises a claim whose answer was lost. */
  nonce: string | undefined
  readonly records = new Map<string, string>()
  readonly handles = new Set<MemorySharedLog>()

  constructor(budgetBytes = defaultBudgetBytes) {
    super()
    this.budgetBytes = budgetBytes
  }

  get liveBytes(): number {
    return this.entries.reduce((sum, entry) => sum + entry.bytes.length, 0)
  }
}

export class MemorySharedLog implements SharedLog {
  readonly #medium: MemorySharedMedium
  readonly #log: MemoryLog
  readonly #tails = new Set<TailHandlers>()
  #link: Link = 'up'
  #card: MemberCard | undefined
  #closed = false

  constructor(medium: MemorySharedMedium = new MemorySharedMedium()) {
    this.#medium = medium
    this.#log = new MemoryLog(medium)
    medium.handles.add(this)
  }

  get link(): Link {
    return this.#link
  }

  set link(link: Link) {
    const back = this.#link !== 'up' && link === 'up'
    this.#link = link
    if (back) this.#tell((tail) => tail.resumed())
  }

  /** What the others see of this member. */
  get card(): MemberCard | undefined {
    return this.#closed || this.#link === 'down' ? undefined : this.#card
  }

  get fill(): number {
    return this.#medium.liveBytes / this.#medium.budgetBytes
  }

  claim(owner: string): Promise<Head> {
    return this.#ask(() => this.#take(owner, undefined))
  }

  claimFrom(epoch: number, owner: string): Promise<Head | undefined> {
    return this.#ask(async () => {
      const nonce = `${[...this.#medium.handles].indexOf(this)}:${epoch}`
      if (this.#medium.nonce === nonce) return this.#log.head()
      return this.#medium.epoch === epoch ? this.#take(owner, nonce) : undefined
    })
  }

  append(epoch: number, position: number, bytes: Uint8Array): Promise<AppendResult> {
    return this.#ask(async () => {
      const before = this.#medium.lastPosition
      const result = await this.#log.append(epoch, position, bytes)
      const entry = this.#medium.at(position)
      if (this.#medium.lastPosition > before && entry !== undefined) this.#publish((tail) => tail.entries([entry]))
      return result
    })
  }

  read(from: number, maxBytes: number): Promise<ReadResult> {
    return this.#ask(() => this.#log.read(from, maxBytes))
  }

  head(): Promise<Head> {
    return this.#ask(() => this.#log.head())
  }

  leadership(): Promise<Leadership> {
    return this.#ask(async () => this.#leadership())
  }

  putSnapshot(epoch: number, snapshot: Snapshot): Promise<void> {
    return this.#ask(() => this.#log.putSnapshot(epoch, snapshot))
  }

  getSnapshot(): Promise<Snapshot | undefined> {
    return this.#ask(() => this.#log.getSnapshot())
  }

  trim(below: number): Promise<void> {
    return this.#ask(() => this.#log.trim(below))
  }

  sizeBytes(): Promise<number> {
    return this.#ask(() => this.#log.sizeBytes())
  }

  tail(from: number, handlers: TailHandlers): () => void {
    // An object of its own: the same handlers may be given twice.
    const tail: TailHandlers = {
      entries: (entries: readonly Entry[]) => handlers.entries(entries),
      claimed: (leadership) => handlers.claimed(leadership),
      resumed: () => handlers.resumed(),
    }
    this.#tails.add(tail)
    queueMicrotask(() => {
      if (!this.#tails.has(tail) || this.#link !== 'up') return
      if (this.#medium.epoch > 0) tail.claimed(this.#leadership())
      if (this.#medium.lastPosition >= from) tail.resumed()
    })
    return () => void this.#tails.delete(tail)
  }

  announce(card: MemberCard): Promise<void> {
    return this.#ask(async () => {
      this.#card = card
    })
  }

  namedBlobs(): Promise<readonly string[]> {
    return this.#ask(async () => [])
  }

  members(): Promise<readonly MemberCard[]> {
    return this.#ask(async () => [...this.#medium.handles].flatMap((handle) => handle.card ?? []))
  }

  record(name: string, make: () => string): Promise<string> {
    return this.#ask(async () => {
      const value = this.#medium.records.get(name) ?? make()
      this.#medium.records.set(name, value)
      return value
    })
  }

  engine(): Promise<EngineStatus> {
    const member = { name: 'memory', endpoint: 'memory', healthy: true, leader: true }
    return this.#ask(async () => ({ kind: 'memory', members: [member], problems: [] }))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true
    this.#tails.clear()
    await this.#log[Symbol.asyncDispose]()
  }

  #leadership(): Leadership {
    return { epoch: this.#medium.epoch, owner: this.#medium.owner }
  }

  async #take(owner: string, nonce: string | undefined): Promise<Head> {
    const head = await this.#log.claim(owner)
    this.#medium.owner = owner
    this.#medium.nonce = nonce
    const leadership = this.#leadership()
    this.#publish((tail) => tail.claimed(leadership))
    return head
  }

  async #ask<T>(body: () => Promise<T>): Promise<T> {
    if (this.#closed) throw new MusterError('log_failed', 'The log is closed')
    if (this.#link === 'down') throw new MusterError('log_failed', 'The log cannot be reached')
    const answer = await body()
    if (this.link !== 'up') throw new MusterError('log_failed', 'The log did not answer; the outcome is unknown')
    return answer
  }

  /** To every handle's tails, after the caller has had its turn. */
  #publish(event: (tail: TailHandlers) => void): void {
    for (const handle of this.#medium.handles) handle.#tell(event)
  }

  #tell(event: (tail: TailHandlers) => void): void {
    if (this.#link !== 'up') return
    for (const tail of this.#tails) {
      queueMicrotask(() => {
        if (this.#tails.has(tail) && this.#link === 'up') event(tail)
      })
    }
  }
}
