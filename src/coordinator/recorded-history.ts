/**
 * What history knows of recorded runs beyond state: runs that state has forgotten, attempts that ended without a report, and
 * what was done with a run while it was under way. Its audit keeps long lists in part only; a run of which that leaves
 * open what its files need can't be played, and is left out with the reason.
 */
import type { RunSpec } from '../core/entities.ts'
import type { RunCancelled, RunExtended, RunPrioritised, RunSubmitted } from '../core/events.ts'
import type { AuditRow, RecordedRow } from '../history/history.ts'
import type { RecordedRun, RecordedTry } from '../scheduling/recording.ts'

/** What was done with a run after it was submitted. */
export type Meanwhile = Pick<RecordedRun, 'extended' | 'sealedAtMs' | 'pauses' | 'priorities' | 'cancels'>

export function meanwhileOf(events: readonly AuditRow[]): Meanwhile {
  const extended: { atMs: number; files: number }[] = []
  const pauses: { fromMs: number; toMs?: number }[] = []
  const priorities: { atMs: number; priority: number }[] = []
  const cancels: { atMs: number; drain: boolean }[] = []
  let sealedAtMs: number | undefined
  for (const { type, atMs, event } of events) {
    if (type === 'run.extended') extended.push({ atMs, files: lengthOf((JSON.parse(event) as RunExtended).files) })
    else if (type === 'run.sealed') sealedAtMs = atMs
    else if (type === 'run.paused') pauses.push({ fromMs: atMs })
    else if (type === 'run.resumed' && pauses.length > 0) pauses.at(-1)!.toMs = atMs
    else if (type === 'run.prioritised')
      priorities.push({ atMs, priority: (JSON.parse(event) as RunPrioritised).priority })
    else if (type === 'run.cancelled') {
      const { who, drain } = JSON.parse(event) as RunCancelled
      if (isFromOutside(who)) cancels.push({ atMs, drain })
    }
  }
  return {
    ...(extended.length === 0 ? {} : { extended }),
    ...(sealedAtMs === undefined ? {} : { sealedAtMs }),
    ...(pauses.length === 0 ? {} : { pauses }),
    ...(priorities.length === 0 ? {} : { priorities }),
    ...(cancels.length === 0 ? {} : { cancels }),
  }
}

/** What the core does by a rule (too many failures, a run before it that did not pass) it does in its own name. */
export function isFromOutside(who: string): boolean {
  return who !== 'coordinator'
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
  for (const [task, outcome, ms, failedTests = 1] of attempts) {
    if (!playable.has(outcome)) continue
    const how = outcome as RecordedTry['attempts'][number][0]
    const attempt = how === 'failed' && failedTests > 1 ? ([how, ms, failedTests] as const) : ([how, ms] as const)
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
  // That it had one still counts (lacksContext).
  return { ...spec, context: spec.context === '' ? '' : 'recorded', paths: [], args: [] }
}

/** A run that state has forgotten; or why it can't be played. */
export function runFromHistory(row: RecordedRow): RecordedRun | { readonly why: string } {
  const { run, who, createdAtMs, startedAtMs, endedAtMs, files = [] } = row
  const submitted = row.events.find((one) => one.type === 'run.submitted')
  if (endedAtMs === null) return { why: 'not finished' }
  const meanwhile = meanwhileOf(row.events)
  const isMeasured = files.some(([, , tookMs]) => tookMs !== null)
  if (startedAtMs === null || (!isMeasured && meanwhile.cancels === undefined))
    return { why: 'without a measured file' }
  if (!submitted) return { why: 'of which history no longer has the submission' }
  const { spec, kinds: firstKinds, dependencies } = JSON.parse(submitted.event) as RunSubmitted
  const kinds = kindsOf(row, spec, firstKinds)
  if (!kinds || !isWhole(spec.needs) || !isWhole(spec.after) || !isWhole(spec.labels))
    return { why: 'of which history keeps only a part of what their files need' }
  const startupMs = row.startupMs ?? spec.startupMs
  const tries = triesOf(row.tries)
  const [estimatesMs, durationsMs] = [files.map(([, ms]) => ms), files.map(([, , ms]) => ms)]
  const about = { estimatesMs, tries, cut: cutShort(row.tries), longestMs: endedAtMs - startedAtMs }
  const unmeasured = unmeasuredOf(durationsMs, about)
  return {
    run,
    who,
    spec: plainSpecOf(spec),
    submittedAtMs: createdAtMs,
    startedAtMs,
    endedAtMs,
    files: files.map(([file]) => file),
    estimatesMs,
    kinds,
    durationsMs: durationsMs.map((ms) => ms ?? 0),
    ...(unmeasured.length === 0 ? {} : { unmeasured }),
    startupMs,
    ...meanwhile,
    ...(tries.length === 0 ? {} : { tries }),
    // Half an order would be another one.
    ...(dependencies === undefined || !isWhole(dependencies) ? {} : { dependencies }),
  }
}

/** Of attempts that were cancelled: the time that each task had run by then. */
export function cutShort(attempts: RecordedRow['tries']): ReadonlyMap<number, number> {
  return new Map(attempts.flatMap(([task, outcome, ms]) => (outcome === 'cancelled' ? [[task, ms] as const] : [])))
}

/**
 * What files that never came to an end are taken to take: what was expected, or what is usual in the run, or as long as
 * the run lasted; and always more than they had run.
 */
export function unmeasuredOf(
  durationsMs: readonly (number | null)[],
  about: {
    readonly estimatesMs: readonly (number | null)[]
    readonly tries: readonly RecordedTry[]
    readonly cut: ReadonlyMap<number, number>
    readonly longestMs: number
  },
): NonNullable<RecordedRun['unmeasured']> {
  const { estimatesMs, tries, cut, longestMs } = about
  const known = durationsMs.filter((ms): ms is number => ms !== null).sort((a, b) => a - b)
  const usualMs = known[known.length >> 1] ?? longestMs
  const tried = new Set(tries.map((one) => one.task))
  return durationsMs.flatMap((ms, task) => {
    if (ms !== null || tried.has(task)) return []
    const [expectedMs, ranMs] = [estimatesMs[task] ?? usualMs, cut.get(task) ?? 0]
    // One that is over its time is taken to be half done.
    return [[task, expectedMs > ranMs ? expectedMs : 2 * ranMs] as const]
  })
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
