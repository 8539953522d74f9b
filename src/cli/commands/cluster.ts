/** `muster cluster`: who leads, how the others stand, and handing over. */
import type { ClusterView, MemberView } from '../../protocol/api.ts'
import { formatDuration } from '../../stdx/duration.ts'
import { connect } from '../connect.ts'
import { ago, table } from '../table.ts'
import type { LookOptions } from './look.ts'

export async function clusterStatusCommand(options: LookOptions): Promise<number> {
  await using connection = await connect(options)
  const view = await connection.client.get<ClusterView>('/cluster')
  process.stdout.write(options.json ? `${JSON.stringify(view, null, 2)}\n` : statusText(view))
  return 0
}

export async function clusterTransferCommand(options: LookOptions & { readonly to?: string }): Promise<number> {
  await using connection = await connect(options)
  const before = await connection.client.get<ClusterView>('/cluster')
  const to = options.to === undefined ? undefined : memberNamed(before, options.to)
  const view = await connection.client.post<ClusterView>('/cluster/transfer', to === undefined ? {} : { member: to })
  if (options.json) process.stdout.write(`${JSON.stringify(view, null, 2)}\n`)
  else process.stdout.write(`${leaderWords(view)} leads now, epoch ${view.epoch}\n`)
  return 0
}

/** By id, or by a name that only one member has; anything else the coordinator turns down itself. */
function memberNamed(view: ClusterView, text: string): string {
  const named = view.members.filter((member) => member.name === text)
  return named.length === 1 ? named[0]!.member : text
}

function leaderWords(view: ClusterView): string {
  const leader = view.members.find((member) => member.member === view.leader?.member)
  return leader ? `${leader.name} (${leader.member})` : (view.leader?.member ?? 'nobody')
}

function statusText(view: ClusterView): string {
  if (!view.cluster) {
    return [`one coordinator with a log of its own, at position ${view.log.position}`, ...troubles(view), ''].join('\n')
  }
  const parts = [
    table(
      ['MEMBER', 'NAME', 'ROLE', 'POSITION', 'LAG', 'WORKERS', 'VERSION', 'UP', 'ADDRESS'],
      view.members.map((member) => [
        member.member,
        member.name,
        roleWords(member),
        member.position ?? '',
        member.lag ?? '',
        member.workers ?? '',
        member.version,
        formatDuration(Date.now() - member.startedAtMs),
        member.address,
      ]),
    ),
    `leader     ${leaderWords(view)}, epoch ${view.epoch}, log format ${view.format}\n`,
    `log        ${logWords(view)}\n`,
    `blobs      ${view.blobs.ok ? 'ok' : (view.blobs.problem ?? 'away')}\n`,
  ]
  if (view.engine) parts.push(engineText(view.engine))
  const changes = view.failovers.slice(0, 5)
  if (changes.length > 0) {
    parts.push('failovers\n')
    for (const one of changes) {
      const took =
        one.tookMs === undefined ? '' : `, ${formatDuration(one.tookMs)} after the last sign of the one before`
      parts.push(`  epoch ${one.epoch}: ${one.leader} led ${ago(one.atMs)}${took}\n`)
    }
  }
  return `${parts.join('')}${troubles(view).join('\n')}${view.problems.length > 0 ? '\n' : ''}`
}

function roleWords(member: MemberView): string {
  if (member.role === 'unreachable') return `unreachable: ${member.problem ?? ''}`
  return member.draining ? `${member.role}, draining` : member.role
}

function logWords({ log }: ClusterView): string {
  const parts = [`position ${log.position}`, `snapshot at ${log.snapshotPosition}`]
  if (log.bytes !== undefined) parts.push(megabytes(log.bytes))
  if (log.fill !== undefined) parts.push(`${Math.round(log.fill * 100)} % of its budget`)
  return parts.join(', ')
}

function engineText(engine: NonNullable<ClusterView['engine']>): string {
  const lines = engine.members.map((member) => {
    const size = member.dbBytes === undefined ? '' : `, ${megabytes(member.dbBytes)}`
    const of =
      member.dbBytes === undefined || engine.quotaBytes === undefined ? '' : ` of ${megabytes(engine.quotaBytes)}`
    const words = member.healthy ? `${member.leader ? 'leader' : 'follower'}${size}${of}` : (member.problem ?? 'away')
    return `  ${member.name || member.endpoint}  ${member.endpoint}  ${words}\n`
  })
  return `${engine.kind}\n${lines.join('')}${engine.problems.map((problem) => `  ! ${problem}\n`).join('')}`
}

function megabytes(bytes: number): string {
  return `${(bytes / 1024 / 1024).toFixed(1)} MiB`
}

function troubles(view: ClusterView): string[] {
  return view.problems.map((problem) => `! ${problem}`)
}
