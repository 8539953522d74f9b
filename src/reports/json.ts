/**
 * The object that `muster run --json` prints. It is an interface: docs/reference/json.md describes
 * every field, fields are only ever added, and what has no value yet is null, never absent.
 */
import type { Failure, RunView, RunWorkerView, TaskTotals } from '../protocol/run-view.ts'
import type { TestCounts } from '../protocol/results.ts'
import type { Digest, FlakyTest, NotRunFile, UnfinishedFile } from './digest.ts'
import type { TextSink } from './text-sink.ts'

export type JsonReport = {
  readonly run: string
  readonly verdict: NonNullable<RunView['verdict']> | null
  readonly reason: string | null
  readonly exitCode: number
  readonly framework: string
  readonly frameworkVersion: string
  readonly suite: string
  readonly project: string
  readonly place: string | null
  readonly planned: number
  readonly accounted: number
  readonly tasks: TaskTotals
  readonly tests: TestCounts
  readonly createdAtMs: number
  readonly startedAtMs: number | null
  readonly endedAtMs: number | null
  readonly wallMs: number | null
  readonly lowerBoundMs: number | null
  readonly optimumRatio: number | null
  readonly predictedMs: number | null
  readonly rerun: number
  readonly workers: readonly RunWorkerView[]
  readonly errors: readonly string[]
  readonly failures: readonly Failure[]
  readonly flaky: readonly FlakyTest[]
  readonly unfinished: readonly UnfinishedFile[]
  readonly notRun: readonly NotRunFile[]
}

export function jsonReport(
  run: RunView,
  exitCode: number,
  digest: Pick<Digest, 'failures' | 'flaky' | 'unfinished' | 'notRun'>,
  place?: string,
): JsonReport {
  return {
    run: run.run,
    verdict: run.verdict ?? null,
    reason: run.reason ?? null,
    exitCode,
    framework: run.framework,
    frameworkVersion: run.frameworkVersion,
    suite: run.suite,
    project: run.project,
    place: place ?? null,
    planned: run.planned,
    accounted: run.accounted,
    tasks: run.tasks,
    tests: run.tests,
    createdAtMs: run.createdAtMs,
    startedAtMs: run.startedAtMs ?? null,
    endedAtMs: run.endedAtMs ?? null,
    wallMs: run.wallMs ?? null,
    lowerBoundMs: run.lowerBoundMs ?? null,
    optimumRatio: run.optimumRatio ?? null,
    predictedMs: run.predictedMs ?? null,
    rerun: run.rerun,
    workers: run.workers,
    errors: run.errors,
    failures: digest.failures,
    flaky: digest.flaky,
    unfinished: digest.unfinished,
    notRun: digest.notRun,
  }
}

export async function writeJson(
  run: RunView,
  exitCode: number,
  digest: Pick<Digest, 'failures' | 'flaky' | 'unfinished' | 'notRun'>,
  sink: TextSink,
  place?: string,
): Promise<void> {
  await sink(`${JSON.stringify(jsonReport(run, exitCode, digest, place), null, 2)}\n`)
}
