/**
 * The one rule by which several attempts at a task become one result; every report follows it.
 *
 * A test is the same test in two attempts when project, name path and occurrence (the how-manieth of
 * that name in its attempt) are equal. Its result is that of the last attempt that reported it; what
 * earlier attempts said, and the framework's own tries, are kept as `tries`, oldest first. A test
 * that finally passed and failed before is flaky. An earlier try that merely repeats a final status
 * other than failed (the file ran twice because a worker was lost) says nothing and is dropped.
 *
 * Order: tasks by index; tests as the last attempt reported them, then those that only earlier
 * attempts knew. Nothing here depends on which worker ran what, so a run over ten workers reads
 * like the same run on one.
 */
import type { TaskRecord } from '../protocol/run-view.ts'
import type { TestError, TestResult, TestTry } from '../protocol/results.ts'
import { assert } from '../stdx/assert.ts'

/** A stream must come in index order (as the API gives it); an array may be in any order. */
export type Records = AsyncIterable<TaskRecord> | readonly TaskRecord[]

export type MergedTry = TestTry & { readonly attempt: number; readonly workerName: string }

export type MergedTest = Omit<TestResult, 'tries'> & {
  /** Muster's attempt that the final result is from. */
  readonly attempt: number
  readonly worker: string
  readonly workerName: string
  readonly tries: readonly MergedTry[]
  readonly flaky: boolean
}

/** An earlier attempt that failed outside any test. */
export type FileTry = {
  readonly attempt: number
  readonly workerName: string
  readonly durationMs: number
  readonly errors: readonly TestError[]
}

/** What is to be said about the file itself, outside its tests. */
export type FileStatus = {
  readonly status: 'passed' | 'failed' | 'skipped'
  /** Never empty when failed. */
  readonly errors: readonly TestError[]
  /** For skipped: which state, and why. */
  readonly reason?: string
}

export type MergedTask = {
  readonly index: number
  readonly file: string
  /** The task's final state, as the ledger counts it. */
  readonly state: string
  readonly why?: string
  /** Where it ran, when that isn't where the run was meant to. */
  readonly place?: string
  readonly attempt: number
  readonly worker?: string
  readonly workerName?: string
  readonly startedAtMs?: number
  readonly durationMs: number
  readonly itself: FileStatus
  readonly tries: readonly FileTry[]
  readonly tests: readonly MergedTest[]
}

export async function* mergedTasks(records: Records): AsyncGenerator<MergedTask> {
  let previous = -1
  const ordered = Array.isArray(records) ? records.toSorted((a, b) => a.index - b.index) : records
  for await (const record of ordered as AsyncIterable<TaskRecord> | readonly TaskRecord[]) {
    assert(record.index > previous, `task records must come in index order: ${record.index} after ${previous}`)
    previous = record.index
    yield mergeTask(record)
  }
}

export function mergeTask(record: TaskRecord): MergedTask {
  const last = record.attempts.at(-1)
  const tests = mergeTests(record)
  const tries: FileTry[] = []
  for (const one of record.attempts.slice(0, -1)) {
    const { errors } = one.result
    if (errors === undefined || errors.length === 0) continue
    tries.push({ attempt: one.attempt, workerName: one.workerName, durationMs: one.durationMs, errors })
  }
  return {
    index: record.index,
    file: record.file,
    state: record.state,
    ...(record.why !== undefined && { why: record.why }),
    ...(record.place !== undefined && { place: record.place }),
    attempt: last?.attempt ?? 0,
    ...(last && { worker: last.worker, workerName: last.workerName, startedAtMs: last.startedAtMs }),
    durationMs: last?.durationMs ?? 0,
    itself: fileStatus(record, last?.result.errors ?? [], tests),
    tries,
    tests,
  }
}

type Attempt = TaskRecord['attempts'][number]
type Entry = { test: TestResult; attempt: Attempt; tries: MergedTry[] }

function mergeTests(record: TaskRecord): MergedTest[] {
  const entries = new Map<string, Entry>()
  for (const attempt of record.attempts) {
    const seen = new Map<string, number>()
    const now = new Map<string, Entry>()
    for (const test of attempt.result.tests) {
      const name = JSON.stringify([test.project ?? '', ...test.name])
      const occurrence = (seen.get(name) ?? 0) + 1
      seen.set(name, occurrence)
      const key = `${occurrence}${name}`
      const before = entries.get(key)
      entries.delete(key)
      const tries = before === undefined ? [] : [...before.tries, asTry(before.test, before.attempt)]
      for (const one of test.tries ?? []) {
        tries.push({ ...one, attempt: attempt.attempt, workerName: attempt.workerName })
      }
      now.set(key, { test, attempt, tries })
    }
    // The newest attempt's order first; what only earlier attempts reported follows.
    const older = [...entries]
    entries.clear()
    for (const [key, entry] of now) entries.set(key, entry)
    for (const [key, entry] of older) entries.set(key, entry)
  }
  return [...entries.values()].map(toMergedTest)
}

function asTry(test: TestResult, attempt: Attempt): MergedTry {
  return {
    status: test.status,
    durationMs: test.durationMs,
    ...(test.errors && { errors: test.errors }),
    ...(test.output !== undefined && { output: test.output }),
    attempt: attempt.attempt,
    workerName: attempt.workerName,
  }
}

function toMergedTest({ test, attempt, tries }: Entry): MergedTest {
  const { tries: _own, ...rest } = test
  const kept = tries.filter((one) => one.status === 'failed' || one.status !== test.status)
  return {
    ...rest,
    attempt: attempt.attempt,
    worker: attempt.worker,
    workerName: attempt.workerName,
    tries: kept,
    flaky: test.status === 'passed' && kept.some((one) => one.status === 'failed'),
  }
}

/** There is something to tell about the file that its tests don't tell: reports then give it an entry of its own. */
export function speaksForItself({ itself, tries, tests, state }: MergedTask): boolean {
  if (itself.status === 'failed' || tries.length > 0) return true
  return itself.status === 'skipped' && (tests.length === 0 || state !== 'skipped')
}

/** A task that did not end by itself, or failed without a failed test, is said so: nothing goes missing. */
function fileStatus(record: TaskRecord, errors: readonly TestError[], tests: readonly MergedTest[]): FileStatus {
  const { state } = record
  const said = record.why ? `: ${record.why}` : ''
  switch (state) {
    case 'passed':
    case 'flaky':
      return { status: 'passed', errors: [] }
    case 'failed':
      if (errors.length > 0) return { status: 'failed', errors }
      if (tests.some((test) => test.status === 'failed')) return { status: 'passed', errors: [] }
      return { status: 'failed', errors: [{ type: state, message: record.why ?? 'failed without saying which test' }] }
    case 'timed-out':
      return { status: 'failed', errors: [{ type: state, message: `timed out${said}` }, ...errors] }
    case 'lost':
    case 'dead-lettered':
      return { status: 'failed', errors: [{ type: state, message: `${state}${said}` }, ...errors] }
    case 'skipped':
      return { status: 'skipped', errors: [], reason: record.why ?? 'skipped' }
    default:
      return { status: 'skipped', errors: [], reason: `${state}${said}` }
  }
}
