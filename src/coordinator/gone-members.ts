/**
 * Coordinators that were there and are not any more. Their cards vanish with their leases after some
 * seconds, and a table without them would look as if they had never been: whoever asks must see for a
 * while that one is missing. Remembered by each coordinator for itself, and only in memory. Leaves out
 * why one is gone: one that was stopped in good order and one that was killed look alike from here.
 */
import type { MemberCard } from '../log/log.ts'

export type GoneMember = { readonly card: MemberCard; readonly sinceMs: number }

const rememberMs = 3_600_000

export class GoneMembers {
  #present: readonly MemberCard[] = []
  #gone: readonly GoneMember[] = []

  get list(): readonly GoneMember[] {
    return this.#gone
  }

  /** `cards`: of those that are there now. */
  seen(cards: readonly MemberCard[], nowMs: number): void {
    const isBack = (gone: MemberCard) =>
      cards.some((card) => card.member === gone.member || card.address === gone.address)
    const left = this.#present.filter((card) => !isBack(card)).map((card) => ({ card, sinceMs: nowMs }))
    const kept = this.#gone.filter(({ card, sinceMs }) => !isBack(card) && nowMs - sinceMs < rememberMs)
    this.#gone = [...kept, ...left]
    this.#present = cards
  }
}
