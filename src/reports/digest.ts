/**
 * What people want to know at the end of a run, gathered in one pass over the task records: failures,
 * flaky tests, the slowest files, and files that did not come to an end of their own.
 */
import type { Failure } from '../protocol/run-view.ts'
import { failuresOf } from './failures.ts'
import { mergedTasks } from './merge.ts'
import type { MergedTask, Records } from './merge.ts'

export type FlakyTest = {
  readonly file: string
  /** Empty: the file itself failed at first. */
  readonly name: readonly string[]
  readonly project?: string
  readonly failedTries: number
}
export type SlowFile = { readonly file: string; readonly durationMs: number; readonly workerName?: string }
export type UnfinishedFile = { readonly file: string; readonly state: string; readonly why?: string }

export type NotRunFile = { readonly file: string; readonly why: string }

export type Digest = {
  readonly failures: readonly Failure[]
  readonly flaky: readonly FlakyTest[]
  /** Longest first, at most `slowestMax`. */
  readonly slowest: readonly SlowFile[]
  /** Lost, timed out, cancelled, or in no final state. */
  readonly unfinished: readonly UnfinishedFile[]
  /** Skipped without having begun, each with the reason. */
  readonly notRun: readonly NotRunFile[]
}

const finished = new Set(['passed', 'failed', 'flaky', 'skipped', 'quarantined'])

export async function digestRecords(records: Records, slowestMax = 3): Promise<Digest> {
  const failures: Failure[] = []
  const flaky: FlakyTest[] = []
  let slowest: SlowFile[] = []
  const unfinished: UnfinishedFile[] = []
  const notRun: NotRunFile[] = []
  for await (const task of mergedTasks(records)) {
    failures.push(...failuresOf(task))
    flaky.push(...flakyOf(task))
    if (!finished.has(task.state))
      unfinished.push({ file: task.file, state: task.state, ...(task.why !== undefined && { why: task.why }) })
    const began = task.workerName !== undefined
    if (task.state === 'skipped' && !began && task.why !== undefined) notRun.push({ file: task.file, why: task.why })
    if (!began) continue
    if (slowest.length < slowestMax || task.durationMs > slowest.at(-1)!.durationMs) {
      const slow = {
        file: task.file,
        durationMs: task.durationMs,
        ...(task.workerName !== undefined && { workerName: task.workerName }),
      }
      slowest = [...slowest, slow].toSorted((a, b) => b.durationMs - a.durationMs).slice(0, slowestMax)
    }
  }
  return { failures, flaky, slowest, unfinished, notRun }
}

function flakyOf(task: MergedTask): FlakyTest[] {
  const flaky: FlakyTest[] = []
  if (task.state === 'flaky' && task.tries.length > 0)
    flaky.push({ file: task.file, name: [], failedTries: task.tries.length })
  for (const test of task.tests) {
    if (!test.flaky) continue
    const failedTries = test.tries.filter((one) => one.status === 'failed').length
    flaky.push({
      file: task.file,
      name: test.name,
      ...(test.project !== undefined && { project: test.project }),
      failedTries,
    })
  }
  return flaky
}
