/** `muster shares`: who may have how much of the fleet, and what they have now. */
import type { SharesView, ShareView } from '../../protocol/shares.ts'
import { connect } from '../connect.ts'
import { table } from '../table.ts'
import type { LookOptions } from './look.ts'
import { counted } from '../reporters/text-fit.ts'

export async function sharesCommand(options: LookOptions): Promise<number> {
  await using connection = await connect(options)
  const view = await connection.client.get<SharesView>('/shares')
  process.stdout.write(options.json ? `${JSON.stringify(view, null, 2)}\n` : sharesText(view))
  return 0
}

export function sharesText({ shares }: SharesView): string {
  if (shares.length === 0) return 'nothing is limited, and nothing has run lately\n'
  return table(
    ['SCOPE', 'WEIGHT', 'QUOTA', 'IN USE', 'LAST HOUR'],
    shares.map((one) => [
      one.rule === undefined ? one.scope : `${one.scope} (as ${one.rule})`,
      one.weight,
      quotaWords(one),
      useWords(one),
      `${one.lastHourCpuHours} CPU-h`,
    ]),
  )
}

function quotaWords({ quota: { cpus, gpus, cpuHours } }: ShareView): string {
  const parts = [
    ...(cpus === undefined ? [] : [counted(cpus, 'CPU')]),
    ...(gpus === undefined ? [] : [counted(gpus, 'GPU')]),
    ...(cpuHours === undefined ? [] : [`${cpuHours} CPU-h per hour`]),
  ]
  return parts.length === 0 ? 'none' : parts.join(', ')
}

function useWords({ inUse: { cpus, gpus, batches } }: ShareView): string {
  if (batches === 0) return '–'
  return `${counted(cpus, 'CPU')}${gpus > 0 ? `, ${counted(gpus, 'GPU')}` : ''} in ${batches} ${batches === 1 ? 'batch' : 'batches'}`
}
