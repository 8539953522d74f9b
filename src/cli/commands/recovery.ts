/** `muster recovery`: what was tried after failures, how often it worked, and what a try costs. */
import type { RecoveryLevelView, RecoveryView } from '../../protocol/recovery.ts'
import { formatDuration } from '../../stdx/duration.ts'
import { connect } from '../connect.ts'
import { ago, table } from '../table.ts'
import type { LookOptions } from './look.ts'

export async function recoveryCommand(options: LookOptions): Promise<number> {
  await using connection = await connect(options)
  const view = await connection.client.get<RecoveryView>('/recovery')
  process.stdout.write(options.json ? `${JSON.stringify(view, null, 2)}\n` : lines(view))
  return 0
}

function lines(view: RecoveryView): string {
  const recycling = view.recycling.map((one) => `worker ${one.worker} is being recycled since ${ago(one.sinceMs)}\n`)
  const rows = view.kinds.flatMap(({ cause, framework, levels }) =>
    levels.map((level) => [
      cause,
      framework,
      level.level,
      level.tried,
      level.level === 'isolate' ? '' : `${level.worked} (${percent(level)})`,
      level.wallMs === null ? '' : formatDuration(level.wallMs),
      level.cpuMs === null ? '' : formatDuration(level.cpuMs),
      level.memoryBytes === null ? '' : `${Math.round(level.memoryBytes / 1024 / 1024)} MiB`,
    ]),
  )
  if (rows.length === 0) return `nothing had to be tried again\n${recycling.join('')}`
  return `${table(['CAUSE', 'FRAMEWORK', 'LEVEL', 'TRIED', 'WORKED', 'WALL', 'CPU', 'MEMORY'], rows)}${recycling.join('')}`
}

function percent({ tried, worked }: RecoveryLevelView): string {
  return tried === 0 ? '–' : `${Math.round((100 * worked) / tried)} %`
}
