/**
 * How the etcd cluster is doing, asked member by member: reads go to each endpoint, so one that is
 * away shows as such and doesn't hide the others.
 */
import type { EngineMember, EngineStatus } from '../log.ts'
import type { Access } from './access.ts'
import { CallError } from './call-error.ts'
import { alarms, memberList, status } from './messages.ts'
import type { Alarm, Method, StatusResponse } from './messages.ts'

const askMs = 1000
/** etcd calls a database above this much of its quota nearly full. */
const fullShare = 0.8

type Answer = { readonly endpoint: string; readonly status?: StatusResponse; readonly problem?: string }

export async function readEngineStatus(access: Access): Promise<EngineStatus> {
  const answers = await Promise.all(access.client.endpoints.map((endpoint) => askMember(access, endpoint)))
  const [names, raised] = await Promise.all([
    askAny(access, memberList, []),
    askAny(access, alarms, [] as readonly Alarm[]),
  ])
  const nameOf = (id: bigint | undefined): string | undefined => names.find((one) => one.id === id)?.name
  const members = answers.map(({ endpoint, status: said, problem }): EngineMember => {
    const trouble = problem ?? said?.errors[0]
    return {
      name: nameOf(said?.memberId) ?? endpoint,
      endpoint,
      healthy: said !== undefined && said.leader !== 0n && said.errors.length === 0,
      leader: said !== undefined && said.leader === said.memberId,
      ...(said === undefined ? {} : { version: said.version, dbBytes: said.dbBytes }),
      ...(trouble === undefined ? {} : { problem: trouble }),
    }
  })
  const quotaBytes = Math.max(...answers.map((one) => one.status?.quotaBytes ?? 0))
  const problems = [
    ...members.flatMap((one) => (one.problem === undefined ? [] : [`${one.name}: ${one.problem}`])),
    ...members.flatMap((one) =>
      one.version !== undefined && /^3\.5\.[0-2]$/.test(one.version)
        ? [`${one.name}: etcd ${one.version} can corrupt its data; upgrade it.`]
        : [],
    ),
    ...raised.map((one) => alarmText(one, nameOf(one.memberId))),
    ...(names.length > answers.length
      ? [`etcd has ${names.length} members, but only ${answers.length} are in the address that Muster was given.`]
      : []),
    ...members.flatMap((one) =>
      quotaBytes > 0 && (one.dbBytes ?? 0) > fullShare * quotaBytes
        ? [`${one.name}: its database has ${one.dbBytes} of ${quotaBytes} bytes; defragment it or raise the quota.`]
        : [],
    ),
  ]
  return { kind: 'etcd', members, ...(quotaBytes > 0 ? { quotaBytes } : {}), problems: [...new Set(problems)] }
}

async function askMember({ reads }: Access, endpoint: string): Promise<Answer> {
  try {
    return { endpoint, status: await reads.call(status, undefined, askMs, undefined, endpoint) }
  } catch (error) {
    if (!(error instanceof CallError)) throw error
    return { endpoint, problem: error.message }
  }
}

/** The first answer there is; a user limited to the prefix may be refused, and does without. */
async function askAny<R>(access: Access, method: Method<undefined, R>, without: R): Promise<R> {
  try {
    return await access.reads.repeat(method, undefined, { tryMs: askMs, totalMs: askMs })
  } catch (error) {
    if (!(error instanceof CallError)) throw error
    return without
  }
}

function alarmText({ kind, memberId }: Alarm, name = memberId.toString(16)): string {
  if (kind === 'nospace') {
    return (
      `${name}: etcd is out of space and takes no writes. Raise --quota-backend-bytes or compact and ` +
      `defragment, then run 'etcdctl alarm disarm'.`
    )
  }
  if (kind === 'corrupt') return `${name}: etcd says that its data is corrupt. Replace this member.`
  return `${name}: etcd has raised an alarm.`
}
