/** `muster predict`: how far off the estimates of durations are, model by model, and which one is used. */
import type { PredictRow } from '../../history/history.ts'
import { escapedName } from '../../stdx/plain-text.ts'
import { formatDuration } from '../../stdx/duration.ts'
import { connect } from '../connect.ts'
import { table } from '../table.ts'
import type { LookOptions } from './look.ts'
import { counted } from '../reporters/text-fit.ts'

const names = { mean: 'mean', last: 'last value', simple: 'simple', learned: 'learned' } as const

export async function predictCommand(
  project: string | undefined,
  options: LookOptions & { readonly files?: boolean },
): Promise<number> {
  await using connection = await connect(options)
  const query = new URLSearchParams()
  if (project !== undefined) query.set('project', project)
  if (options.files) query.set('files', 'true')
  const { projects } = await connection.client.get<{ projects: PredictRow[] }>(`/predict?${query.toString()}`)
  process.stdout.write(options.json ? `${JSON.stringify(projects, null, 2)}\n` : predictText(projects))
  return 0
}

export function predictText(projects: readonly PredictRow[]): string {
  if (projects.length === 0) return 'no runs yet: durations are learned from what has run\n'
  return projects.map(projectText).join('\n')
}

function projectText(row: PredictRow): string {
  if (row.samples === 0 && row.startups.length === 0)
    return `history knows no duration of a project '${row.project}': 'muster predict' without a name shows those that it knows\n`
  const lines = [`project ${row.project} · ${counted(row.samples, 'duration')} · ${row.heldOut} held out, the newest`]
  lines.push(`used: ${row.used} (${row.why})`)
  const rows = (['mean', 'last', 'simple', 'learned'] as const).flatMap((name) => {
    const figures = row.figures[name]
    if (figures === null) return []
    return [[names[name], percent(figures.wape), signed(figures.bias), name === row.used ? 'used' : '']]
  })
  const parts = [`${lines.join('\n')}\n`]
  if (rows.length > 0) parts.push(table(['MODEL', 'WAPE', 'BIAS', ''], rows))
  if (row.startups.length > 0) {
    parts.push(
      table(
        ['FRAMEWORK', 'WORKER', 'START-UP', 'BATCHES'],
        row.startups.map((one) => [one.framework, one.name, formatDuration(one.startupMs), one.batches]),
      ),
    )
  }
  if (row.files !== undefined) {
    parts.push(
      table(
        ['EXPECTED', 'SIMPLE', 'LEARNED', 'FROM', 'FILE'],
        row.files.map((one) => [
          formatDuration(one.ms),
          formatDuration(one.simpleMs),
          one.learnedMs === null ? '' : formatDuration(one.learnedMs),
          one.durations,
          escapedName(one.file),
        ]),
      ),
    )
  }
  return parts.join('')
}

function percent(ratio: number): string {
  return `${(ratio * 100).toFixed(1)} %`
}

function signed(ratio: number): string {
  return `${ratio < 0 ? '' : '+'}${percent(ratio)}`
}
