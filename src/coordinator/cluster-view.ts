/** The cluster as one coordinator sees it, with what the others say of themselves when they are asked. */
import type { Blobs } from '../blobs/blobs.ts'
import type { EngineStatus, MemberCard, SharedLog } from '../log/log.ts'
import { isMusterError } from '../protocol/errors.ts'
import { formatDuration } from '../stdx/duration.ts'
import type { ClusterView, MemberView } from '../protocol/api.ts'
import type { GoneMember } from './gone-members.ts'
import { addressOf, memberOf } from './owner.ts'
import type { Seat } from './seat.ts'

const askWithinMs = 1500

const roleNames = { leading: 'leader', following: 'follower' } as const

/** This coordinator, by itself. */
export function ownMember(seat: Seat, card: MemberCard): MemberView {
  const { role } = seat
  return {
    ...cardView(card),
    role: role === 'leading' || role === 'following' ? roleNames[role] : role,
    position: seat.position,
    workers: seat.workersHere,
    ...(seat.canWrite ? {} : { problem: 'no leader, as far as it knows' }),
  }
}

function cardView(card: MemberCard) {
  const { member, name, address, version, format, draining, startedAtMs } = card
  return { member, name, address, version, format, draining, startedAtMs }
}

export type ClusterParts = {
  readonly seat: Seat
  readonly card: MemberCard
  readonly blobs: Blobs
  readonly shared: SharedLog | undefined
  readonly logBytes: () => Promise<number>
  readonly gone: readonly GoneMember[]
  /** Asks another coordinator for its own line. */
  readonly ask: (address: string, signal: AbortSignal) => Promise<MemberView>
  readonly problems: readonly string[]
}

export async function clusterView(parts: ClusterParts): Promise<ClusterView> {
  const { seat, shared } = parts
  const { owner } = seat.leadership
  const [members, engine, bytes, blobProblem] = await Promise.all([
    membersOf(parts),
    shared ? engineOf(shared) : undefined,
    within(parts.logBytes()),
    parts.blobs.check?.().catch((error: unknown) => String(error)),
  ])
  const head = Math.max(seat.headPosition, ...members.map((member) => member.position ?? 0))
  return {
    cluster: shared !== undefined,
    self: parts.card.member,
    ...(owner === '' ? {} : { leader: { member: memberOf(owner), address: addressOf(owner) } }),
    epoch: seat.epoch,
    format: seat.state.format,
    members: members.map((member) => ({
      ...member,
      ...(member.position === undefined ? {} : { lag: head - member.position }),
    })),
    log: {
      position: head,
      snapshotPosition: seat.snapshotPosition,
      ...(bytes === undefined ? {} : { bytes }),
      ...(shared ? { fill: shared.fill } : {}),
    },
    failovers: seat.failovers
      .map(({ epoch, owner: leader, atMs, tookMs }) => ({
        epoch,
        leader: memberOf(leader),
        atMs,
        ...(tookMs === undefined ? {} : { tookMs: Math.round(tookMs) }),
      }))
      .reverse(),
    ...(engine ? { engine } : {}),
    blobs: blobProblem === undefined ? { ok: true } : { ok: false, problem: blobProblem },
    problems: parts.problems,
  }
}

/** Undefined when it fails or takes too long: the engine's own status says why. */
function within<T>(work: Promise<T>): Promise<T | undefined> {
  return Promise.race([
    work.catch(() => undefined),
    new Promise<undefined>((resolve) => {
      setTimeout(() => resolve(undefined), askWithinMs).unref()
    }),
  ])
}

async function engineOf(log: SharedLog): Promise<EngineStatus> {
  try {
    return await log.engine()
  } catch (error) {
    return { kind: 'etcd', members: [], problems: [isMusterError(error) ? error.message : String(error)] }
  }
}

async function membersOf({ seat, card, shared, gone, ask }: ClusterParts): Promise<MemberView[]> {
  const own = ownMember(seat, card)
  if (!shared) return [own]
  const others = seat.members.filter((other) => other.member !== card.member)
  const asked = others.map(async (other): Promise<MemberView> => {
    try {
      return await ask(other.address, AbortSignal.timeout(askWithinMs))
    } catch (error) {
      const problem =
        error instanceof Error ? ((error.cause as Error | undefined)?.message ?? error.message) : String(error)
      return { ...cardView(other), role: 'unreachable', problem }
    }
  })
  const missing = gone.map(({ card: other, sinceMs }): MemberView => {
    const problem = `not heard from for ${formatDuration(Math.max(0, Date.now() - sinceMs))}`
    return { ...cardView(other), role: 'unreachable', problem }
  })
  const members = [own, ...(await Promise.all(asked)), ...missing]
  return members.sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0))
}
