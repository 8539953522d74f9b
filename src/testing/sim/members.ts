/** The list of the cluster's members, as leases in etcd give it: late to notice, never the truth about who leads. */
import type { MemberCard } from '../../log/log.ts'
import type { Timeline } from './timeline.ts'

const leaseMs = 2000

export class Members {
  readonly #timeline: Timeline
  readonly #cards = new Map<string, { readonly card: MemberCard; readonly untilMs: number }>()

  constructor(timeline: Timeline) {
    this.#timeline = timeline
  }

  announce(card: MemberCard): void {
    this.#cards.set(card.member, { card, untilMs: this.#timeline.nowMs + leaseMs })
  }

  list(): MemberCard[] {
    const nowMs = this.#timeline.nowMs
    return [...this.#cards.values()].filter((one) => one.untilMs >= nowMs).map((one) => one.card)
  }
}
