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
  const leads = to !== undefined && to === before.leader?.member
  const view = leads
    ? before
    : await connection.client.post<ClusterView>('/cluster/transfer', to === undefined ? {} : { member: to })
  if (options.json) process.stdout.write(`${JSON.stringify(view, null, 2)}\n`)
  else process.stdout.write(`${leaderWords(view)} leads ${leads ? 'already' : 'now'}, epoch ${view.epoch}\n`)
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
        member.role === 'unreachable' ? '' : formatDuration(Date.now() - member.startedAtMs),
        member.address,
      ]),
    ),
    `leader     ${leaderWords(view)}, epoch ${view.epoch}, log format ${view.format}\n`,
    `log        ${logWords(view)}\n`,
    `blobs      ${view.blobs.ok ? 'ok' : (view.blobs.problem ?? 'away')}\n`,
  ]
  if (view.engine) parts.push(engineText(view.engine))
  const changes = view.failovers.slice(0, 5)
  if (changes.length > 0) parts.push(`failovers\n${changes.map((one) => failoverText(view, one)).join('')}`)
  return `${parts.join('')}${troubles(view).join('\n')}${view.problems.length > 0 ? '\n' : ''}`
}

function nameOf(view: ClusterView, id: string): string {
  return view.members.find(({ member }) => member === id)?.name ?? id
}

/** Without a duration this is where the coordinator that answers came in: somebody led already, or led first. */
function failoverText(view: ClusterView, { epoch, leader, atMs, tookMs }: ClusterView['failovers'][number]): string {
  const name = nameOf(view, leader)
  if (tookMs !== undefined) {
    return `  epoch ${epoch}: ${name} took over ${ago(atMs)}, ${formatDuration(tookMs)} after the last sign of the one before\n`
  }
  if (leader === view.self) return `  epoch ${epoch}: ${name} began to lead ${ago(atMs)}\n`
  return `  epoch ${epoch}: ${name} was leading when ${nameOf(view, view.self)} joined, ${ago(atMs)}\n`
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
