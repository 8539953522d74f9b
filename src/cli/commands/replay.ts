/** `muster replay`: the recorded queue under another scheduler or fleet, compared with what really happened. */
import { MusterError } from '../../protocol/errors.ts'
import type { FleetChoice, Recording } from '../../scheduling/recording.ts'
import { replay, type Outcome, type Replay } from '../../scheduling/replay.ts'
import { formatDuration, parseDuration } from '../../stdx/duration.ts'
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
  readonly runs?: boolean
  readonly plugin?: readonly string[]
}

export async function replayCommand(options: ReplayOptions): Promise<number> {
  const policies = await Policies.load(options.plugin)
  const policy = options.policy === undefined ? undefined : policies.named(options.policy)
  const fleet = fleetOf(options)
  const query = queryOf(options, Date.now())
  await using connection = await connect(options)
  const recording = await connection.client.get<Recording>(`/recording?${query}`)
  if (recording.runs.length === 0) {
    const why = recording.leftOut.length === 0 ? '' : ` (${recording.leftOut.join('; ')})`
    throw new MusterError('not_found', `there is no finished run to play again${why}`, {
      hint: "'muster runs' lists runs; those can be played that the coordinator still keeps, or its history knows whole.",
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

/** `--since`: a duration back from now, or a time. */
function queryOf({ from, since }: ReplayOptions, nowMs: number): string {
  if ((from === undefined) === (since === undefined))
    throw new MusterError('usage', 'expected --from RUN or --since TIME')
  if (from !== undefined) return new URLSearchParams({ run: from }).toString()
  const backMs = parseDuration(since!)
  const atMs = backMs === undefined ? Date.parse(since!) : nowMs - backMs
  if (Number.isNaN(atMs))
    throw new MusterError(
      'usage',
      `--since: expected a duration such as 2h, or a time such as 2026-11-22T14:00:00Z, received '${since!}'`,
    )
  return new URLSearchParams({ sinceMs: String(Math.max(0, Math.round(atMs))) }).toString()
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
    `the player is off by ${percent(errorRatio)} of the makespan; against the same player, this one's is ${percent(gain)}`,
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

function rowOf(
  name: string,
  { makespanMs, waitMeanMs, waitP95Ms, fairness, unfinished }: Outcome,
): (string | number)[] {
  return [name, formatDuration(makespanMs), formatDuration(waitMeanMs), formatDuration(waitP95Ms), fairness, unfinished]
}

function percent(ratio: number): string {
  return `${ratio < 0 ? '−' : '+'}${(Math.abs(ratio) * 100).toFixed(1)} %`
}
