/** The commands that only look: ps, runs, show, logs, tests. Each takes `--json`. */
import type { Client } from '../../client/client.ts'
import type { RunRow, TestRow } from '../../history/history.ts'
import { isMusterError, MusterError } from '../../protocol/errors.ts'
import type { RunView } from '../../protocol/run-view.ts'
import { digestRecords } from '../../reports/digest.ts'
import { formatDuration } from '../../stdx/duration.ts'
import { escapedName, plainText } from '../../stdx/plain-text.ts'
import { connect, type Where } from '../connect.ts'
import { failureText } from '../reporters/failure-text.ts'
import { terminalOf } from '../reporters/terminal.ts'
import { ago, table } from '../table.ts'
import { counted } from '../reporters/text-fit.ts'

export type LookOptions = Where & { readonly json?: boolean }

export async function withClient<T>(options: LookOptions, use: (client: Client) => Promise<T>): Promise<T> {
  await using connection = await connect(options)
  return await use(connection.client)
}

export function print(options: LookOptions, data: unknown, text: () => string): number {
  process.stdout.write(options.json ? `${JSON.stringify(data, null, 2)}\n` : text())
  return 0
}

export async function psCommand(options: LookOptions): Promise<number> {
  const runs = await withClient(options, (client) => client.runs())
  const live = runs.filter((run) => run.state !== 'finished')
  return print(options, live, () => {
    if (live.length === 0) return 'nothing runs or waits\n'
    return table(
      ['RUN', 'STATE', 'FRAMEWORK', 'DONE', 'OF', 'FAILED', 'SINCE', 'BY', ''],
      live.map((run) => [
        run.run,
        run.state,
        run.framework,
        run.accounted,
        run.planned,
        run.tasks.failed,
        ago(run.startedAtMs ?? run.createdAtMs),
        run.submittedBy.replace(/^client:/, ''),
        waitingWords(run),
      ]),
    )
  })
}

export function waitingWords(run: RunView): string {
  if (run.queuePosition === undefined) return run.reason ?? ''
  const because = run.reason === undefined ? '' : ` (${run.reason})`
  return `number ${run.queuePosition} in the queue${startWords(run)}${because}`
}

function startWords({ expectedStartMs: inMs, reason }: RunView): string {
  if (inMs === undefined) return ''
  if (inMs >= 1000) return `, starts in about ${formatDuration(inMs)}`
  // By its estimate, what is in the way should be over.
  return reason === undefined ? ', starts now' : ''
}

export async function runsCommand(options: LookOptions & { readonly limit: number }): Promise<number> {
  const rows = await withClient(options, async (client) => {
    const limit = `limit=${options.limit}`
    const [{ runs }, live] = await Promise.all([
      client.get<{ runs: RunRow[] }>(`/history/runs?${limit}`),
      client.runs(),
    ])
    const known = new Set(runs.map((run) => run.run))
    const missing = live.filter((run) => !known.has(run.run)).map(rowOf)
    return [...missing, ...runs].slice(0, options.limit)
  })
  return print(options, rows, () => {
    if (rows.length === 0) return 'no runs yet\n'
    return table(
      ['RUN', 'VERDICT', 'SUITE', 'FILES', 'TESTS', 'FAILED', 'FLAKY', 'TIME', 'WHEN', 'PROJECT'],
      rows.map((run) => [
        run.run,
        run.verdict ?? 'running',
        run.suite,
        run.planned,
        run.tests.total,
        run.tests.failed,
        run.tests.flaky,
        run.wallMs === null ? '' : formatDuration(run.wallMs),
        ago(run.createdAtMs),
        run.project,
      ]),
    )
  })
}

function rowOf(run: RunView): RunRow {
  const { run: id, project, suite, framework, planned, tests, submittedBy, createdAtMs } = run
  return {
    run: id,
    project,
    suite,
    framework,
    verdict: run.verdict ?? null,
    planned,
    tests,
    submittedBy,
    createdAtMs,
    wallMs: run.wallMs ?? null,
    lowerBoundMs: run.lowerBoundMs ?? null,
  }
}

export async function showCommand(id: string, options: LookOptions & { readonly failed?: boolean }): Promise<number> {
  return withClient(options, async (client) => {
    const run = await runOrHistory(client, id)
    if (!('state' in run)) return print(options, run, () => `${historyLine(run)}\nOnly its summary is kept.\n`)
    const digest = await digestRecords(client.records(id))
    if (options.json) return print(options, { ...run, failures: digest.failures }, () => '')
    process.stdout.write(options.failed ? '' : `${runLines(run).map(plainText).join('\n')}\n`)
    if (!options.failed) {
      for await (const task of client.tasks(id)) {
        const time = task.durationMs === undefined ? '' : formatDuration(task.durationMs)
        const why = task.why === undefined || task.why === task.state ? '' : `  ${plainText(task.why.split('\n')[0]!)}`
        process.stdout.write(
          `  ${String(task.index).padStart(5)}  ${task.state.padEnd(9)}  ${time.padStart(9)}  ${escapedName(task.file)}${why}\n`,
        )
      }
    }
    const terminal = terminalOf(process.stdout, process.env)
    for (const failure of digest.failures)
      process.stdout.write(`\n${failureText(failure, terminal.columns(), terminal.paint)}\n`)
    if (options.failed && digest.failures.length === 0) process.stdout.write('nothing failed\n')
    return 0
  })
}

async function runOrHistory(client: Client, id: string): Promise<RunView | RunRow> {
  try {
    return await client.run(id)
  } catch (error) {
    if (!isMusterError(error) || error.code !== 'not_found') throw error
    const { runs } = await client.get<{ runs: RunRow[] }>('/history/runs?limit=10000')
    const row = runs.find((run) => run.run === id)
    if (row) return row
    throw error
  }
}

function historyLine(run: RunRow): string {
  const { passed, failed, flaky, skipped } = run.tests
  return `run ${run.run} · ${run.suite} · ${run.verdict ?? 'unfinished'} · ${passed} passed · ${failed} failed · ${flaky} flaky · ${skipped} skipped`
}

function runLines(run: RunView): string[] {
  const { tests } = run
  const ratio = run.optimumRatio === undefined ? '' : ` · ${Math.round(run.optimumRatio * 100)} % of optimum`
  const lines = [
    `run ${run.run} · ${run.framework} ${run.frameworkVersion} · ${run.state}${run.verdict === undefined ? '' : ` · ${run.verdict}`}`,
    `${tests.passed} passed · ${tests.failed} failed · ${tests.flaky} flaky · ${tests.skipped} skipped · ${run.wallMs === undefined ? 'not started' : formatDuration(run.wallMs)}${ratio}`,
    `planned ${counted(run.planned, 'file')}, accounted ${run.accounted}${run.rerun > 0 ? `, ${run.rerun} run again after a loss or crash` : ''}`,
  ]
  if (run.deadlineAtMs !== undefined) lines.push(`deadline ${new Date(run.deadlineAtMs).toLocaleString()}`)
  for (const warning of run.warnings ?? []) lines.push(`! ${warning}`)
  if (run.reason !== undefined) lines.push(run.reason)
  for (const worker of run.workers) {
    lines.push(
      `  ${worker.name} (${counted(worker.cpus, 'CPU')}): ${counted(worker.tasks, 'file')} in ${worker.batches === 1 ? '1 batch' : `${worker.batches} batches`}, ${formatDuration(worker.busyMs)} of work`,
    )
  }
  for (const error of run.errors) lines.push(`  ! ${error.split('\n')[0]}`)
  return lines
}

export async function logsCommand(id: string, task: string | undefined, options: LookOptions): Promise<number> {
  return withClient(options, async (client) => {
    const index = task === undefined ? undefined : await taskIndex(client, id, task)
    for await (const text of client.output(id, index)) process.stdout.write(text)
    return 0
  })
}

/** A task by its number, its id (`RUN/3`) or its file. */
async function taskIndex(client: Client, run: string, task: string): Promise<number> {
  const number = /^(?:.*\/)?(\d+)$/.exec(task)
  if (number && (task === number[1] || task.startsWith(`${run}/`))) return Number(number[1])
  for await (const one of client.tasks(run)) if (one.file === task) return one.index
  throw new MusterError('not_found', `Run ${run} has no task '${task}'`, {
    hint: `'muster show ${run}' lists them with their numbers.`,
  })
}

export type TestsOptions = LookOptions & {
  readonly slowest?: number
  readonly flaky?: boolean
  readonly failed?: boolean
  readonly project?: string
}

export async function testsCommand(options: TestsOptions): Promise<number> {
  const order = options.flaky ? 'flaky' : options.failed ? 'failed' : 'slowest'
  const query = new URLSearchParams({ order, limit: String(options.slowest ?? 20) })
  if (options.project !== undefined) query.set('project', options.project)
  const { tests } = await withClient(options, (client) =>
    client.get<{ tests: TestRow[] }>(`/tests?${query.toString()}`),
  )
  return print(options, tests, () => {
    if (tests.length === 0) return order === 'slowest' ? 'no tests yet\n' : `no ${order} tests\n`
    return testsText(tests)
  })
}

export function testsText(tests: readonly TestRow[]): string {
  return table(
    ['MEDIAN', 'P95', 'RUNS', 'FAILED', 'FLAKY', 'LAST', 'WHEN', 'TEST'],
    tests.map((test) => [
      formatDuration(test.medianMs),
      formatDuration(test.p95Ms),
      test.runs,
      test.failures,
      test.flakes,
      test.lastStatus,
      ago(test.lastAtMs),
      escapedName(`${test.file} › ${test.name}`),
    ]),
  )
}
