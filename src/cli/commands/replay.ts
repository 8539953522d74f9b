/** `muster replay`: the recorded queue under another scheduler or fleet, compared with what really happened. */
import { MusterError } from '../../protocol/errors.ts'
import type { FleetChoice, Recording } from '../../scheduling/recording.ts'
import { replay, type Outcome, type Replay } from '../../scheduling/replay.ts'
import { formatDuration, parseDuration } from '../../stdx/duration.ts'
import { parseClock, parseDate, parseInstant } from '../../stdx/instant.ts'
import { connect } from '../connect.ts'
import { Policies } from '../policies.ts'
import { recordedPolicy } from '../recorded-policy.ts'
import { table } from '../table.ts'
import type { LookOptions } from './look.ts'

export type ReplayOptions = LookOptions & {
  readonly policy?: string
  readonly from?: string
  readonly since?: string
  readonly workers?: number
  readonly fleet?: string
  readonly log?: string
  readonly runs?: boolean
  readonly plugin?: readonly string[]
}

export async function replayCommand(options: ReplayOptions): Promise<number> {
  const policies = await Policies.load(options.plugin)
  const policy = options.policy === undefined ? undefined : policies.named(options.policy)
  const fleet = fleetOf(options)
  const recording =
    options.log === undefined
      ? await ofCoordinator(options)
      : await ofArchive(options.log, options, policies.default.name)
  if (recording.runs.length === 0) {
    const why = recording.leftOut.length === 0 ? '' : ` (${recording.leftOut.join('; ')})`
    throw new MusterError('not_found', `there is no finished run to play again${why}`, {
      hint:
        options.log === undefined
          ? "'muster runs' lists runs; those can be played that the coordinator still keeps, or its history knows whole."
          : 'Of a log, --since 2h counts from when it was exported; without --from and --since all of it is played.',
    })
  }
  const { policy: recorded, unknown } = recordedPolicy(policies, recording)
  const result = replay(recording, recorded, policy ?? recorded, fleet)
  for (const problem of policies.problems) process.stderr.write(`muster: ${problem}\n`)
  const text = () => replayText(result, unknown, policies.default.name, options.runs === true)
  process.stdout.write(options.json ? `${JSON.stringify(result, null, 2)}\n` : text())
  return 0
}

function fleetOf({ workers, fleet }: ReplayOptions): FleetChoice {
  if (fleet !== undefined && fleet !== 'same')
    throw new MusterError('usage', `--fleet: expected same, received '${fleet}'`)
  if (fleet !== undefined && workers !== undefined)
    throw new MusterError('usage', '--fleet and --workers are alternatives: expected one of them')
  return workers === undefined ? { type: 'same' } : { type: 'made-up', workers }
}

async function ofCoordinator(options: ReplayOptions): Promise<Recording> {
  const { from, since } = options
  if (from !== undefined && since !== undefined)
    throw new MusterError('usage', '--from and --since are alternatives: expected one of them')
  if (from === undefined && since === undefined)
    throw new MusterError('usage', 'expected --from RUN or --since TIME: where to begin')
  const nowMs = Date.now()
  const query: Record<string, string> =
    from === undefined ? { sinceMs: String(sinceMsOf(since!, nowMs)) } : { run: from }
  await using connection = await connect(options)
  return await connection.client.get<Recording>(`/recording?${new URLSearchParams(query).toString()}`)
}

/** All of it, unless it is said from where on. */
async function ofArchive(file: string, { from, since, server }: ReplayOptions, usual: string): Promise<Recording> {
  if (server !== undefined) throw new MusterError('usage', '--log and --server are alternatives: expected one of them')
  if (from !== undefined && since !== undefined)
    throw new MusterError('usage', '--from and --since are alternatives: expected one of them')
  const { recordingOfArchive } = await import('../recorded-archive.ts')
  const sinceMs = (nowMs: number) => (since === undefined ? 0 : sinceMsOf(since, nowMs))
  if (since !== undefined) sinceMs(Date.now())
  return recordingOfArchive(file, { ...(from === undefined ? {} : { run: from }), sinceMs }, usual)
}

/** A duration back from `nowMs`, or a time. */
function sinceMsOf(text: string, nowMs: number): number {
  const backMs = parseDuration(text)
  const atMs =
    backMs === undefined
      ? (parseClock(text, new Date(nowMs), 'last') ?? parseDate(text) ?? parseInstant(text))
      : nowMs - backMs
  if (atMs !== undefined) return Math.max(0, Math.round(atMs))
  const expected = 'a duration such as 2h, a time such as 14:00, a day, or a time with its zone: 2026-11-22T14:00:00Z'
  throw new MusterError('usage', `--since: expected ${expected}, received '${text}'`)
}

/** `unknown`: schedulers that were really used and can't be played here; `instead` stands in. */
export function replayText(result: Replay, unknown: readonly string[], instead: string, withRuns: boolean): string {
  const { policy, recordedPolicy, fleet, really, same, replayed, runs, leftOut, fromMs, toMs } = result
  const projects = new Set(runs.map((run) => run.project)).size
  const lines = [
    `${runs.length} ${runs.length === 1 ? 'run' : 'runs'} of ${projects} ${projects === 1 ? 'project' : 'projects'}, ${new Date(fromMs).toISOString()} and ${formatDuration(toMs - fromMs)} on`,
    `played: ${policy} on ${fleet}`,
  ]
  const header = ['', 'MAKESPAN', 'WAIT MEAN', 'WAIT P95', 'FAIRNESS', 'UNFINISHED']
  const rows = [
    rowOf('really', really),
    rowOf(`${recordedPolicy}, played`, same),
    rowOf(`${policy}${policy === recordedPolicy ? ', as asked' : ', played'}`, replayed),
  ]
  const errorRatio = really.makespanMs === 0 ? 0 : same.makespanMs / really.makespanMs - 1
  const gain = same.makespanMs === 0 ? 0 : replayed.makespanMs / same.makespanMs - 1
  lines.push(
    table(header, rows).trimEnd(),
    `the player is off by ${percent(errorRatio)} of the makespan; against the same player, this one's is ${percent(gain)}${unfinishedWords(same.unfinished, replayed.unfinished)}`,
  )
  for (const name of unknown)
    lines.push(`scheduler '${name}' is not known here: '${instead}' stands in its place (--plugin names one)`)
  for (const words of leftOut) lines.push(`left out: ${words}`)
  if (withRuns) {
    const shown = (ms: number | null) => (ms === null ? 'never' : formatDuration(ms))
    lines.push(
      table(
        ['RUN', 'FILES', 'WAITED', 'WOULD', 'ENDED AFTER', 'WOULD', 'PROJECT'],
        runs.map((run) => [
          run.run,
          run.files,
          shown(run.startedMs[0]),
          shown(run.startedMs[2]),
          shown(run.endedMs[0]),
          shown(run.endedMs[2]),
          run.project,
        ]),
      ).trimEnd(),
    )
  }
  return `${lines.join('\n')}\n`
}

/** A makespan ends with the last run that does. */
function unfinishedWords(same: number, replayed: number): string {
  if (same === replayed) return ''
  const [count, which] = same < replayed ? [replayed - same, 'more'] : [same - replayed, 'fewer']
  return count === 1
    ? `, with 1 run ${which} that never ends and doesn't count in it`
    : `, with ${count} runs ${which} that never end and don't count in it`
}

function rowOf(
  name: string,
  { makespanMs, waitMeanMs, waitP95Ms, fairness, unfinished }: Outcome,
): (string | number)[] {
  return [name, formatDuration(makespanMs), formatDuration(waitMeanMs), formatDuration(waitP95Ms), fairness, unfinished]
}

function percent(ratio: number): string {
  return `${ratio < 0 ? '−' : '+'}${(Math.abs(ratio) * 100).toFixed(1)} %`
}
