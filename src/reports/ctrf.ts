/**
 * CTRF (Common Test Report Format, https://ctrf.io), specification 0.0.0: one JSON document, the
 * same for every framework. Tests are written as they are read; the summary, whose counts are only
 * then known, comes after them (an object's members have no order). As in the JUnit report, a file
 * that failed as a whole, was lost, timed out or cancelled is an entry of its own.
 *
 * Durations and instants are whole milliseconds, as the schema asks.
 */
import type { RunView } from '../protocol/run-view.ts'
import type { TestError, TestStatus } from '../protocol/results.ts'
import { errorMessage, errorTrace } from './error-text.ts'
import { mergedTasks, speaksForItself } from './merge.ts'
import type { MergedTask, MergedTest, Records } from './merge.ts'
import { chunked } from './text-sink.ts'
import type { TextSink } from './text-sink.ts'
import { stripVTControlCharacters } from 'node:util'

type CtrfStatus = 'passed' | 'failed' | 'skipped' | 'pending' | 'other'
type CtrfTest = {
  readonly name: string
  readonly status: CtrfStatus
  readonly duration: number
  readonly [field: string]: unknown
}

const statuses: Readonly<Record<TestStatus, CtrfStatus>> = {
  passed: 'passed',
  failed: 'failed',
  skipped: 'skipped',
  todo: 'pending',
}

/** `reportId` names this document; a fresh one unless given. */
export async function writeCtrf(
  run: RunView,
  records: Records,
  sink: TextSink,
  options: { readonly reportId?: string } = {},
): Promise<void> {
  const out = chunked(sink)
  const startMs = Math.round(run.startedAtMs ?? run.createdAtMs)
  const stopMs = Math.round(run.endedAtMs ?? startMs + (run.wallMs ?? 0))
  const head = {
    reportFormat: 'CTRF',
    specVersion: '0.0.0',
    reportId: options.reportId ?? crypto.randomUUID(),
    runId: run.run,
    timestamp: new Date(stopMs).toISOString(),
    generatedBy: 'muster',
  }
  const tool = { name: run.framework, version: run.frameworkVersion }
  await out.write(`${JSON.stringify(head).slice(0, -1)},"results":{"tool":${JSON.stringify(tool)},"tests":[`)
  const counts = { tests: 0, passed: 0, failed: 0, skipped: 0, pending: 0, other: 0, flaky: 0 }
  let files = 0
  const add = async (test: CtrfTest): Promise<void> => {
    counts[test.status] += 1
    if (test['flaky'] === true) counts.flaky += 1
    await out.write(`${counts.tests === 0 ? '' : ','}\n${JSON.stringify(test)}`)
    counts.tests += 1
  }
  for (const message of run.errors) {
    await add({
      name: 'outside any file',
      status: 'failed',
      duration: 0,
      message: stripVTControlCharacters(message),
      rawStatus: 'error',
    })
  }
  for await (const task of mergedTasks(records)) {
    files += 1
    const itself = fileEntry(task, run.framework === 'command')
    if (itself) await add(itself)
    for (const test of task.tests) await add(testEntry(test))
  }
  const summary = { ...counts, suites: files, start: startMs, stop: stopMs, duration: stopMs - startMs }
  const extra = {
    verdict: run.verdict ?? null,
    planned: run.planned,
    accounted: run.accounted,
    tasks: run.tasks,
    rerun: run.rerun,
    workers: run.workers.map((worker) => worker.name),
  }
  await out.write(`\n],"summary":${JSON.stringify(summary)},"extra":{"muster":${JSON.stringify(extra)}}}}\n`)
  await out.flush()
}

function fileEntry(task: MergedTask, fileIsTest: boolean): CtrfTest | undefined {
  const { itself, tries, tests } = task
  if (!speaksForItself(task) && !(fileIsTest && tests.length === 0)) return undefined
  // Cancelled is neither passed nor failed nor meant to be skipped.
  const status = itself.status === 'skipped' && task.state !== 'skipped' ? 'other' : itself.status
  return {
    name: task.file,
    status,
    duration: tests.length === 0 ? Math.round(task.durationMs) : 0,
    ...instants(task.startedAtMs, task.durationMs),
    ...errorFields(itself.errors),
    ...(itself.reason !== undefined && { message: itself.reason }),
    rawStatus: task.state,
    filePath: task.file,
    ...retries(tries.map((one) => ({ ...one, status: 'failed' as const }))),
    ...(itself.status === 'passed' && tries.length > 0 && { flaky: true }),
    ...worker(task.workerName, task.attempt),
  }
}

function testEntry(test: MergedTest): CtrfTest {
  const suite = test.name.slice(0, -1)
  return {
    name: test.name.at(-1) || test.file,
    status: statuses[test.status],
    duration: Math.round(test.durationMs),
    suite: [test.file, ...suite],
    ...(test.reason !== undefined && { message: test.reason }),
    ...errorFields(test.errors ?? []),
    ...(test.line !== undefined && { line: Math.round(test.line) }),
    rawStatus: test.status,
    filePath: test.file,
    ...retries(test.tries),
    ...(test.flaky && { flaky: true }),
    ...outputField(test.output),
    ...worker(test.workerName, test.attempt, test.project),
  }
}

function retries(
  tries: readonly {
    attempt: number
    status: TestStatus
    durationMs: number
    errors?: readonly TestError[]
    output?: string
  }[],
): object {
  if (tries.length === 0) return {}
  return {
    retries: tries.length,
    retryAttempts: tries.map((one, index) => ({
      attempt: index + 1,
      status: statuses[one.status],
      duration: Math.round(one.durationMs),
      ...errorFields(one.errors ?? []),
      ...outputField(one.output),
      extra: { musterAttempt: one.attempt },
    })),
  }
}

function errorFields(errors: readonly TestError[]): object {
  return errors.length === 0 ? {} : { message: errorMessage(errors), trace: errorTrace(errors) }
}

function outputField(output: string | undefined): object {
  if (output === undefined || output === '') return {}
  return { stdout: stripVTControlCharacters(output).replace(/\n$/, '').split('\n') }
}

function instants(startedAtMs: number | undefined, durationMs: number): object {
  return startedAtMs === undefined ? {} : { start: Math.round(startedAtMs), stop: Math.round(startedAtMs + durationMs) }
}

function worker(workerName: string | undefined, attempt: number, project?: string): object {
  if (workerName === undefined) return {}
  return { threadId: workerName, extra: { musterAttempt: attempt, ...(project !== undefined && { project }) } }
}
