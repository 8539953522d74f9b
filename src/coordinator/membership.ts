/**
 * A coordinator as one of several: its card in the log, who else is there, and what it asks them for. Alone there is
 * nobody to ask, and it answers for itself. Leaves out who leads: that is the seat's.
 */
import { hostname } from 'node:os'
import { setTimeout as delay } from 'node:timers/promises'
import { readableFormat } from '../core/format.ts'
import type { MemberCard, SharedLog } from '../log/log.ts'
import type { MemberView } from '../protocol/api.ts'
import { ownMember } from './cluster-view.ts'
import { GoneMembers, type GoneMember } from './gone-members.ts'
import { OtherMembers } from './other-members.ts'
import { addressOf, memberOf } from './owner.ts'
import type { Seat } from './seat.ts'

/** Another coordinator has so long to answer for all. */
const answerWithinMs = 5000
const membersEveryMs = 1000
/** How often a coordinator looks whether it has heard of the leader after a transfer. */
const transferLookMs = 10
const historyFetchMs = 10 * 60_000

export type MembershipOptions = {
  readonly seat: Seat
  readonly card: MemberCard
  /** Where members announce themselves; absent: this coordinator is alone. */
  readonly log?: SharedLog
  /** Opens what coordinators answer to each other only. */
  readonly peerToken?: string
  readonly say: (level: 'info' | 'warn', message: string, detail: Record<string, unknown>) => void
}

export class Membership {
  readonly #options: MembershipOptions
  readonly #seat: Seat
  readonly #others: OtherMembers
  readonly #gone = new GoneMembers()
  #card: MemberCard
  #timer: NodeJS.Timeout | undefined
  #closed = false

  constructor(options: MembershipOptions) {
    this.#options = options
    this.#seat = options.seat
    this.#card = options.card
    this.#others = new OtherMembers(options.peerToken ?? '')
  }

  get card(): MemberCard {
    return this.#card
  }

  /** Who was there not long ago. */
  get gone(): readonly GoneMember[] {
    return this.#gone.list
  }

  /** Says that it is there and learns who else is, from now on. */
  async start(): Promise<void> {
    const { log } = this.#options
    if (!log) return
    await log.announce(this.#card)
    await this.#look(log)
  }

  async #look(log: SharedLog): Promise<void> {
    try {
      const members = await log.members()
      this.#seat.setMembers(members)
      this.#gone.seen(members, Date.now())
    } catch (error) {
      // The log says itself when it can't be reached; who is there is asked again in any case.
      this.#options.say('warn', 'the members of the cluster cannot be listed', { error: String(error) })
    }
    if (this.#closed) return
    this.#timer = setTimeout(() => void this.#look(log), membersEveryMs)
    this.#timer.unref()
  }

  /** Tells the others that it leaves, and hands over leadership, if somebody can take it. */
  async leave(): Promise<void> {
    const { log, say } = this.#options
    if (!log) return
    this.#card = { ...this.#card, draining: true }
    log.announce(this.#card).catch((error: unknown) => {
      say('warn', 'the others could not be told that it leaves', { error: String(error) })
    })
    await new Promise<void>((resolve) => this.#seat.drain(resolve))
  }

  close(): void {
    this.#closed = true
    clearTimeout(this.#timer)
  }

  /** This coordinator's own line of the cluster. */
  self(): MemberView {
    return ownMember(this.#seat, this.#card)
  }

  memberAt(address: string, signal: AbortSignal): Promise<MemberView> {
    return this.#others.ask<MemberView>(address, '/cluster/member', { signal })
  }

  /** What the leader answers at `path`; `own` where that is this coordinator, or nobody. */
  async ofLeader<T>(path: string, own: () => T): Promise<T> {
    const { role, leadership } = this.#seat
    if (role === 'leading' || memberOf(leadership.owner) === this.#card.member || !this.#options.log) return own()
    const signal = AbortSignal.timeout(answerWithinMs)
    return await this.#others.ask<T>(addressOf(leadership.owner), path, { signal })
  }

  /** Hands leadership to another coordinator, wherever this is asked. */
  async transfer(member: string | undefined): Promise<void> {
    const seat = this.#seat
    const { role, leadership, epoch } = seat
    if (role !== 'leading' && seat.canWrite && memberOf(leadership.owner) !== this.#card.member) {
      const body = JSON.stringify(member === undefined ? {} : { member })
      const signal = AbortSignal.timeout(answerWithinMs)
      await this.#others.ask(addressOf(leadership.owner), '/cluster/transfer', { method: 'POST', body, signal })
    } else {
      await new Promise<void>((resolve, reject) => {
        seat.transfer(member, (error) => (error ? reject(error) : resolve()))
      })
    }
    // Whoever asked wants to hear who leads now, and this coordinator may be the last to learn it.
    const lateMs = performance.now() + answerWithinMs
    while (seat.epoch <= epoch && performance.now() < lateMs) await delay(transferLookMs)
  }

  /** History that the log no longer has, from whoever of the others has it; false: nobody. */
  async fetchHistory(to: string): Promise<boolean> {
    const { say } = this.#options
    for (const { member, address } of this.#seat.members) {
      if (member === this.#card.member || this.#closed) continue
      try {
        await this.#others.download(address, '/cluster/history', to, AbortSignal.timeout(historyFetchMs))
        say('info', 'history came from another coordinator', { from: member })
        return true
      } catch (error) {
        say('warn', 'another coordinator could not give its history', { from: member, error: String(error) })
      }
    }
    return false
  }
}

/** Of a coordinator that is alone. */
export function soloCard(version: string): MemberCard {
  const member = `${hostname()}:${process.pid}`
  return {
    member,
    name: member,
    address: '',
    version,
    build: '',
    format: readableFormat,
    draining: false,
    startedAtMs: Date.now(),
  }
}
