/**
 * A run that a coordinator began and this host finished, as one run: what the coordinator is known to have
 * accounted for, and the local run of all other files. It feeds reporters as if it were one, and its
 * verdict follows from the sum by the ledger's own rule.
 *
 * What is known of the first part is what its feed has shown: every file's end with its counts, and the tests
 * that came by. Output, and tests that the feed left out, stay with the coordinator.
 */
import type { Client } from '../client/client.ts'
import type { TaskResult, TestCounts, TestResult } from '../protocol/results.ts'
import type { FeedMessage, RunView, TaskRecord, TaskTotals } from '../protocol/run-view.ts'

/** States that a file doesn't leave and that say how it did. Lost and cancelled ones are worth another try. */
const resultStates = ['passed', 'failed', 'flaky', 'skipped', 'quarantined', 'timed-out'] as const
type ResultState = (typeof resultStates)[number]

type KnownResult = {
  readonly state: ResultState
  readonly durationMs: number
  readonly worker: string
  readonly why: string | undefined
  readonly counts: TestCounts
  readonly tests: readonly TestResult[]
}

const noTests: TestCounts = { passed: 0, failed: 0, flaky: 0, skipped: 0, total: 0 }

/** Listens to a run's feed and remembers how its files ended. */
export class KnownResults {
  readonly #files: readonly string[]
  readonly results = new Map<number, KnownResult>()
  /** Tests seen of attempts under way. */
  readonly #tests = new Map<number, TestResult[]>()
  /** As last shown. */
  run: RunView | undefined

  constructor(files: readonly string[]) {
    this.#files = files
  }

  message(message: FeedMessage): void {
    switch (message.type) {
      case 'snapshot':
      case 'run':
      case 'end':
        this.run = message.run
        break
      case 'test': {
        if (message.name.length === 0) break
        const { type: _, task, flaky: __, worker: ___, name, errors, ...rest } = message
        const test = { ...rest, name: [...name], ...(errors === undefined ? {} : { errors: [...errors] }) }
        const tests = this.#tests.get(task)
        if (tests) tests.push(test)
        else this.#tests.set(task, [test])
        break
      }
      case 'task-ended': {
        const tests = this.#tests.get(message.task) ?? []
        this.#tests.delete(message.task)
        if (message.final) this.#know(message.task, message.state, { ...message, tests })
        break
      }
      default:
    }
  }

  /** After the feed was interrupted: what ended meanwhile. */
  async fill(client: Client): Promise<void> {
    if (this.run === undefined) return
    for await (const task of client.tasks(this.run.run, resultStates)) {
      if (!this.results.has(task.index)) this.#know(task.index, task.state, { ...task, tests: [] })
    }
  }

  #know(
    task: number,
    state: string,
    seen: {
      readonly durationMs?: number
      readonly worker?: string
      readonly why?: string
      readonly counts?: TestCounts
      readonly tests: readonly TestResult[]
    },
  ): void {
    const known = resultStates.find((one) => one === state)
    if (known === undefined) return
    const { durationMs = 0, worker = '', why, counts = noTests, tests } = seen
    this.results.set(task, { state: known, durationMs, worker, why, counts, tests })
  }

  /** Indices of the files whose result nobody here knows. */
  missing(): number[] {
    return this.#files.flatMap((_, index) => (this.results.has(index) ? [] : [index]))
  }

  get failures(): number {
    return [...this.results.values()].filter((one) => one.state === 'failed').length
  }

  totals(): { readonly tasks: TaskTotals; readonly tests: TestCounts } {
    const tasks = { passed: 0, failed: 0, flaky: 0, skipped: 0, cancelled: 0, timedOut: 0, lost: 0 }
    const tests = { ...noTests }
    for (const { state, counts } of this.results.values()) {
      tasks[state === 'timed-out' ? 'timedOut' : state === 'quarantined' ? 'skipped' : state] += 1
      addTo(tests, counts)
    }
    return { tasks, tests }
  }

  record(index: number): TaskRecord | undefined {
    const known = this.results.get(index)
    if (known === undefined) return undefined
    const file = this.#files[index]!
    const { state, durationMs, worker, why } = known
    const base = { index, file, state, ...(why === undefined ? {} : { why }) }
    if (state === 'timed-out') return { ...base, attempts: [] }
    const outcome = state === 'failed' ? 'failed' : state === 'passed' || state === 'flaky' ? 'passed' : 'skipped'
    const startedAtMs = this.run?.startedAtMs ?? this.run?.createdAtMs ?? 0
    const result: TaskResult = { file, outcome, durationMs, tests: [...known.tests], ...errorsOf(known) }
    const attempt = { attempt: 1, worker, workerName: worker, outcome, startedAtMs, durationMs, result } as const
    return { ...base, attempts: [attempt] }
  }
}

/** A failed file must say how, even when none of its tests was seen. */
function errorsOf({ state, why, tests }: KnownResult): { readonly errors?: { readonly message: string }[] } {
  if (state !== 'failed' || tests.some((one) => one.status === 'failed')) return {}
  return { errors: [{ message: why ?? 'it failed; its details stayed with the coordinator' }] }
}

export type CombinedParts = {
  readonly known: KnownResults
  /** Of the local run's files, in its order: their indices in the whole. */
  readonly indices: readonly number[]
  /** Where each part ran, for people. */
  readonly places: { readonly known: string; readonly local: string }
}

/** The local run's view as that of the whole. Without one, every file was known. */
export function combinedView({ known, indices }: CombinedParts, local: RunView | undefined): RunView {
  const before = known.run!
  const had = known.totals()
  const tasks = { ...had.tasks }
  const tests = { ...had.tests }
  if (local) {
    addTo(tasks, local.tasks)
    addTo(tests, local.tests)
  }
  const { verdict: _, reason: __, lowerBoundMs: ___, optimumRatio: ____, predictedMs: _____, ...base } = before
  const planned = known.results.size + indices.length
  const accounted = known.results.size + (local?.accounted ?? 0)
  const startedAtMs = before.startedAtMs ?? local?.startedAtMs
  const errors = [...before.errors, ...(local?.errors ?? [])]
  const isOver = local === undefined || local.state === 'finished'
  const endedAtMs = isOver ? (local?.endedAtMs ?? Date.now()) : undefined
  const verdict = judge({ planned, accounted, tasks, errors }, local)
  return {
    ...base,
    state: isOver ? 'finished' : (local?.state ?? 'finished'),
    planned,
    accounted,
    queued: local?.queued ?? 0,
    running: local?.running ?? 0,
    tasks,
    tests,
    ...(startedAtMs === undefined ? {} : { startedAtMs }),
    ...(endedAtMs === undefined ? {} : { endedAtMs, wallMs: Math.max(0, endedAtMs - (startedAtMs ?? endedAtMs)) }),
    ...(isOver ? { verdict, reason: reasonOf(known.results.size, planned, local) } : {}),
    rerun: before.rerun + (local?.rerun ?? 0),
    errors,
    workers: [...before.workers, ...(local?.workers ?? [])],
  }
}

function reasonOf(known: number, planned: number, local: RunView | undefined): string {
  if (local === undefined) return `the coordinator was away before the end; each of the ${planned} files had a result`
  return `${known} of ${planned} files ended before the coordinator was away; of the others, ${local.reason ?? 'nothing is known'}`
}

/** As the coordinator judges a run. */
function judge(
  sum: Pick<RunView, 'planned' | 'accounted' | 'tasks' | 'errors'>,
  local: RunView | undefined,
): NonNullable<RunView['verdict']> {
  const { tasks } = sum
  if (sum.accounted !== sum.planned || tasks.lost > 0) return 'incomplete'
  if (tasks.failed > 0 || sum.errors.length > 0) return 'failed'
  if (tasks.timedOut > 0) return 'timed-out'
  if (tasks.cancelled > 0 || local?.verdict === 'cancelled') return 'cancelled'
  return sum.planned === 0 ? 'empty' : 'passed'
}

/** A message of the local run as one of the whole. */
export function combinedMessage(parts: CombinedParts, message: FeedMessage): FeedMessage {
  const indexOf = (task: number): number => parts.indices[task]!
  switch (message.type) {
    case 'snapshot':
      return {
        ...message,
        run: combinedView(parts, message.run),
        running: message.running.map((one) => ({ ...one, task: indexOf(one.task) })),
      }
    case 'run':
    case 'end':
      return { ...message, run: combinedView(parts, message.run) }
    case 'task-started':
      return { ...message, tasks: message.tasks.map((one) => ({ ...one, task: indexOf(one.task) })) }
    case 'task-ended':
    case 'test':
      return { ...message, task: indexOf(message.task) }
    default:
      return message
  }
}

/** All records in the order of the whole; `local`: those of the local run. */
export async function* combinedRecords(
  { known, indices, places }: CombinedParts,
  local: AsyncIterable<TaskRecord>,
): AsyncGenerator<TaskRecord> {
  let next = 0
  const upTo = function* (end: number): Generator<TaskRecord> {
    for (; next < end; next += 1) {
      const record = known.record(next)
      if (record) yield { ...record, place: places.known }
    }
  }
  for await (const record of local) {
    const index = indices[record.index]!
    yield* upTo(index)
    yield { ...record, index, place: places.local }
    next = index + 1
  }
  yield* upTo(known.results.size + indices.length)
}

function addTo<T extends Record<string, number>>(sum: T, more: { readonly [K in keyof T]: number }): void {
  for (const key of Object.keys(sum) as (keyof T)[]) (sum[key] as number) += more[key]
}
