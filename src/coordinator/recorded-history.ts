/**
 * What history knows of recorded runs beyond state: runs that state has forgotten, attempts that ended without a report, and
 * what was done with a run while it was under way. Its audit keeps long lists in part only; a run of which that leaves
 * open what its files need can't be played, and is left out with the reason.
 */
import type { RunSpec } from '../core/entities.ts'
import type { RunExtended, RunPrioritised, RunSubmitted } from '../core/events.ts'
import type { AuditRow, RecordedRow } from '../history/history.ts'
import type { RecordedRun, RecordedTry } from '../scheduling/recording.ts'

/** What was done with a run after it was submitted. */
export type Meanwhile = Pick<RecordedRun, 'extended' | 'sealedAtMs' | 'pauses' | 'priorities'>

export function meanwhileOf(events: readonly AuditRow[]): Meanwhile {
  const extended: { atMs: number; files: number }[] = []
  const pauses: { fromMs: number; toMs?: number }[] = []
  const priorities: { atMs: number; priority: number }[] = []
  let sealedAtMs: number | undefined
  for (const { type, atMs, event } of events) {
    if (type === 'run.extended') extended.push({ atMs, files: lengthOf((JSON.parse(event) as RunExtended).files) })
    else if (type === 'run.sealed') sealedAtMs = atMs
    else if (type === 'run.paused') pauses.push({ fromMs: atMs })
    else if (type === 'run.resumed' && pauses.length > 0) pauses.at(-1)!.toMs = atMs
    else if (type === 'run.prioritised')
      priorities.push({ atMs, priority: (JSON.parse(event) as RunPrioritised).priority })
  }
  return {
    ...(extended.length === 0 ? {} : { extended }),
    ...(sealedAtMs === undefined ? {} : { sealedAtMs }),
    ...(pauses.length === 0 ? {} : { pauses }),
    ...(priorities.length === 0 ? {} : { priorities }),
  }
}

/** Where the audit has cut a list, its last item says how many there were more. */
const cut = /^… (\d+) more$/

function lengthOf(list: readonly unknown[]): number {
  const [, more] = cut.exec(String(list.at(-1))) ?? []
  return more === undefined ? list.length : list.length - 1 + Number(more)
}

const isWhole = (value: unknown): boolean => !/"… \d+ more"|… \d+ more characters"/.test(JSON.stringify(value) ?? '')

/** Attempts as they can be played; those that were lost with their worker are not its own doing. */
const playable: ReadonlySet<string> = new Set(['passed', 'failed', 'skipped', 'crashed', 'timed-out'])

/** Task, outcome and time of attempts in their order; of files where one pass was all, nothing is needed. */
export function triesOf(attempts: RecordedRow['tries']): readonly RecordedTry[] {
  const byTask = new Map<number, RecordedTry['attempts'][number][]>()
  for (const [task, outcome, ms] of attempts) {
    if (!playable.has(outcome)) continue
    const attempt = [outcome as RecordedTry['attempts'][number][0], ms] as const
    const list = byTask.get(task)
    if (list) list.push(attempt)
    else byTask.set(task, [attempt])
  }
  return [...byTask]
    .filter(([, list]) => list.length > 1 || list[0]![0] !== 'passed')
    .map(([task, list]) => ({ task, attempts: list }))
}

/** Its spec without what only its workers need. */
export function plainSpecOf(whole: RunSpec): RunSpec {
  const { traceparent: _, ...spec } = whole
  return { ...spec, context: '', paths: [], args: [] }
}

/** A run that state has forgotten; or why it can't be played. */
export function runFromHistory(row: RecordedRow): RecordedRun | { readonly why: string } {
  const { run, who, createdAtMs, startedAtMs, endedAtMs, files = [] } = row
  const submitted = row.events.find((one) => one.type === 'run.submitted')
  if (endedAtMs === null) return { why: 'not finished' }
  if (startedAtMs === null || !files.some(([, , tookMs]) => tookMs !== null)) return { why: 'without a measured file' }
  if (!submitted) return { why: 'of which history no longer has the submission' }
  const { spec, kinds: firstKinds, dependencies } = JSON.parse(submitted.event) as RunSubmitted
  const kinds = kindsOf(row, spec, firstKinds)
  if (!kinds || !isWhole(spec.needs) || !isWhole(spec.after) || !isWhole(spec.labels))
    return { why: 'of which history keeps only a part of what their files need' }
  const startupMs = row.startupMs ?? spec.startupMs
  return {
    run,
    who,
    spec: plainSpecOf(spec),
    submittedAtMs: createdAtMs,
    startedAtMs,
    endedAtMs,
    files: files.map(([file]) => file),
    estimatesMs: files.map(([, estimateMs]) => estimateMs),
    kinds,
    durationsMs: files.map(([, , tookMs]) => tookMs ?? 0),
    startupMs,
    ...meanwhileOf(row.events),
    ...(row.tries.length === 0 ? {} : { tries: triesOf(row.tries) }),
    // Half an order would be another one.
    ...(dependencies === undefined || !isWhole(dependencies) ? {} : { dependencies }),
  }
}

/** Undefined: it isn't known. */
function kindsOf(
  { files = [], events }: RecordedRow,
  spec: RunSpec,
  first: RunSubmitted['kinds'],
): readonly number[] | undefined {
  if ((spec.needs?.length ?? 0) < 2) return files.map(() => 0)
  const parts = [
    first,
    ...events.filter((one) => one.type === 'run.extended').map((one) => (JSON.parse(one.event) as RunExtended).kinds),
  ]
  if (!parts.every((part) => part !== undefined && isWhole(part))) return undefined
  const kinds = (parts as readonly (readonly number[])[]).flat()
  return kinds.length === files.length ? kinds : undefined
}
