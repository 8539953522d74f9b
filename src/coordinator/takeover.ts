/**
 * From suspecting the leader to trying to replace it: waits by rank, so that two don't race; when the
 * leader's process isn't known to be gone, asks the other coordinators whether they hear it, and
 * watches whether the log still grows. All of this only avoids needless changes of leader; whoever
 * claims too early harms nobody.
 */
import type { Head, Leadership, MemberCard } from '../log/log.ts'
import type { Clock } from '../stdx/clock.ts'
import type { ClusterTimes } from './cluster-times.ts'
import type { LogPort } from './ports.ts'

export type TakeoverOptions = {
  readonly clock: Clock
  readonly log: LogPort
  readonly times: ClusterTimes
  /** `heard` is called once, or never when there is no answer. */
  readonly ask: (member: MemberCard, epoch: number, heard: (yes: boolean) => void) => void
}

export type Suspicion = {
  readonly epoch: number
  /** Its process is gone: its host refused the connection. */
  readonly gone: boolean
  /** How many others come first. */
  readonly rank: number
  readonly others: readonly MemberCard[]
  readonly claim: () => void
  readonly newer: (leadership: Leadership) => void
  /** It lives: somebody hears it, or the log grew. */
  readonly alive: () => void
}

export class Takeover {
  readonly #options: TakeoverOptions
  #current: Suspicion | undefined

  constructor(options: TakeoverOptions) {
    this.#options = options
  }

  get suspecting(): boolean {
    return this.#current !== undefined
  }

  begin(suspicion: Suspicion): void {
    const { clock, times } = this.#options
    // What is under way decides, unless we have come to know more.
    if (this.#current?.epoch === suspicion.epoch && (this.#current.gone || !suspicion.gone)) return
    this.#current = suspicion
    clock.after(suspicion.rank * times.staggerMs, () => {
      if (this.#current !== suspicion) return
      if (suspicion.gone) this.#end(suspicion.claim)
      else this.#guard(suspicion)
    })
  }

  /** The suspicion is void. */
  forget(): void {
    this.#current = undefined
  }

  stop(): void {
    this.forget()
  }

  #end(call: () => void): void {
    this.#current = undefined
    call()
  }

  #guard(suspicion: Suspicion): void {
    const { log, clock, ask, times } = this.#options
    const silent = new Set(suspicion.others)
    let heard = false
    for (const member of suspicion.others) {
      ask(member, suspicion.epoch, (yes) => {
        silent.delete(member)
        if (yes) heard = true
      })
    }
    const untilMs = clock.monotonicMs() + times.answerMs
    log.leadership((leadership) => {
      if (this.#current !== suspicion) return
      if (leadership === undefined) return this.#again(suspicion)
      if (leadership.epoch > suspicion.epoch) return this.#end(() => suspicion.newer(leadership))
      log.head((head) => {
        if (this.#current !== suspicion) return
        if (head === undefined) return this.#again(suspicion)
        // Who is slow to answer may be slow to hear the leader, or we are: that is worth a moment.
        this.#watch(suspicion, head, () => {
          if (heard) return 'alive'
          return silent.size === 0 || clock.monotonicMs() >= untilMs ? 'dead' : 'unknown'
        })
      })
    })
  }

  /** Looks whether the log has grown and what the others say, until that is clear. */
  #watch(suspicion: Suspicion, before: Head, others: () => 'alive' | 'dead' | 'unknown'): void {
    const { log, clock, times } = this.#options
    clock.after(times.guardMs, () => {
      if (this.#current !== suspicion) return
      log.head((after) => {
        if (this.#current !== suspicion) return
        if (after === undefined) return this.#again(suspicion)
        const said = others()
        if (said === 'alive' || after.position !== before.position || after.epoch !== before.epoch) {
          return this.#end(suspicion.alive)
        }
        if (said === 'dead') return this.#end(suspicion.claim)
        this.#watch(suspicion, before, others)
      })
    })
  }

  /** The log doesn't answer: nobody can take over now. */
  #again(suspicion: Suspicion): void {
    this.#options.clock.after(this.#options.times.againMs * 5, () => {
      if (this.#current === suspicion) this.#guard(suspicion)
    })
  }
}
