/**
 * One process's way to the shared log: the real `LogPort`, with all that lies between. A request
 * takes effect some time after it was sent, or never, or twice; its answer may be lost; the deadline
 * may pass before either, and what was given up may still take effect later. The tail drops, delays
 * and repeats what it is only a hint of.
 */
import type { Entry, Head, Leadership, Snapshot } from '../../log/log.ts'
import type { AppendOutcome, LogPort } from '../../coordinator/ports.ts'
import type { Counters } from './counters.ts'
import type { LogStore } from './log-store.ts'
import type { Network } from './network.ts'
import type { SimProcess } from './process.ts'
import type { Random } from './random.ts'

/** Shares (0 to 1) of the requests that a fault concerns. */
export type LogTrouble = {
  lostRequest: number
  lostReply: number
  /** Takes effect only after so long, often when nobody waits any more. */
  late: number
  lateMs: number
  /** Takes effect once more, later. */
  duplicate: number
  /** Hints that never come. */
  lostHint: number
}

export const noTrouble: LogTrouble = {
  lostRequest: 0,
  lostReply: 0,
  late: 0,
  lateMs: 0,
  duplicate: 0,
  lostHint: 0,
}

const deadlineMs = 300
const logHost = 'log'

type Watch = {
  readonly handlers: Parameters<LogPort['tail']>[1]
  live: boolean
  /** Something could not be delivered: the stream has to be opened again. */
  broken: boolean
  lastUs: number
}

export class LogAccess implements LogPort {
  readonly trouble: LogTrouble = { ...noTrouble }
  readonly #process: SimProcess
  readonly #store: LogStore
  readonly #network: Network
  readonly #random: Random
  readonly #count: Counters
  readonly #watches = new Set<Watch>()
  /** There is no other coordinator: a claim is taken whatever the epoch was. */
  readonly #alone: boolean

  constructor(process: SimProcess, store: LogStore, network: Network, random: Random, count: Counters, alone: boolean) {
    this.#alone = alone
    this.#process = process
    this.#store = store
    this.#network = network
    this.#random = random
    this.#count = count
  }

  append(epoch: number, position: number, bytes: Uint8Array, done: (outcome: AppendOutcome) => void): void {
    const effect = (): AppendOutcome => {
      if (this.#store.full > 0) {
        this.#count.reached('append on a full disk')
        return { type: 'unknown', why: 'the log is out of space', code: 'disk_full' }
      }
      const result = this.#store.append(epoch, position, bytes, this.#process.name)
      if (result.type === 'fenced') this.#count.reached('append fenced')
      if (result.type === 'taken') this.#count.reached('position taken')
      if (result.type === 'ok' && result.repeat === true) {
        this.#count.reached('own append found written')
        return { type: 'ok' }
      }
      return result
    }
    this.#ask(effect, true, (outcome) => {
      if (outcome === undefined) this.#count.reached('append unknown')
      done(outcome ?? { type: 'unknown', why: 'no answer within its deadline', code: 'log_failed' })
    })
  }

  claim(fromEpoch: number, owner: string, done: Parameters<LogPort['claim']>[2]): void {
    const effect = (): Head | 'lost' | undefined => {
      if (this.#store.full > 0) return undefined
      const head = this.#alone ? this.#store.seize(owner, fromEpoch) : this.#store.claim(fromEpoch, owner)
      if (head === 'lost') this.#count.reached('claim lost')
      else if ('repeat' in head && head.repeat === true) this.#count.reached('own claim found made')
      return head
    }
    this.#ask(effect, true, done)
  }

  leadership(done: Parameters<LogPort['leadership']>[0]): void {
    this.#ask(() => this.#store.leadership(), false, done)
  }

  head(done: Parameters<LogPort['head']>[0]): void {
    this.#ask(() => this.#store.head(), false, done)
  }

  read(from: number, maxBytes: number, done: Parameters<LogPort['read']>[2]): void {
    const effect = () => {
      // Short answers now and then, so that reading on is met.
      const result = this.#store.read(from, this.#random.chance(0.1) ? 1 : maxBytes)
      if (result.type === 'trimmed') this.#count.reached('trimmed read')
      return result
    }
    this.#ask(effect, false, done)
  }

  snapshot(done: Parameters<LogPort['snapshot']>[0]): void {
    this.#ask(() => this.#store.snapshots.at(-1) ?? 'none', false, done)
  }

  putSnapshot(snapshot: Snapshot, done: (ok: boolean) => void): void {
    this.#ask(
      () => {
        if (this.#store.full > 0) return undefined
        this.#store.putSnapshot(snapshot)
        return true
      },
      true,
      (ok) => done(ok === true),
    )
  }

  trim(below: number, done: (ok: boolean) => void): void {
    this.#ask(
      () => {
        this.#store.trim(below)
        return true
      },
      true,
      (ok) => done(ok === true),
    )
  }

  /** Sends a request; `done` gets what it brought about, or undefined when nobody knows. */
  #ask<T>(effect: () => T | undefined, write: boolean, done: (answer: T | undefined) => void): void {
    if (this.#alone) return this.#askOwn(effect, write, done)
    let over = false
    const answer = (value: T | undefined) => {
      if (over) return
      over = true
      forget()
      done(value)
    }
    const forget = this.#process.clock.after(deadlineMs, () => answer(undefined))
    const { trouble } = this
    const random = this.#random
    if (random.chance(trouble.lostRequest)) return
    const late = random.chance(trouble.late)
    const travelMs = late ? trouble.lateMs * random.unit() : 0
    this.#network.timeline.after(travelMs + this.#oneWayMs(write), () => this.#arrive(effect, () => over, answer, 0))
    if (write && random.chance(trouble.duplicate)) {
      this.#network.timeline.after(random.delay(1, 300, 3000), () => {
        if (this.#store.away > 0) return
        this.#count.reached('request applied twice')
        effect()
      })
    }
  }

  /** The log on a disk of this host: slow at times, and an error doesn't say whether it was written; but nothing outlives the process. */
  #askOwn<T>(effect: () => T | undefined, write: boolean, done: (answer: T | undefined) => void): void {
    this.#process.clock.after(this.#oneWayMs(write), () => {
      if (this.#store.away > 0) return done(undefined)
      const value = effect()
      done(write && this.#random.chance(this.trouble.lostReply) ? undefined : value)
    })
  }

  #oneWayMs(write: boolean): number {
    const random = this.#random
    return random.delay(0.3, 0.6, 12) + (write && this.#store.slowMs > 0 ? this.#store.slowMs * random.unit() * 2 : 0)
  }

  #arrive<T>(
    effect: () => T | undefined,
    given: () => boolean,
    answer: (value: T | undefined) => void,
    waits: number,
  ): void {
    const { host } = this.#process
    const reachable = this.#network.isOpen(host.name, logHost) && this.#store.away === 0
    if (!reachable) {
      // It lies in some buffer or queue, and may still be carried out when the way is open again.
      if (waits < 40 && this.#random.chance(0.97)) {
        this.#network.timeline.after(50 + this.#random.unit() * 50, () =>
          this.#arrive(effect, given, answer, waits + 1),
        )
      }
      return
    }
    if (given()) this.#count.reached('request takes effect after its deadline')
    const value = effect()
    if (this.#random.chance(this.trouble.lostReply)) {
      this.#count.reached('reply lost')
      return
    }
    this.#network.timeline.after(this.#random.delay(0.2, 0.4, 8), () => {
      if (this.#network.isOpen(logHost, host.name)) this.#process.enter(() => answer(value))
    })
  }

  tail(from: number, handlers: Parameters<LogPort['tail']>[1]): () => void {
    const watch: Watch = { handlers, live: true, broken: true, lastUs: 0 }
    this.#watches.add(watch)
    this.#open(watch, () => this.#store.lastPosition >= from)
    return () => {
      watch.live = false
      this.#watches.delete(watch)
    }
  }

  /** The store has a new entry: what each watch is told of it. */
  written(entry: Entry): void {
    this.#hint((handlers) => handlers.entries([entry]))
  }

  claimed(leadership: Leadership): void {
    this.#hint((handlers) => handlers.claimed(leadership))
  }

  #hint(tell: (handlers: Watch['handlers']) => void): void {
    if (this.#process.dead) return
    for (const watch of this.#watches) this.#hintOne(watch, tell)
  }

  #hintOne(watch: Watch, tell: (handlers: Watch['handlers']) => void): void {
    const { timeline } = this.#network
    const random = this.#random
    if (watch.broken) return
    if (!this.#network.isOpen(logHost, this.#process.host.name) || this.#store.away > 0) {
      this.#break(watch)
      return
    }
    if (random.chance(this.trouble.lostHint)) {
      this.#count.reached('hint lost')
      return
    }
    watch.lastUs = Math.max(watch.lastUs, timeline.nowUs + Math.round(random.delay(0.5, 1.5, 60) * 1000))
    const deliver = () => this.#process.enter(() => watch.live && tell(watch.handlers))
    timeline.at(watch.lastUs, deliver)
    if (random.chance(this.trouble.lostHint / 2)) timeline.at(watch.lastUs + random.int(100, 300_000), deliver)
  }

  #break(watch: Watch): void {
    if (watch.broken) return
    watch.broken = true
    this.#count.reached('tail broken')
    this.#open(watch, () => true)
  }

  /** The stream opens once the log can be reached, and says who leads and whether something may have been missed. */
  #open(watch: Watch, missed: () => boolean): void {
    const { timeline } = this.#network
    const again = (): void => {
      if (!watch.live || this.#process.dead) return
      if (!this.#network.isOpen(logHost, this.#process.host.name) || this.#store.away > 0) {
        timeline.after(100 + this.#random.unit() * 100, again)
        return
      }
      watch.broken = false
      const leadership = this.#store.leadership()
      const resumes = missed()
      this.#process.enter(() => watch.live && watch.handlers.claimed(leadership))
      if (resumes) this.#process.enter(() => watch.live && watch.handlers.resumed())
    }
    timeline.after(this.#random.delay(1, 4, 200), again)
  }
}
