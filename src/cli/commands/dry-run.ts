/** `muster run --dry-run`: the plan on stdout, nothing submitted. */
import type { PlanView } from '../../client/client.ts'
import { formatDuration } from '../../stdx/duration.ts'
import { table } from '../table.ts'
import type { RunPlan } from '../run-plan.ts'

export function printPlan(plan: RunPlan, known: PlanView, json: boolean): number {
  const { suite, files } = plan
  const order = files
    .map((file, index) => ({ file, estimateMs: known.durationsMs[index] ?? null }))
    .toSorted((a, b) => (b.estimateMs ?? -1) - (a.estimateMs ?? -1))
  if (json) {
    const { framework, version } = suite.detection
    const data = {
      framework,
      frameworkVersion: version,
      suite: suite.name,
      project: plan.project,
      planned: files.length,
      files: order,
    }
    process.stdout.write(`${JSON.stringify(data, null, 2)}\n`)
    return 0
  }
  const share = Math.round(known.knownRatio * 100)
  process.stdout.write(
    `${suite.detection.framework} ${suite.detection.version} (${suite.detection.reason}) · ${files.length} files · ${share} % with a duration from history\n`,
  )
  process.stdout.write(
    table(
      ['EXPECTED', 'FILE'],
      order.map((one) => [one.estimateMs === null ? '?' : formatDuration(one.estimateMs), one.file]),
    ),
  )
  return 0
}
