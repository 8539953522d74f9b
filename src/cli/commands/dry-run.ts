/** `muster run --dry-run`: the plan on stdout, nothing submitted. */
import type { PlanView } from '../../client/client.ts'
import { needWords } from '../../scheduling/need-words.ts'
import { formatDuration } from '../../stdx/duration.ts'
import { escapedName } from '../../stdx/plain-text.ts'
import { table } from '../table.ts'
import type { RunPlan } from '../run-plan.ts'
import { counted } from '../reporters/text-fit.ts'

export function printPlan(plan: RunPlan, known: PlanView, json: boolean): number {
  const { suite, files, needs } = plan
  const after = new Map(needs.dependencies.map((one) => [one.task, one.after]))
  const order = files
    .map((file, index) => ({
      file,
      estimateMs: known.durationsMs[index] ?? null,
      ...(needs.needs.length === 0 ? {} : { need: needs.kinds[index]! }),
      ...(after.has(index) ? { after: after.get(index)!.map((before) => files[before]!) } : {}),
    }))
    .toSorted((a, b) => (b.estimateMs ?? -1) - (a.estimateMs ?? -1))
  if (json) {
    const { framework, version } = suite.detection
    const data = {
      framework,
      frameworkVersion: version,
      suite: suite.name,
      project: plan.project,
      planned: files.length,
      ...(needs.needs.length === 0 ? {} : { needs: needs.needs }),
      files: order,
    }
    process.stdout.write(`${JSON.stringify(data, null, 2)}\n`)
    return 0
  }
  const share = Math.round(known.knownRatio * 100)
  process.stdout.write(
    `${`${suite.detection.framework} ${suite.detection.version}`.trimEnd()} (${suite.detection.reason}) · ${counted(files.length, 'file')} · ${share} % with a duration from history\n`,
  )
  const rows = (kind: number | undefined) =>
    table(
      ['EXPECTED', 'FILE', ...(after.size > 0 ? ['AFTER'] : [])],
      order
        .filter((one) => one.need === kind)
        .map((one) => [
          one.estimateMs === null ? '?' : formatDuration(one.estimateMs),
          escapedName(one.file),
          escapedName(afterWords(one.after)),
        ]),
    )
  if (needs.needs.length === 0) process.stdout.write(rows(undefined))
  for (const [kind, need] of needs.needs.entries())
    process.stdout.write(`\nneeds ${needWords(need) || 'nothing special'}\n${rows(kind)}`)
  return 0
}

const afterShown = 3

function afterWords(files: readonly string[] = []): string {
  const more = files.length > afterShown ? ` and ${files.length - afterShown} more` : ''
  return `${files.slice(0, afterShown).join(', ')}${more}`
}
