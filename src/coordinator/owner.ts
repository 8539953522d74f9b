/** How a leader names itself in the log: who it is, which start of it, and where the others reach it. */
import type { MemberCard } from '../log/log.ts'

export function ownerOf(card: MemberCard): string {
  return `${card.member}/${card.startedAtMs}@${card.address}`
}

export function memberOf(owner: string): string {
  const end = owner.indexOf('/')
  return end < 0 ? owner : owner.slice(0, end)
}

export function addressOf(owner: string): string {
  return owner.slice(owner.indexOf('@') + 1)
}
